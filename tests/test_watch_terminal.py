"""`kata` in a real pseudo-terminal: a learner's session from the first picture to the last."""

import re
import signal
import subprocess
import sys
import time

import pytest
from learner_helpers import CONTROL, RIGHT, Screen, course_copy, save, write_function

pexpect = pytest.importorskip("pexpect")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


@pytest.fixture(scope="module")
def course(project, tmp_path_factory):
    return course_copy(project, tmp_path_factory.mktemp("course"))


@pytest.fixture
def own(project, tmp_path):
    """A course that only this test touches."""
    return course_copy(project, tmp_path)


@pytest.fixture(scope="module")
def warm(course):
    """A session whose warm process is ready; tests share it and leave it on the first exercise."""
    with Screen(course.root, "watch", "make_sorting_tokens") as screen:
        screen.wait("todo", without="warming up")
        yield screen


@pytest.fixture
def dataset(course, warm):
    """The file of the first exercise, put back afterwards."""
    path = course.exercises / "sorted_list" / "dataset.py"
    text = path.read_text()
    yield path
    save(path, text)
    warm.key("\x1b")
    warm.wait("todo: write this function")


def test_the_first_picture_comes_before_the_warm_process(own):
    began = time.monotonic()
    with Screen(own.root) as screen:
        text = screen.wait("1. make_sorting_tokens", "warming up", "def make_sorting_tokens", "q quit")
        assert "difficulty 1/5" in text and "exercises/sorted_list/dataset.py:" in text
        assert time.monotonic() - began < 10
        screen.wait("todo: write this function", without="warming up")


def test_a_save_is_answered_with_its_verdict(dataset, warm):
    began = time.monotonic()
    write_function(dataset, "make_sorting_tokens", RIGHT)
    text = warm.wait("passed")
    assert time.monotonic() - began < 5
    assert re.search(r"✓ passed  \(\d+\.\d\d s\)", text) and "%" in text and "1/15" in text
    assert "the solution" in text and "d diff" in text and "qk_tables" not in text, "no automatic advance"
    write_function_again(dataset, "return lists")
    text = warm.wait("failed")
    assert "expected [batch=24, 22]" in text and "0/15" in text


def write_function_again(path, body):
    text = path.read_text()
    head, _, tail = text.partition('int64.\n    """\n')
    rest = tail[re.search(r"\n(?=\S)", tail).start() :]
    save(path, f'{head}int64.\n    """\n    {body}\n{rest}')


def test_half_typed_code_and_a_missing_file_are_said_and_got_over(dataset, warm):
    text = dataset.read_text()
    save(dataset, text.replace("raise NotImplementedError", "return torch.cat([", 1))
    shown = warm.wait("broken")
    assert "SyntaxError" in shown and "was never closed" in shown and "return torch.cat([" in shown
    dataset.rename(dataset.with_name("elsewhere.py"))
    shown = warm.wait("the submission has no sorted_list/dataset.py")
    dataset.with_name("elsewhere.py").rename(dataset)
    warm.wait("SyntaxError")
    dataset.unlink()
    warm.wait("has no sorted_list/dataset.py")
    save(dataset, text)
    warm.wait("todo: write this function")


def test_a_storm_of_saves_ends_with_the_last_one(dataset, warm):
    for number in range(40):
        write_function_again(dataset, f"return lists[:, :{number % 7 + 1}]  # {number}")
        time.sleep(0.01)
    write_function_again(dataset, "return 7")
    warm.wait("failed", "int", without="checking")
    time.sleep(1)
    assert "int" in warm.text


def test_an_endless_loop_is_left_by_the_next_save(dataset, warm):
    write_function_again(dataset, "while True: pass")
    warm.wait("checking … 1 s")
    began = time.monotonic()
    write_function_again(dataset, "return None")
    warm.wait("returned None")
    assert time.monotonic() - began < 5


def test_a_change_elsewhere_is_offered_and_not_followed(course, dataset, warm):
    other = course.exercises / "sorted_list" / "circuits.py"
    before = other.read_text()
    try:
        save(other, before.replace("raise NotImplementedError", "return None", 1))
        text = warm.wait("you changed ov_tables: g goes to sorted_list.ov_tables")
        assert "1. make_sorting_tokens" in text
        # two files at once: the current one is judged, the other one is offered
        save(other, before.replace("raise NotImplementedError", "return 1", 1))
        write_function_again(dataset, "return None")
        warm.wait("returned None", "you changed ov_tables")
        warm.key("g")
        warm.wait("3. ov_tables", "failed", "not what its signature promises")
        warm.key("l")
        warm.wait("exercises: all (15 of 15)", "▸ ✗  3. ov_tables")
        warm.key("\x1b[A\x1b[A")
        warm.wait("▸ ✗  1. make_sorting_tokens")
        warm.key("s")
        warm.wait("exercises: open")
        warm.key("\r")
        warm.wait("1. make_sorting_tokens", "returned None")
    finally:
        save(other, before)


def test_next_hint_figure_reset_and_all(course, dataset, warm):
    warm.key("n")
    warm.wait("2. sorting_metrics", "todo: write")
    warm.key("d")
    warm.wait("--spoil")
    warm.key("p")
    warm.wait("1. make_sorting_tokens", "todo: write")
    if (course.exercises / "sorted_list" / "README.md").is_file():
        warm.key("h")
        warm.wait("Hint 1: the idea (1 of 3)")
        warm.key("hhh")
        warm.wait("nearly the code (the last one)")
        warm.key("\x1b")
        warm.wait("def make_sorting_tokens")
    write_function(dataset, "make_sorting_tokens", RIGHT)
    warm.wait("passed")
    warm.key("d")
    shown = warm.wait("yours and the solution", "the solution")
    assert "lists.sort(" in shown
    warm.key("\x1b")
    warm.key("a")
    shown = warm.wait("all exercises", "next: sorted_list.sorting_metrics")
    assert "1/15" in shown
    warm.key("\x1b")
    warm.wait("passed", without="all exercises")
    mine = dataset.read_text()
    warm.key("r")
    warm.wait("Do it? (y/n)")
    warm.key("n")
    warm.wait("passed", without="Do it?")
    assert dataset.read_text() == mine
    warm.key("ry")
    warm.wait("todo: write this function")
    copies = list(dataset.parent.glob("dataset.*.bak"))
    assert [c.read_text() for c in copies] == [mine] and re.search(r"dataset\.\d{4}-\d\d-\d\d_", copies[0].name)


@pytest.mark.parametrize(("width", "height"), [(60, 24), (40, 12), (200, 60), (20, 5)])
def test_every_picture_fits_the_terminal(course, width, height):
    with Screen(course.root, width=width, height=height) as screen:
        screen.wait("sorted_list")
        for keys in ("", "l", "\x1b", "j", "r", "n", "d", "\x1b"):
            screen.key(keys)
            time.sleep(0.2)
            assert len(screen.rows) == height
            assert max(map(len, screen.rows)) <= width
        code, _ = screen.leave()
        assert code == 0


def test_no_colour(course):
    with Screen(course.root, NO_COLOR="1") as screen:
        screen.wait("sorted_list", "warming up")
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]", screen.frame)
    with Screen(course.root) as screen:
        screen.wait("sorted_list", "warming up")
        assert re.search(r"\x1b\[[0-9;]*3[0-7]", screen.frame)


def test_a_terminal_without_our_signs(course):
    with Screen(course.root, "list", PYTHONIOENCODING="ascii", LANG="C", PYTHONUTF8="0") as screen:
        screen.child.expect("passed")
        assert "make_sorting_tokens" in screen.child.before and "UnicodeEncodeError" not in screen.child.before
    with Screen(course.root, PYTHONIOENCODING="ascii", LANG="C", PYTHONUTF8="0") as screen:
        screen.wait("warming up", "---")


@pytest.mark.parametrize("way", ["q", "\x03"])
def test_leaving_puts_the_terminal_back_and_ends_every_process(course, way):
    with Screen(course.root) as screen:
        screen.wait("warming up")
        before = family(screen.child.pid)
        assert before
        code, left = screen.leave(way)
        assert code == (0 if way == "q" else 130)
        assert "sorted_list: " in left and "of 15 passed" in left and "Traceback" not in left
        assert "\x1b[?25h" in screen.raw, "the cursor is shown again"
    ends = time.monotonic() + 5
    while time.monotonic() < ends and any(alive(pid) for pid in before):
        time.sleep(0.05)
    assert not any(alive(pid) for pid in before)


def test_stopped_and_gone_on(course):
    with Screen(course.root, shell=True) as shell:
        shell.wait("warming up")
        shell.child.sendcontrol("z")
        shell.child.expect("Stopped")
        assert "\x1b[?1049l" in shell.child.before, "the shell has its screen back"
        shell.child.sendline("stty -a; echo on")
        shell.child.expect(" icanon.* echo ")
        shell.raw = ""
        shell.child.sendline("fg")
        shell.wait("sorted_list", "q quit")
        shell.key("q")
        shell.child.expect("of 15 passed")


def test_a_terminal_that_is_resized(course):
    with Screen(course.root) as screen:
        screen.wait("warming up")
        screen.child.setwinsize(30, 70)
        ends = time.monotonic() + 10
        while len(screen.rows) != 30 and time.monotonic() < ends:
            time.sleep(0.05)
        assert len(screen.rows) == 30 and max(map(len, screen.rows)) <= 70


def test_a_pipe_gets_plain_lines(own):
    path = own.exercises / "sorted_list" / "dataset.py"
    command = [sys.executable, "-P", "-m", "kata.cli"]
    piped = subprocess.Popen(
        command, cwd=own.root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        lines = [piped.stdout.readline()]
        while not lines[-1].startswith("·"):
            lines.append(piped.stdout.readline())
        assert lines[0].startswith("watching sorted_list.make_sorting_tokens  exercises/")
        assert lines[1] == "warming up\n" and lines[2:-1] in ([], ["checking\n"])
        assert lines[-1].startswith("· todo  sorted_list.make_sorting_tokens")
        assert piped.stdout.readline().startswith("  not written yet")
        write_function(path, "make_sorting_tokens", RIGHT)
        assert piped.stdout.readline() == "checking\n"
        verdict = piped.stdout.readline()
        assert verdict.startswith("✓ passed  sorted_list.make_sorting_tokens") and not CONTROL.search(verdict)
    finally:
        piped.send_signal(signal.SIGTERM)
        rest, errors = piped.communicate(timeout=20)
    assert piped.returncode == 0 and errors == "" and "\x1b" not in rest


def test_a_reader_that_goes_away(own):
    command = f"{sys.executable} -P -m kata.cli | head -1"
    began = time.monotonic()
    done = subprocess.run(command, shell=True, cwd=own.root, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("watching") and done.stderr == "" and time.monotonic() - began < 50


def family(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
    return [int(child) for child in found.stdout.split()]


def state(pid):
    return subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()[:1]


def alive(pid):
    return state(pid) not in ("", "Z")
