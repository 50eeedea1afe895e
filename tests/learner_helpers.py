"""A course of a learner's own for the tests of their loop, and a real pseudo-terminal to look at."""

import os
import re
import shutil
import sys
import time
from pathlib import Path

from kata.project import Project

SET = "sorted_list"
RIGHT = """
    bos = torch.full((len(lists), 1), BOS)
    mid = torch.full((len(lists), 1), MID)
    return torch.cat([bos, lists, mid, lists.sort(dim=1).values], dim=1)
"""
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def course_copy(project: Project, folder: Path, *sets: str) -> Project:
    """A copy of the course with these sets only, where a test may write."""
    from kata.stubs import plan, write

    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copy(project.root / "pyproject.toml", folder)
    shutil.copytree(project.checks, folder / "checks", ignore=hidden)
    for name in sets or (SET,):
        shutil.copytree(project.solutions / name, folder / "solutions" / name, ignore=hidden)
        shutil.copytree(project.data / name, folder / "data" / name, ignore=hidden)
    made = Project.find(folder)
    write(plan(made, made.sets))
    for name in made.sets:
        readme = project.exercises / name / "README.md"
        if readme.is_file():
            shutil.copy(readme, made.exercises / name)
    return made


def write_function(path: Path, name: str, body: str) -> None:
    """Put a body in place of the stub's in a learner's file, and save it as editors do."""
    head, _, tail = path.read_text(encoding="utf-8").partition(f"def {name}(")
    start = tail.index('"""', tail.index('"""') + 3) + 3
    end = re.search(r"\n(?=\S)", tail[start:])
    rest = f"\n{tail[start + end.start() :]}" if end else ""
    save(path, f"{head}def {name}({tail[:start]}\n{body.strip(chr(10))}\n{rest}")


def save(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.swp")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


class Screen:
    """`kata` in a pseudo-terminal of this size, or an interactive shell in it."""

    def __init__(
        self, folder: Path, *arguments: str, width: int = 80, height: int = 24, shell: bool = False, **environment: str
    ):
        import pexpect

        command = [sys.executable, "-P", "-m", "kata.cli", *arguments]

        inherited = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR")}
        self.child = pexpect.spawn(
            "bash" if shell else command[0],
            ["--norc", "-i"] if shell else command[1:],
            cwd=str(folder),
            env={**inherited, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment},
            dimensions=(height, width),
            encoding="utf-8",
            timeout=90,
        )
        self.raw = ""
        if shell:
            self.child.sendline(" ".join(command))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.close(force=True)

    def _take(self, seconds: float = 0.05) -> None:
        import pexpect

        try:
            self.raw += self.child.read_nonblocking(100_000, timeout=seconds)
        except (pexpect.TIMEOUT, pexpect.EOF):
            time.sleep(0.01)

    @property
    def frame(self) -> str:
        """The last whole picture, with its colours."""
        self._take()
        whole = self.raw.rpartition("\x1b[J")[0]
        return whole.rpartition("\x1b[H")[2]

    @property
    def rows(self) -> list[str]:
        return [CONTROL.sub("", row).replace("\xa0", " ").rstrip() for row in self.frame.split("\r\n")]

    @property
    def text(self) -> str:
        return "\n".join(self.rows)

    def wait(self, *wanted: str, without: str = "\x00", seconds: float = 45) -> str:
        """Wait for a picture that holds all of these."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            text = self.text
            if all(w in text for w in wanted) and without not in text:
                return text
        raise AssertionError(f"never saw {wanted} in {seconds} s; the last picture:\n{self.text}")

    def key(self, keys: str) -> None:
        self.child.send(keys)

    def leave(self, keys: str = "q") -> tuple[int, str]:
        """Leave; the exit code and what stands on the normal screen afterwards."""
        self.child.send(keys)
        ends = time.monotonic() + 20
        while self.child.isalive() and time.monotonic() < ends:
            self._take()
        assert not self.child.isalive(), f"still there; the last picture:\n{self.text}"
        for _ in range(3):
            self._take()
        code = self.child.exitstatus if self.child.exitstatus is not None else -self.child.signalstatus
        return code, CONTROL.sub("", self.raw.rpartition("\x1b[?1049l")[2])
