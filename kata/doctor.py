"""`kata doctor`: what this machine and this checkout are like, and what to do about each thing that is wrong."""

import os
import platform
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kata.project import KataError, Project


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        good: True, False, or None for a remark.
        advice: what to do, where it is not good.
    """

    what: str
    good: bool | None
    said: str
    advice: str = ""


def examine(project: Project) -> Iterator[Finding]:
    """Look at everything; one look that fails does not stop the others."""
    looks: list[Callable[[Project], Iterator[Finding]]] = [
        _python, _versions, _threads, _folders, _files_seen, _courses, _progress, _terminal,
    ]  # fmt: skip
    for each in looks:
        try:
            yield from each(project)
        except Exception as error:
            yield Finding(each.__name__.strip("_"), False, f"{type(error).__name__}: {error}", "please report this")


def _python(project: Project) -> Iterator[Finding]:
    required = _pyproject(project).get("requires-python", ">=3.11")
    least = tuple(int(x) for x in required.removeprefix(">=").split("."))
    good = sys.version_info[:2] >= least
    said = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    yield Finding("Python", good, said, f"this course needs Python {required}")


def _versions(project: Project) -> Iterator[Finding]:
    from importlib import metadata

    from packaging.requirements import Requirement

    found = []
    for line in _pyproject(project).get("dependencies", []):
        wanted = Requirement(line)
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield Finding("package", False, f"{wanted.name} is missing", "pip install -e .")
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            said = f"{wanted.name} {version}, the course is made with {wanted.specifier}"
            yield Finding("package", False, said, "pip install -e .")
        found.append(f"{wanted.name} {version}")
    yield Finding("packages", None, ", ".join(found))


def _threads(project: Project) -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    said = f"{cores} processors, OMP_NUM_THREADS {asked or 'not set'}"
    wrong = bool(asked) and (not asked.isdigit() or not 1 <= int(asked) <= cores)
    yield Finding("threads", not wrong, said, f"set OMP_NUM_THREADS to a number from 1 to {cores}, or unset it")
    from kata.warm import default_mode

    answers = {"fork": "a warm process answers each save", "standby": "a standby process answers the next save"}
    yield Finding("answers", None, answers.get(default_mode(), "each save starts Python anew (KATA_WARM=cold)"))


def _folders(project: Project) -> Iterator[Finding]:
    from kata.progress import FOLDER

    for folder in (project.exercises, project.root / FOLDER):
        where = folder if folder.exists() else folder.parent
        good = os.access(where, os.W_OK | os.X_OK)
        said = f"{folder} can{'' if good else 'not'} be written"
        yield Finding("folder", good, said, f"give yourself the right to write: chmod u+rwx {where}")


def _files_seen(project: Project) -> Iterator[Finding]:
    """Save a file and see whether the watcher hears of it."""
    from watchfiles import watch

    from kata.progress import FOLDER

    folder = project.root / FOLDER
    folder.mkdir(exist_ok=True)
    probe, stop = folder / f"probe-{os.getpid()}.txt", threading.Event()

    def save() -> None:
        for number in range(20):
            time.sleep(0.1)
            if not stop.is_set():
                probe.write_text(str(number), encoding="utf-8")

    writer = threading.Thread(target=save)
    seen = False
    try:
        events = watch(folder, step=30, rust_timeout=3000, yield_on_timeout=True, watch_filter=None)
        writer.start()
        seen = any(Path(name).name == probe.name for _, name in next(events))
        said = "a saved file is noticed" if seen else "a saved file is not noticed"
    except Exception as error:
        said = f"files cannot be watched: {error}"
    finally:
        stop.set()
        if writer.ident:
            writer.join()
        probe.unlink(missing_ok=True)
    yield Finding("watching", seen, said, "set WATCHFILES_FORCE_POLLING=1 (network and container folders need it)")


def _courses(project: Project) -> Iterator[Finding]:
    from kata.checkpoints import checkpoints, sha256
    from kata.stubs import plan

    if not project.sets:
        yield Finding("problem sets", False, f"there are none in {project.data}", "git checkout -- .")
    for name in project.sets:
        try:
            listed = checkpoints(project, name)
        except KataError as error:
            yield Finding(name, False, str(error), "git checkout -- data")
            continue
        wrong = [c for c in listed if not c.path.is_file() or c.sha256 not in ("", sha256(c.path))]
        for each in wrong:
            said = "is missing" if not each.path.is_file() else "is not the file that config.json describes"
            yield Finding(name, False, f"{each.path} {said}", f"git checkout -- {_shown(each.path)}")
        if not wrong:
            unsigned = "" if all(c.sha256 for c in listed) else " (config.json has no hashes to compare with)"
            said = f"{len(listed)} checkpoints{unsigned}, {len(project.catalog(name))} exercises"
            yield Finding(name, None if unsigned else True, said)
        for change in plan(project, [name]):
            if change.action == "new":
                yield Finding(name, False, f"{change.path} is missing", f"kata stubs {name}")


def _progress(project: Project) -> Iterator[Finding]:
    from kata.progress import Progress

    progress = Progress(project)
    yield Finding("progress", not progress.trouble, progress.trouble or str(progress.path), "nothing else is lost")


def _terminal(project: Project) -> Iterator[Finding]:
    from kata.watch_screen import console_for, simple

    console = console_for()
    colour = console.color_system if console.is_terminal and not console.no_color else "no colour"
    said = f"{console.width}x{console.height}, {colour}, {console.encoding}" if console.is_terminal else "none"
    yield Finding("terminal", None, said + (", so signs are plain" if simple() else ""))


def _pyproject(project: Project) -> dict:
    path = project.root / "pyproject.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
