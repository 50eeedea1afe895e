"""`kata review`: the reference solutions with ratings, facts, mistakes and figures, as one page for an instructor."""

import ast
from pathlib import Path
from typing import Any

from kata.classroom import pages
from kata.classroom.learner_page import figures
from kata.course import Course
from kata.project import Exercise, Project


def write(project: Project, sets: list[str], out: Path) -> int:
    """Write the page; returns its size in bytes."""
    courses = [Course(project, s) for s in sets]
    drawn: list[tuple[str, Any]] = []
    chapters = [_chapter(course, drawn) for course in courses]
    pieces, head, end = figures(drawn)
    for chapter in chapters:
        for item in chapter["exercises"]:
            item["pictures"] = [pages._safe(pieces[i]) for i in item["pictures"]]
    page = pages.environment().get_template("review.html.j2")
    text = page.render(
        title="The reference solutions",
        chapters=chapters,
        script=bool(pieces),
        head=pages._safe(head),
        end=pages._safe(end),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    return len(text.encode())


def _chapter(course: Course, drawn: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [c.name for c in course.checkpoints]
    return {
        "name": course.set,
        "title": pages._title(course.project, course.set),
        "checkpoints": [f"{c.name} ({c.role}, seed {c.seed})" for c in course.checkpoints],
        "minutes": sum(e.minutes for e in course.exercises),
        "exercises": [_exercise(course, e, drawn) for e in course.exercises],
        "facts": [_fact(course, f, names) for f in course.facts.values()],
        "columns": names,
    }


def _exercise(course: Course, exercise: Exercise, drawn: list[tuple[str, Any]]) -> dict[str, Any]:
    from kata.pictures import Artist

    first = len(drawn)
    artist = Artist(course)
    for picture in artist.pictures(exercise.name) if artist.declared(exercise.name) else []:
        if picture.reference is not None:
            title = f"{picture.title} {picture.about}".strip()
            drawn.append((f"{title}. {picture.notice}" if picture.notice else title, picture.reference))
    return {
        "exercise": exercise,
        "source": _source(course, exercise),
        "mistakes": course.mistakes.get(exercise.name, []),
        "variants": len(course.variants.get(exercise.name, [])),
        "checked": _checked(course, exercise.name),
        "facts": [f.name for f in course.facts.values() if exercise.name in f.uses],
        "hints": pages.hint_texts(course.project, course.set).get(exercise.name, []),
        "pictures": list(range(first, len(drawn))),
    }


def _checked(course: Course, name: str) -> str:
    check = course.checks.get(name)
    if check is None:
        return "no check yet"
    t = check.tolerance
    how = f"off by at most {t.atol:g} + {t.rtol:g} × |expected|" if t.atol or t.rtol else "exactly equal"
    how = "by a property of the result" if check.judge else how
    return f"{how}, on {', '.join(c.name for c in check.chooses(course.checkpoints))}"


def _source(course: Course, exercise: Exercise) -> str:
    """The solution's function as it stands in the file, decorators and all."""
    text = (course.project.solutions / course.set / exercise.file).read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == exercise.name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    return ""


def _fact(course: Course, fact: Any, names: list[str]) -> dict[str, Any]:
    values = [_short(course.known_facts.get(name, {}).get(fact.name)) for name in names]
    bounds = f"{fact.bounds[0]:g} … {fact.bounds[1]:g}" if fact.bounds else ""
    return {"fact": fact, "values": values, "bounds": bounds}


def _short(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_short(v) for v in value[:12]) + (", ..." if len(value) > 12 else "")
    return str(value)
