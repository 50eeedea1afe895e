"""What the learner's commands do to files and texts: hints, reset, and the two functions of a comparison."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from kata.project import Exercise, KataError, Project, is_todo
from kata.readme import RUNGS, Section, sections
from kata.stubs import backup, stub


def section(project: Project, exercise: Exercise) -> Section | None:
    """The exercise's part of the README of its set."""
    path, _ = project.readme_heading(exercise)
    try:
        return next((s for s in sections(path) if s.name == exercise.name), None)
    except (OSError, UnicodeDecodeError):
        return None


def hints(project: Project, exercise: Exercise) -> list[tuple[str, str]]:
    """The rungs of an exercise's hints as (title, markdown); empty where its README has none."""
    found = section(project, exercise)
    return [(rung, readable(found.blocks[rung])) for rung in RUNGS if found and rung in found.blocks]


def readable(markdown: str) -> str:
    """Markdown for a terminal: without the comments that mark figures."""
    return re.sub(r"<!--.*?-->", "", markdown, flags=re.S).strip()


@dataclass(frozen=True)
class Part:
    """A function in a file: its text with decorators, and the lines (from 0, end excluded) where it stands."""

    text: str
    first: int
    last: int
    node: ast.FunctionDef


def part(source: str, name: str) -> Part | None:
    """Cut a function out of a source that parses; the last one where several carry the name."""
    nodes = [
        n for n in ast.parse(source.removeprefix("\ufeff")).body if isinstance(n, ast.FunctionDef) and n.name == name
    ]
    if not nodes:
        return None
    node = nodes[-1]
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
    lines = lines_of(source)[first : node.end_lineno]
    return Part("".join(lines), first, node.end_lineno or node.lineno, node)


def lines_of(source: str) -> list[str]:
    """Lines with their ends, split where Python splits them (str.splitlines knows more ends than that)."""
    return re.findall(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+\Z", source)


def mine_and_reference(project: Project, exercise: Exercise) -> tuple[Part | None, Part]:
    """The learner's function (None where it is missing or the file does not parse) and the solution's."""
    reference = part((project.solutions / exercise.set / exercise.file).read_text(encoding="utf-8"), exercise.name)
    assert reference
    try:
        path = project.exercises / exercise.set / exercise.file
        return part(path.read_text(encoding="utf-8"), exercise.name), reference
    except (OSError, ValueError, SyntaxError):
        return None, reference


@dataclass(frozen=True)
class Reset:
    """What putting an exercise back would do.

    Attributes:
        text: the file as it will be; None where it is the stub already.
        work: whether the file there now is kept as a copy.
    """

    path: Path
    text: str | None
    work: bool
    what: str


def plan_reset(project: Project, exercise: Exercise, whole: bool = False) -> Reset:
    """What `reset` would do to the learner's file; nothing is written.

    Args:
        whole: put the whole file back, not only this function.

    Raises:
        KataError: the file does not parse, so one function cannot be taken out of it.
    """
    path = project.exercises / exercise.set / exercise.file
    fresh = stub((project.solutions / exercise.set / exercise.file).read_text(encoding="utf-8"))
    if not path.exists():
        return Reset(path, fresh, False, f"{exercise.file} is written as it was handed out")
    if whole:
        same = path.read_bytes() == fresh.encode()
        return Reset(path, None if same else fresh, True, f"all of {exercise.file} is put back")
    try:
        text = path.read_bytes().decode("utf-8")
        there = part(text, exercise.name)
    except (ValueError, SyntaxError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        raise KataError(
            f"{path} does not parse{line}, so one function cannot be taken out of it: mend it, "
            f"or put the whole file back with `kata reset {exercise.id} --file`"
        ) from None
    wanted = part(fresh, exercise.name)
    assert wanted
    return Reset(path, *_with_function(text, there, wanted), f"only `{exercise.name}` is put back")


def _with_function(text: str, there: Part | None, wanted: Part) -> tuple[str | None, bool]:
    """The learner's text with the stub of one function, None where it stands there already."""
    if there and is_todo(there.node) and there.text.split() == wanted.text.split():
        return None, False
    ending = "\r\n" if "\r\n" in text else "\n"
    lines = lines_of(text)
    new = wanted.text.splitlines()
    if there:
        lines[there.first : there.last] = [line + ending for line in new]
    else:
        lines += [ending if lines and not lines[-1].endswith(("\n", "\r")) else "", ending, ending]
        lines += [line + ending for line in new]
    made = "".join(lines)
    again = part(made, wanted.node.name)
    assert again and is_todo(again.node)
    return made, True


def reset(plan: Reset) -> Path | None:
    """Carry a reset out; the learner's file is copied beside itself first. Returns the copy."""
    if plan.text is None:
        return None
    copy = backup(plan.path) if plan.work else None
    plan.path.parent.mkdir(parents=True, exist_ok=True)
    plan.path.write_bytes(plan.text.encode("utf-8"))
    return copy
