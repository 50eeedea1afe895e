"""The README of a set, read: headings, rating lines, hints, and the figures that are marked as facts."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kata.project import Exercise

RUNGS = ("Hint 1: the idea", "Hint 2: the place", "Hint 3: nearly the code")
AFTER = "What you should have seen"

_HEADING = re.compile(r"^#{2,4} (\d+)\. `?(\w+)`?\s*$", re.M)
_BLOCK = re.compile(r"<details>\s*<summary>(.*?)</summary>(.*?)</details>", re.S)
_FIGURE = re.compile(r"([-+−]?\d[\d,]*(?:\.\d+)?)\s?(%?)<!--\s*([\w@.\[\]]+?)\s*-->")


@dataclass
class Section:
    """The text of one exercise.

    Attributes:
        body: everything outside the collapsed blocks.
        blocks: collapsed blocks by their summary.
    """

    number: int
    name: str
    line: int
    rating: str
    body: str
    blocks: dict[str, str] = field(default_factory=dict)

    @property
    def hints(self) -> list[str]:
        return [self.blocks[rung] for rung in RUNGS if rung in self.blocks]


def rating_line(exercise: Exercise) -> str:
    """The line that stands under an exercise's heading."""
    return (
        f"`{exercise.file}` · difficulty {exercise.difficulty}/5 · importance {exercise.importance}/5 · "
        f"{exercise.minutes} minutes"
    )


def sections(path: Path) -> list[Section]:
    """The exercises' sections of a README, in their order there."""
    text = path.read_text(encoding="utf-8")
    heads = list(_HEADING.finditer(text))
    found = []
    for head, following in zip(heads, [*heads[1:], None][: len(heads)], strict=True):
        body = text[head.end() : following.start() if following else len(text)]
        body = _before_heading(body)
        blocks = {m[1].strip(): m[2].strip() for m in _BLOCK.finditer(body)}
        outside = _BLOCK.sub("", body).strip()
        rating, _, rest = outside.partition("\n")
        line = text.count("\n", 0, head.start()) + 1
        found.append(Section(int(head[1]), head[2], line, rating.strip(), rest.strip(), blocks))
    return found


def _before_heading(text: str) -> str:
    """The text up to a larger heading; a `# comment` inside a code block is none."""
    kept, fenced = [], False
    for line in text.splitlines(keepends=True):
        fenced ^= line.startswith("```")
        if not fenced and re.match(r"#{1,2} ", line):
            break
        kept.append(line)
    return "".join(kept)


def problems(path: Path, exercises: list[Exercise]) -> list[str]:
    """Where a README and the solutions have drifted apart; one line each."""
    if not path.is_file():
        return [f"{path} is missing"]
    there = sections(path)
    lines = []
    wanted = [(e.number, e.name) for e in exercises]
    if [(s.number, s.name) for s in there] != wanted:
        lines.append(
            f"{path}: headings {[f'{s.number}. {s.name}' for s in there]}, expected {[e.heading for e in exercises]}"
        )
    for section in there:
        exercise = next((e for e in exercises if e.name == section.name), None)
        if exercise is None:
            continue
        where = f"{path}:{section.line} {section.name}"
        if section.rating != rating_line(exercise):
            lines.append(f"{where}: the rating line is {section.rating!r}, expected {rating_line(exercise)!r}")
        for block in (*RUNGS, AFTER):
            if len(section.blocks.get(block, "")) < 20:
                lines.append(f"{where}: has no collapsed block {block!r}")
        if len(section.body) < 40:
            lines.append(f"{where}: has no question")
    return lines


def figures(path: Path) -> list[tuple[int, str, bool, str]]:
    """Marked figures as (line, number as printed, whether in percent, fact reference)."""
    text = path.read_text(encoding="utf-8")
    return [(text.count("\n", 0, m.start()) + 1, m[1], bool(m[2]), m[3]) for m in _FIGURE.finditer(text)]


def figure_problems(path: Path, facts: dict[str, dict[str, Any]], default: str) -> list[str]:
    """Marked figures that are not what facts.json holds, at the precision that is printed.

    Args:
        facts: for each checkpoint its facts.
        default: the checkpoint that a mark without `@checkpoint` means.
    """
    lines = []
    for line, printed, percent, reference in figures(path):
        name, _, rest = reference.partition("@")
        name, index = _index(name)
        checkpoint, later = _index(rest)
        index = index + later
        value: Any = facts.get(checkpoint or default, {}).get(name)
        for i in index:
            value = value[i] if isinstance(value, list) and i < len(value) else None
        if not isinstance(value, (int, float)):
            lines.append(f"{path}:{line}: there is no figure {reference}")
            continue
        number = printed.replace("−", "-").replace(",", "")
        decimals = len(number.partition(".")[2])
        actual = 100 * value if percent else value
        if abs(actual - float(number)) > 0.5000001 * 10**-decimals:
            lines.append(f"{path}:{line}: {printed}{'%' if percent else ''} is printed, {reference} is {actual:.6g}")
    return lines


def _index(text: str) -> tuple[str, list[int]]:
    """`name[1][2]` as the name and its indices."""
    return re.split(r"\[", text)[0], [int(i) for i in re.findall(r"\[(\d+)\]", text)]
