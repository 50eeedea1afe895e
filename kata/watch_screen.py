"""What the learner sees: pieces of text made from verdicts and exercises, and a screen of exactly so many rows."""

import ast
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.segment import Segment, Segments
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from kata.progress import CHANGED
from kata.project import Exercise
from kata.verdict import BROKEN, FAILED, GRADER_ERROR, PASSED, TIMED_OUT, TODO, Verdict

STYLES = {PASSED: "green", FAILED: "red", BROKEN: "red", TIMED_OUT: "red", GRADER_ERROR: "magenta", TODO: "yellow"}
SIGNS = {PASSED: "✓", FAILED: "✗", BROKEN: "✗", TIMED_OUT: "✗", GRADER_ERROR: "?", TODO: "·", CHANGED: "~"}
PLAIN = str.maketrans("✓✗·█▒░─▸…↑↓×←→", "+xo#=.->.^vx<>")
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
BAR = 24  # cells

Key = tuple[str, str]


@dataclass
class Screen:
    """One picture of the terminal: a head and a foot that stay, and a body that may be scrolled.

    Attributes:
        offset: rows of the body above the window; `compose` corrects it.
    """

    head: list[RenderableType]
    body: list[RenderableType]
    foot: list[RenderableType]
    offset: int = 0
    hidden: int = field(default=0, init=False)


class _PlainSigns:
    """The standard output of a terminal that lacks the signs that are used here: others in their place."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        encoding = self._stream.encoding or "ascii"
        plain = text.translate(PLAIN).encode(encoding, errors="replace").decode(encoding)
        return self._stream.write(plain)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def console_for() -> Console:
    """A console as the terminal asks for it (NO_COLOR and TERM are heeded); texts are not taken for markup."""
    stream: Any = _PlainSigns(sys.stdout) if simple() else sys.stdout
    return Console(file=stream, highlight=False, markup=False, emoji=False)


def simple() -> bool:
    """Whether the output's encoding lacks the signs that are used here."""
    try:
        "✓█─▸…↓".encode(sys.stdout.encoding or "ascii")
    except (UnicodeError, LookupError):
        return True
    return False


def compose(screen: Screen, console: Console, width: int, height: int) -> str:
    """The screen as text of exactly `height` rows, none wider than `width`; the body is cut where it is too long."""
    head, foot = _rows(screen.head, console, width), _rows(screen.foot, console, width)
    body = _rows(screen.body, console, width)
    room = max(0, height - len(head) - len(foot))
    if len(body) > room > 0:
        room -= 1
        screen.offset = max(0, min(screen.offset, len(body) - room))
        screen.hidden = len(body) - room
        below = len(body) - room - screen.offset
        more = f"  ↑↓ {screen.offset} rows above, {below} below" if screen.offset else f"  ↓ {below} more rows"
        body = [*body[screen.offset : screen.offset + room], *_rows([Text(more, style="dim")], console, width)[:1]]
    else:
        screen.offset = screen.hidden = 0
        body = (body + [[Segment("")]] * room)[:room]
    rows = [*head, *body, *foot][:height]
    segments = [segment for row in rows for segment in (*row, Segment.line())][:-1]
    with console.capture() as capture:
        console.print(Segments(segments), end="")
    return capture.get()


def _rows(parts: Iterable[RenderableType], console: Console, width: int) -> list[list[Segment]]:
    options = console.options.update(width=max(20, width))
    return [
        Segment.adjust_line_length(list(Segment.simplify(line)), max(20, width), pad=False)
        for part in parts
        for line in console.render_lines(part, options, pad=False)
    ]


# -- pieces ------------------------------------------------------------------------------------------------------


def rule(title: str = "") -> RenderableType:
    from rich.rule import Rule

    return Rule(title, characters="─", style="dim", align="left")


def headline(exercise: Exercise, where: str, width: int) -> list[RenderableType]:
    """The lines that say which exercise this is; two where there is room, else three."""
    title = Text.assemble((f" {exercise.set} ", "dim"), (f"{exercise.number}. {exercise.name}", "bold"))
    rating = f"difficulty {exercise.difficulty}/5  importance {exercise.importance}/5  {exercise.minutes} min"
    rows = [title, Text(f" {where}", style="dim", overflow="fold")]
    for row in rows:
        if row.cell_len + len(rating) + 3 <= width:
            row.append(" " * (width - row.cell_len - len(rating) - 1)).append(rating, style="dim not bold")
            return [*rows, rule()]
    return [*rows, Text(f" {rating}", style="dim"), rule()]


def harmless(verdict: Verdict) -> Verdict:
    """The verdict without the control characters that a learner's text may hold."""

    def clean(text: str) -> str:
        return CONTROL.sub("", text)

    return replace(
        verdict,
        headline=clean(verdict.headline),
        evidence=[clean(line) for line in verdict.evidence],
        notes=[clean(line) for line in verdict.notes],
        next_step=clean(verdict.next_step),
    )


def verdict_body(verdict: Verdict, seconds: float | None = None, pale: bool = False) -> list[RenderableType]:
    """A verdict as it is read: status, headline, evidence, notes, next step."""
    verdict = harmless(verdict)
    style = "dim" if pale else STYLES[verdict.status]
    first = Text(f" {SIGNS[verdict.status]} {verdict.status}", style=f"bold {style}")
    if verdict.passed and verdict.score < 1:
        first.append(f", score {verdict.score:.2f}")
    if seconds is not None:
        first.append(f"  ({seconds:.2f} s)" if seconds < 9.95 else f"  ({seconds:.0f} s)", style="dim not bold")
    rows: list[RenderableType] = [first, Padding(Text(verdict.headline, style="dim" if pale else "bold"), (0, 0, 0, 3))]
    rows += [_hanging(line, "dim" if pale else "") for line in verdict.evidence]
    rows += [_hanging(f"note: {line}", "dim") for line in verdict.notes]
    if verdict.next_step:
        rows.append(_hanging(f"next: {verdict.next_step}", "dim" if pale else "cyan"))
    return rows


def said(line: str, style: str = "cyan") -> RenderableType:
    """A line of ours that may be longer than the screen is wide."""
    return Padding(Text(line, style=style), (0, 0, 0, 1))


def _hanging(line: str, style: str) -> RenderableType:
    """A line whose continuation stands further in."""
    grid = Table.grid(padding=0)
    grid.add_column(width=5)
    grid.add_column(ratio=1, overflow="fold")
    grid.add_row("", Text(line, style=style))
    return grid


def task(exercise: Exercise) -> list[RenderableType]:
    """Signature and docstring: what is to be written."""
    signature = Syntax(exercise.signature, "python", theme="ansi_dark", background_color="default", word_wrap=True)
    return [Padding(signature, (0, 0, 1, 3)), Padding(Text(reflow(exercise.docstring)), (0, 1, 0, 3))]


def reflow(text: str) -> str:
    """Join the lines of paragraphs, so that they fill another width; short lines and tables stay as they are."""
    lines: list[str] = []
    for line in text.splitlines():
        last = lines[-1] if lines else ""
        indent = len(line) - len(line.lstrip())
        full = len(last) - last.rfind("\n") > 72 and len(last) - len(last.lstrip()) <= indent
        if full and line.strip() and not re.match(r"\s*([-*]|\w+:) ", line) and "  " not in line.strip():
            lines[-1] = f"{last} {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def markdown(title: str, text: str) -> list[RenderableType]:
    """A hint or a text of a README."""
    return [
        Text(f" {title}", style="bold cyan"),
        Padding(Markdown(text, code_theme="ansi_dark", inline_code_theme=None), (0, 2, 0, 3)),
    ]


def source(text: str, first: int) -> RenderableType:
    """A function without its docstring, with the line numbers of its file; its first line is number `first`."""
    parts = ast.parse(text).body[0]
    assert isinstance(parts, ast.FunctionDef)
    skip = (parts.body[0].lineno - 1, parts.body[0].end_lineno or 0) if ast.get_docstring(parts) is not None else (0, 0)
    lines = text.rstrip().splitlines()
    pieces = [(lines[: skip[0]], first), (lines[skip[1] :], first + skip[1])]
    return Group(*(_numbered("\n".join(piece), number) for piece, number in pieces if piece))


def _numbered(text: str, first: int) -> Syntax:
    return Syntax(
        text,
        "python",
        theme="ansi_dark",
        background_color="default",
        line_numbers=True,
        start_line=first,
        word_wrap=True,
    )


def beside(left: tuple[str, RenderableType], right: tuple[str, RenderableType], width: int) -> RenderableType:
    """Two texts side by side where there is room for both, else one below the other."""
    if width < 120:
        return Group(*(part for title, text in (left, right) for part in (Text(f" {title}", style="bold"), text, "")))
    grid = Table.grid(padding=(0, 2), expand=True)
    for _ in range(2):
        grid.add_column(ratio=1)
    grid.add_row(*(Text(f" {title}", style="bold") for title, _ in (left, right)))
    grid.add_row(left[1], right[1])
    return grid


def bar(label: str, passed: int, failed: int, total: int, width: int) -> Text:
    """Progress as a bar (passed, failed, not yet) that leaves most of the width to what stands beside it."""
    size = min(BAR, width // 4)
    done = round(size * passed / total) if total else 0
    wrong = min(size - done, max(1 if failed else 0, round(size * failed / total))) if total else 0
    line = Text(" ")
    for cells, sign, style in ((done, "█", "green"), (wrong, "▒", "red"), (size - done - wrong, "░", "dim")):
        line.append(sign * cells, style=style)
    return line.append(f" {label} {passed}/{total}")


def prompt(keys: list[Key]) -> Text:
    """The keys that do something now; a pair is not torn apart at the end of a line."""
    line = Text(" ")
    for key, label in keys:
        line.append(key, style="bold cyan").append(f"\N{NO-BREAK SPACE}{label.replace(' ', chr(160))}  ")
    line.rstrip()
    return line


def list_row(exercise: Exercise, stands: str, hints: int, chosen: bool = False) -> Text:
    """One exercise in a list."""
    style = STYLES.get(stands, "cyan" if stands == CHANGED else "")
    line = Text(" ▸ " if chosen else "   ", style="bold" if chosen else "")
    line.append(SIGNS[stands], style=style).append(f" {exercise.number:>2}. ")
    line.append(f"{exercise.name:<26}", style="bold" if chosen else "")
    line.append(f" {stands:<12}", style=style)
    line.append(f" {exercise.difficulty}/5  {exercise.importance}/5 {exercise.minutes:>4} min", style="dim")
    if hints:
        line.append(f"  {hints} hint{'s' if hints > 1 else ''}", style="dim")
    line.no_wrap, line.overflow = True, "ellipsis"
    return line
