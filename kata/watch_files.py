"""Which exercise was saved: changes of files, told as sets and files of the course."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from kata.project import KataError, Project

STEP = 20  # ms between looks for new changes; a save is told when one such step brings nothing new
GROUP = 250  # ms after which a storm of changes is told all the same
AGAIN = 1000  # ms between looks whether the folder is still the same one
KINDS = (".py", ".json", ".safetensors")


class Files:
    """Watches the exercises and the course's own files in a thread.

    What happens is told by `post(kind, ...)`:
        ("saved", {(set, file), ...})   files of exercises that were written, moved or deleted
        ("course",)                     solutions, checks or data have changed
        ("unwatched", text)             the folders cannot be watched, and why
    """

    def __init__(self, project: Project, post: Callable[..., None]):
        self.project = project
        self._post = post
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        if not project.exercises.is_dir():
            raise KataError(f"{project.exercises} is missing: `kata stubs` makes it")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(3)

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                self._watch()
            except FileNotFoundError:
                time.sleep(0.2)  # the folder is being replaced
            except Exception as error:
                self._post("unwatched", f"{error}; try WATCHFILES_FORCE_POLLING=1")
                return

    def _watch(self) -> None:
        """Watch until told to stop, or until the exercises' folder is another one than at the beginning."""
        from watchfiles import watch

        mine = self.project.exercises.resolve()
        course = [self.project.solutions, self.project.checks, self.project.data]
        folders = [mine, *(p.resolve() for p in course if p.is_dir())]
        known = _identity(mine)
        for changes in watch(
            *folders,
            watch_filter=lambda change, path: path.endswith(KINDS) and "__pycache__" not in path,
            step=STEP,
            debounce=GROUP,
            rust_timeout=AGAIN,
            yield_on_timeout=True,
            stop_event=self._stop,
            raise_interrupt=False,
        ):
            paths = {Path(name) for _, name in changes}
            saved = {p.relative_to(mine).parts for p in paths if p.suffix == ".py" and p.is_relative_to(mine)}
            if any(not p.is_relative_to(mine) for p in paths):
                self._post("course")
            if saved:
                self._post("saved", {parts for parts in saved if len(parts) == 2})
            if _identity(mine) != known:
                everything = [(e.set, e.file) for s in self.project.sets for e in self.project.catalog(s)]
                self._post("saved", set(everything))
                return


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino
