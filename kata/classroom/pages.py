"""HTML pages: one per submission and one for the class. Each stands alone and loads nothing.

Everything that came from a submission passes jinja's escaping; the only markup that is let through is made here or
in `pictures` from numbers.
"""

import functools
import html
import re
import statistics
from pathlib import Path
from typing import Any

from kata import readme
from kata.classroom.results import Mark, Result
from kata.project import Exercise, KataError, Project
from kata.verdict import GRADER_ERROR, PASSED, TODO

_CELLS = {
    "passed": ("p", "✓"),
    "failed": ("f", "✗"),
    "broken": ("b", "!"),
    "timed out": ("l", "◷"),
    "todo": ("t", "·"),
    "grader error": ("g", "?"),
}


@functools.cache
def environment() -> Any:
    """The templates, with escaping on."""
    try:
        import jinja2
    except ImportError:
        raise KataError("the pages need jinja2: pip install -e '.[classroom]'") from None
    folder = Path(__file__).parent / "templates"
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    made.globals["css"] = _safe((folder / "base.css").read_text(encoding="utf-8"))
    made.globals["script"] = False
    made.filters["ticks"] = _ticks
    return made


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _ticks(text: str) -> Any:
    """Escaped text whose `words in backticks` are code."""
    return _safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text)))


# -- one submission


def submission(project: Project, result: Result, in_class: bool = True) -> str:
    """The page of one graded submission."""
    about = []
    if result.run.get("seed") is not None:
        about.append(f"Graded with seed {result.run['seed']}.")
    return verdict_page(
        project,
        result.marks,
        title=result.shown,
        heading=result.shown,
        back="../../index.html#matrix" if in_class else "",
        points=f"{result.points:g} of {result.most:g} points",
        problem=result.problem,
        notes=result.notes,
        about=" ".join(about),
    )


def verdict_page(
    project: Project, marks: list[Mark], *, head: str = "", end: str = "", script: bool = False, **context: Any
) -> str:
    """A page of verdicts, one section per set."""
    hints = {s: hint_texts(project, s) for s in dict.fromkeys(m.verdict.set for m in marks)}
    sets = []
    for set_name in hints:
        rows = [_row(project, m, hints[set_name]) for m in marks if m.verdict.set == set_name]
        passed = sum(r["verdict"].passed for r in rows)
        sets.append({"name": set_name, "title": _title(project, set_name), "rows": rows, "passed": passed})
    statuses = [m.verdict.status for m in marks]
    counts = {
        "passed": statuses.count(PASSED),
        "todo": statuses.count(TODO),
        "failed": sum(s not in (PASSED, TODO) for s in statuses),
        "total": len(statuses),
    }
    defaults = {"back": "", "points": "", "problem": "", "notes": [], "about": ""}
    context = {**defaults, **counts, **context, "sets": sets, "script": script, "head": _safe(head), "end": _safe(end)}
    return environment().get_template("submission.html.j2").render(context)


def _row(project: Project, mark: Mark, hints: dict[str, list[tuple[str, Any]]]) -> dict[str, Any]:
    verdict = mark.verdict
    exercise = _exercise(project, verdict.set, verdict.exercise)
    open_hints = hints.get(verdict.exercise, []) if verdict.status not in (PASSED, TODO) else []
    extra = " extra" if mark.extra else ""
    return {
        "verdict": verdict,
        "number": exercise.number if exercise else "",
        "rating": exercise.rating if exercise else "",
        "points": f"{mark.points:g} / {mark.most:g}{extra}" if mark.most else "",
        "pictures": [_safe(p) for p in mark.pictures],
        "hints": open_hints,
    }


def _exercise(project: Project, set_name: str, name: str) -> Exercise | None:
    if set_name not in project.sets:
        return None
    return next((e for e in project.catalog(set_name) if e.name == name), None)


def _title(project: Project, set_name: str) -> str:
    return str(project.config(set_name).get("title", set_name)) if set_name in project.sets else set_name


@functools.cache
def _hints(path: Path, _stamp: float) -> dict[str, list[tuple[str, Any]]]:
    found = {}
    for section in readme.sections(path):
        found[section.name] = [(r, _safe(markdown(section.blocks[r]))) for r in readme.RUNGS if r in section.blocks]
    return found


def hint_texts(project: Project, set_name: str) -> dict[str, list[tuple[str, Any]]]:
    """The hints of a set by exercise, as HTML."""
    path = project.exercises / set_name / "README.md"
    return _hints(path, path.stat().st_mtime) if path.is_file() else {}


def markdown(text: str) -> str:
    """As much Markdown as our READMEs use: paragraphs, lists, code, bold, emphasis. Everything else is escaped."""
    parts = re.split(r"^```\w*\n(.*?)^```\s*$", text, flags=re.M | re.S)
    out = []
    for i, part in enumerate(parts):
        if i % 2:
            out.append(f'<pre class="code">{html.escape(part.rstrip())}</pre>')
            continue
        for block in re.split(r"\n\s*\n", re.sub(r"<!--.*?-->", "", part, flags=re.S).strip()):
            lines = block.strip().splitlines()
            if lines and all(re.match(r"\s*([-*]|\d+\.)\s|\s{2,}", line) for line in lines):
                items = re.split(r"^\s*(?:[-*]|\d+\.)\s+", "\n".join(lines), flags=re.M)
                out.append("<ul>" + "".join(f"<li>{_inline(x)}</li>" for x in items if x.strip()) + "</ul>")
            elif block.strip():
                out.append(f"<p>{_inline(block.strip())}</p>")
    return "\n".join(out)


def _inline(text: str) -> str:
    pieces = re.split(r"(`[^`]+`)", text)
    for i, piece in enumerate(pieces):
        if i % 2:
            pieces[i] = f"<code>{html.escape(piece[1:-1])}</code>"
            continue
        plain = html.escape(re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", piece))
        plain = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", plain)
        pieces[i] = re.sub(r"(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])", r"<i>\1</i>", plain)
    return "".join(pieces)


# -- the class


def class_page(project: Project, results: list[Result], title: str = "The class", about: str = "") -> str:
    """Students x exercises, the mistakes in the room, and groups with the same wrong result."""
    ids = list(dict.fromkeys(m.verdict.id for r in results for m in r.marks))
    exercises = []
    for i, name in enumerate(ids):
        set_name, _, short = name.partition(".")
        first = i == 0 or ids[i - 1].partition(".")[0] != set_name
        exercises.append({"id": name, "set": set_name, "name": short, "first": first})
    marks = [m for r in results if not r.problem for m in r.marks]
    errors = {m.verdict.id for m in marks if m.verdict.status == GRADER_ERROR}
    passed = sum(m.verdict.passed for m in marks)
    page = environment().get_template("class.html.j2")
    return page.render(
        title=title,
        about=about,
        results=[_line(r, ids) for r in results],
        exercises=exercises,
        median=f"{statistics.median([r.points for r in results]):g}" if results else "0",
        most=f"{max((r.most for r in results), default=0):g}",
        passed=round(100 * passed / len(marks)) if marks else 0,
        problems=[r for r in results if r.problem],
        errors=sorted(errors),
        stumbles=_stumbles(project, results, ids),
        groups=_groups(results, ids),
    )


def link(result: Result) -> str:
    from urllib.parse import quote

    return f"submissions/{quote(result.name)}/page.html"


def _who(result: Result, exercise: str = "") -> dict[str, str]:
    return {"shown": result.shown, "link": link(result) + (f"#{exercise}" if exercise else "")}


def _line(result: Result, ids: list[str]) -> dict[str, Any]:
    by_id = {m.verdict.id: m for m in result.marks}
    cells = []
    for name in ids:
        mark = by_id.get(name)
        if mark is None:
            cells.append(("t", ""))
        elif mark.verdict.passed and mark.verdict.score < 1:
            cells.append(("p", "½"))
        else:
            cells.append(_CELLS[mark.verdict.status])
    return {**_who(result), "points": f"{result.points:g}", "cells": cells, "problem": result.problem}


def _stumbles(project: Project, results: list[Result], ids: list[str]) -> list[dict[str, Any]]:
    """Exercises by how many stumble, each with its mistakes by how many made them."""
    graded = [r for r in results if not r.problem]
    found = []
    for name in ids:
        tried = [(r, m) for r in graded for m in r.marks if m.verdict.id == name and _tried(m)]
        wrong = [(r, m) for r, m in tried if not m.verdict.passed]
        if not wrong:
            continue
        kinds: dict[str, list[tuple[Result, Mark]]] = {}
        for result, mark in wrong:
            kinds.setdefault(mark.verdict.mistake or mark.verdict.headline, []).append((result, mark))
        mistakes = [
            {
                "count": len(members),
                "text": members[0][1].verdict.headline,
                "name": members[0][1].verdict.mistake,
                "who": [_who(r, name) for r, _ in members],
            }
            for members in sorted(kinds.values(), key=lambda ms: (-len(ms), ms[0][1].verdict.headline))
        ]
        exercise = _exercise(project, *name.split(".", 1))
        rating = exercise.rating if exercise else ""
        found.append({"id": name, "count": len(wrong), "tried": len(tried), "mistakes": mistakes, "rating": rating})
    return sorted(found, key=lambda s: (-s["count"], ids.index(s["id"])))


def _tried(mark: Mark) -> bool:
    """Whether somebody wrote something: no stub, no missing file, and the grader did its part."""
    verdict = mark.verdict
    return verdict.status not in (TODO, GRADER_ERROR) and not verdict.headline.startswith("the submission has no ")


def _groups(results: list[Result], ids: list[str]) -> list[dict[str, Any]]:
    """Submissions that give the same wrong result to the same exercise."""
    groups: dict[tuple[str, str], list[tuple[Result, Mark]]] = {}
    for result in results:
        for mark in result.marks:
            if mark.same:
                groups.setdefault((mark.verdict.id, mark.same), []).append((result, mark))
    found = [
        {"id": name, "who": [_who(r, name) for r, _ in members], "headline": members[0][1].verdict.headline}
        for (name, _), members in groups.items()
        if len(members) > 1
    ]
    return sorted(found, key=lambda g: (-len(g["who"]), ids.index(g["id"]), g["headline"]))
