"""What a learner has done, in one readable file: `.kata/progress.json` in the course's folder, not committed."""

import ast
import datetime
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kata.project import Exercise, KataError, Project, is_todo
from kata.submission import Submission
from kata.verdict import PASSED, STATUSES, TODO, Verdict

FOLDER, FILE = ".kata", "progress.json"
CHANGED = "changed"  # the function is not the one that was judged last
NOTE = "What kata remembers about you. You may edit or delete it; names that are not exercises are ignored."


@dataclass(frozen=True)
class Entry:
    """What is remembered of one exercise.

    Attributes:
        status: of the last verdict, one of verdict.STATUSES; "" where there was none.
        code: fingerprint of the function that it was about.
        passed: when it first passed, as a local ISO time; "" where it never did.
        hints: how many rungs of its hints were opened.
    """

    status: str = ""
    code: str = ""
    passed: str = ""
    hints: int = 0

    @staticmethod
    def of(data: Any) -> "Entry":
        data = data if isinstance(data, dict) else {}
        status, code, passed, hints = (data.get(key) for key in ("status", "code", "passed", "hints"))
        return Entry(
            status if status in STATUSES else "",
            code if isinstance(code, str) else "",
            passed if isinstance(passed, str) else "",
            hints if isinstance(hints, int) and hints > 0 else 0,
        )


class Progress:
    """The state file. Each change reads it anew and replaces it in one step, so several commands may use it at once.

    Attributes:
        trouble: what the user should know about the file (it was damaged, it cannot be written); "" if all is well.
    """

    def __init__(self, project: Project):
        self.path = project.root / FOLDER / FILE
        self.trouble = ""
        self._data = self._read()

    @property
    def current(self) -> str:
        """The exercise that was worked on last, as `set.name`; "" at the start. It may be gone from the course."""
        current = self._data.get("current")
        return current if isinstance(current, str) else ""

    def entry(self, exercise: Exercise) -> Entry:
        return Entry.of(self._data["exercises"].get(exercise.id))

    def set_current(self, exercise: Exercise) -> None:
        if self.current != exercise.id:
            self._change(lambda data: data.update(current=exercise.id))

    def record(self, verdict: Verdict, code: str) -> None:
        """Remember a verdict about the function with this fingerprint."""
        news: dict[str, Any] = {"status": verdict.status, "code": code}
        before = Entry.of(self._data["exercises"].get(verdict.id))
        if verdict.passed and not before.passed:
            news["passed"] = datetime.datetime.now().isoformat(timespec="seconds")
        elif (before.status, before.code) == (verdict.status, code):
            return
        self._change(lambda data: _entry(data, verdict.id).update(news))

    def open_hint(self, exercise: Exercise, rungs: int) -> int:
        """Open the next rung of an exercise's hints, or the last one again; returns its number from 1."""
        rung = min(self.entry(exercise).hints + 1, rungs)
        self._change(lambda data: _entry(data, exercise.id).update(hints=rung))
        return rung

    def _read(self) -> dict[str, Any]:
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            if isinstance(data, dict) and isinstance(data.setdefault("exercises", {}), dict):
                return data
        except (FileNotFoundError, NotADirectoryError):
            return {"note": NOTE, "exercises": {}}
        except OSError as error:
            self.trouble = f"{self.path} cannot be read ({error.strerror}): your progress is not remembered"
            return {"note": NOTE, "exercises": {}}
        except (ValueError, RecursionError):
            pass
        self._set_aside()
        return {"note": NOTE, "exercises": {}}

    def _set_aside(self) -> None:
        """Keep a damaged file under another name."""
        stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
        aside = self.path.with_name(f"progress.damaged-{stamp}.json")
        try:
            self.path.rename(aside)
            self.trouble = f"{self.path} was damaged: it is now {aside.name}, and a new one is begun"
        except OSError as error:
            self.trouble = f"{self.path} is damaged and cannot be renamed ({error.strerror})"

    def _change(self, change: Callable[[dict[str, Any]], Any]) -> None:
        if self.path.exists():
            self._data = self._read()
        change(self._data)
        fresh = self.path.with_name(f".{FILE}.{os.getpid()}")
        try:
            self.path.parent.mkdir(exist_ok=True)
            fresh.write_text(json.dumps(self._data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            fresh.replace(self.path)
        except OSError as error:
            self.trouble = f"{self.path} cannot be written ({error.strerror}): your progress is not remembered"
            fresh.unlink(missing_ok=True) if fresh.parent.is_dir() else None


def _entry(data: dict[str, Any], exercise_id: str) -> dict[str, Any]:
    entries = data["exercises"]
    if not isinstance(entries.get(exercise_id), dict):
        entries[exercise_id] = {}
    return entries[exercise_id]


@dataclass(frozen=True)
class Look:
    """A learner's function as it stands in its file, seen without running it.

    Attributes:
        code: a short name for what it says, blind to comments and layout; "" where there is no such function.
        todo: whether it is still the stub.
    """

    code: str = ""
    todo: bool = False


def look(submission: Submission, exercises: list[Exercise]) -> dict[str, Look]:
    """Look at functions by exercise id; each file is read once."""
    trees: dict[tuple[str, str], Any] = {}
    found = {}
    for exercise in exercises:
        key = (exercise.set, exercise.file)
        if key not in trees:
            trees[key] = submission.tree(exercise)
        body = trees[key].body if isinstance(trees[key], ast.Module) else []
        named = [n for n in body if isinstance(n, ast.FunctionDef) and n.name == exercise.name]
        code = hashlib.sha256(ast.dump(named[-1]).encode()).hexdigest()[:12] if named else ""
        found[exercise.id] = Look(code, bool(named) and is_todo(named[-1]))
    return found


def standing(progress: Progress, exercise: Exercise, seen: Look) -> str:
    """How an exercise stands: todo, the last verdict's status, or CHANGED since then."""
    if seen.todo:
        return TODO
    entry = progress.entry(exercise)
    return entry.status if entry.status and entry.code == seen.code else CHANGED


def standings(progress: Progress, submission: Submission, exercises: list[Exercise]) -> dict[str, str]:
    """How exercises stand, by id."""
    seen = look(submission, exercises)
    return {e.id: standing(progress, e, seen[e.id]) for e in exercises}


def everything(project: Project, sets: list[str] | None = None) -> list[Exercise]:
    """The exercises of the named sets, or of all, in teaching order."""
    return [exercise for name in sets or project.sets for exercise in project.catalog(name)]


def next_open(
    exercises: list[Exercise], stands: dict[str, str], current: str = "", skip: bool = False
) -> Exercise | None:
    """The first exercise from the current one on, and then from the start, that has not passed.

    Args:
        skip: pass over the current one even if it is open.
    """
    ids = [e.id for e in exercises]
    start = ids.index(current) if current in ids else 0
    turned = exercises[start:] + exercises[:start]
    if skip and current in ids:
        turned = turned[1:] + turned[:1]
    return next((e for e in turned if stands[e.id] != PASSED), None)


def starting_point(exercises: list[Exercise], progress: Progress, stands: dict[str, str]) -> Exercise:
    """Where a learner goes on: the exercise of last time, else the first that is open."""
    if not exercises:
        raise KataError("this course has no exercises yet")
    last = next((e for e in exercises if e.id == progress.current), None)
    return last or next_open(exercises, stands) or exercises[0]
