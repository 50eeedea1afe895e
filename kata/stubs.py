"""Stubs: the files that a learner opens, made from the solutions."""

import ast
import datetime
from dataclasses import dataclass
from pathlib import Path

from kata.project import KataError, Project, exercise_functions, is_todo


def stub(source: str) -> str:
    """A solution's source with the body of every exercise replaced; all else is kept to the letter."""
    lines = source.splitlines(keepends=True)
    for node, _ in reversed(list(exercise_functions(ast.parse(source)))):
        docstring = ast.get_docstring(node, clean=False) is not None
        first = node.body[0]
        start = (first.end_lineno or first.lineno) if docstring else first.lineno - 1
        head = []
        if not docstring and lines[start][: first.col_offset].strip():  # def f(x): return x
            head = [lines[start][: first.col_offset].rstrip() + "\n"]
        lines[start : node.end_lineno] = [*head, " " * 4 + "raise NotImplementedError\n"]
    return "".join(lines)


def attempted(source: str) -> list[str]:
    """Names of the exercises in a learner's source that are more than the stub; ["(syntax error)"] if unreadable."""
    try:
        return [node.name for node, _ in exercise_functions(ast.parse(source)) if not is_todo(node)]
    except SyntaxError:
        return ["(a file that does not parse)"]


@dataclass(frozen=True)
class Change:
    """What making one stub file would do: "same", "new", "update" or "keep" (a learner's work is in it)."""

    path: Path
    action: str
    text: str
    attempted: tuple[str, ...] = ()


def plan(project: Project, set_names: list[str]) -> list[Change]:
    """What making the stubs of these sets would do to each file."""
    changes = []
    for set_name in set_names:
        for name in project.files(set_name):
            source = project.solutions / set_name / f"{name}.py"
            if not source.is_file():
                continue
            text = stub(source.read_text(encoding="utf-8"))
            path = project.exercises / set_name / source.name
            if not path.exists():
                changes.append(Change(path, "new", text))
                continue
            there = path.read_text(encoding="utf-8", errors="replace")
            work = tuple(attempted(there))
            action = "same" if there == text else "keep" if work else "update"
            changes.append(Change(path, action, text, work))
    return changes


def write(changes: list[Change], force: bool = False) -> list[str]:
    """Write the stub files; a file with a learner's work is left alone, or kept beside the new one with `force`.

    Returns:
        One line per file that was written or left alone.
    """
    told = []
    for change in changes:
        if change.action == "same":
            continue
        if change.action == "keep" and not force:
            told.append(
                f"{change.path}: left as it is, it holds your {', '.join(change.attempted)} (--force keeps a copy)"
            )
            continue
        change.path.parent.mkdir(parents=True, exist_ok=True)
        if change.action == "keep":
            copy = backup(change.path)
            told.append(f"{change.path}: your version is now {copy.name}")
        change.path.write_text(change.text, encoding="utf-8")
        told.append(f"{change.path}: written")
    return told


def backup(path: Path) -> Path:
    """Copy a learner's file beside itself under a name that says when; never over another copy."""
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in range(1000):
        tail = f"-{number}" if number else ""
        copy = path.with_name(f"{path.stem}.{stamp}{tail}{path.suffix}.bak")
        if not copy.exists():
            copy.write_bytes(path.read_bytes())
            return copy
    raise KataError(f"{path}: no free name for a copy")
