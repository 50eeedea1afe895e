"""What the file watcher tells, on real files."""

import queue
import shutil
import time

import pytest
from learner_helpers import course_copy, save

from kata.project import KataError
from kata.watch_files import Files


@pytest.fixture
def watched(project, tmp_path):
    """A course whose files are watched, and a way to wait for news of them."""
    real = tmp_path / "real"
    real.mkdir()
    course_copy(project, real)
    link = tmp_path / "link"
    link.symlink_to(real)  # the learner came by a symbolic link
    course = type(project)(link, *(link / n for n in ("solutions", "exercises", "checks", "data")))
    events = queue.SimpleQueue()
    files = Files(course, lambda *news: events.put(news))
    files.start()
    time.sleep(1)

    def until(*wanted, seconds=8):
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            try:
                news = events.get(timeout=0.1)
            except queue.Empty:
                continue
            if news[0] == wanted[0] and (len(wanted) == 1 or wanted[1] <= news[1]):
                return True
        return False

    yield course, until
    files.close()
    assert not files._thread.is_alive()


def test_saves_moves_and_deletions_are_told(watched):
    course, until = watched
    path = course.exercises / "sorted_list" / "circuits.py"
    here = {("sorted_list", "circuits.py")}
    path.write_text("1")
    assert until("saved", here), "written in place"
    save(path, "2")
    assert until("saved", here), "replaced"
    path.rename(path.with_name("other.py"))
    assert until("saved", {*here, ("sorted_list", "other.py")}), "moved"
    path.with_name("other.py").unlink()
    assert until("saved", {("sorted_list", "other.py")}), "deleted"
    path.touch()
    (path.parent / "dataset.py").write_text("3")
    assert until("saved", {("sorted_list", "dataset.py")}), "two at once"


def test_other_files_are_not_told(watched):
    course, until = watched
    folder = course.exercises / "sorted_list"
    for name in (".circuits.py.swp", "circuits.py~", "4913", "notes.md", "circuits.2025-01-01_00-00-00.py.bak"):
        (folder / name).write_text("x")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.py").write_text("x")
    assert not until("saved", set(), seconds=1)


def test_the_course_itself_is_watched(watched):
    course, until = watched
    config = course.data / "sorted_list" / "config.json"
    config.write_text(config.read_text() + "\n")
    assert until("course")
    (course.solutions / "sorted_list" / "new.py").write_text("x")
    assert until("course")


def test_a_folder_that_is_replaced_is_watched_again(watched):
    course, until = watched
    aside = course.exercises.with_name("aside")
    course.exercises.rename(aside)
    time.sleep(0.5)
    shutil.copytree(aside, course.exercises)
    assert until("saved", {("sorted_list", "circuits.py"), ("sorted_list", "explain.py")}), "all of it may be new"
    time.sleep(0.5)
    (course.exercises / "sorted_list" / "circuits.py").write_text("x")
    assert until("saved", {("sorted_list", "circuits.py")})


def test_there_must_be_something_to_watch(project, tmp_path):
    course = course_copy(project, tmp_path)
    shutil.rmtree(course.exercises)
    with pytest.raises(KataError, match="kata stubs"):
        Files(course, print)
