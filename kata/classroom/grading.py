"""`kata grade`: find, resume, grade, write, tell."""

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kata.classroom import intake
from kata.classroom import rubric as rubrics
from kata.classroom.batch import Batch, Job
from kata.classroom.book import Book, read_run
from kata.classroom.results import Result, to_github
from kata.classroom.text import clean
from kata.project import KataError, Project
from kata.verdict import GRADER_ERROR


def run(
    project: Project,
    submissions: list[Path],
    out: Path,
    *,
    sets: list[str],
    rubric: Path | None = None,
    seed: int | None = None,
    workers: int | None = None,
    limits: dict[str, Any] | None = None,
    title: str = "The class",
    fresh: bool = False,
    strict: bool = False,
    gradescope: Path | None = None,
    github: Path | None = None,
    without: list[str] | None = None,
    say: Callable[[str], Any] = print,
) -> int:
    """Grade submissions into `out`; returns how many exercises the grader itself failed on."""
    from kata.classroom.pages import environment

    environment()  # where jinja2 is missing, say so before an hour of grading
    one = bool(gradescope or github)
    if one and len(submissions) != 1:
        raise KataError(f"--gradescope and --github take one submission, and there are {len(submissions)}")
    entries = intake.find(submissions, project, one)
    points = rubrics.read(rubric, project)
    earlier = read_run(out)
    if seed is None:
        seed = earlier["seed"] if earlier and not fresh and "seed" in earlier else secrets.randbelow(10**9)
    hide = [out.resolve(), *(p.resolve() for p in submissions)]
    limits = limits or {}
    job = Job(project, sets, seed, points, limits, workers or os.cpu_count() or 1, hide, strict, without or [])
    book = Book(out, project, job.fingerprint, title)
    book.open(fresh)
    say(f"{len(entries)} submission{'s' * (len(entries) != 1)}, seed {seed}, results in {out}")
    errors = 0
    try:
        with Batch(job, say) as batch:
            for number, result in enumerate(batch.grade(entries, book.known), 1):
                written = book.add(result)
                errors += result.count(GRADER_ERROR)
                say(_line(number, len(entries), result) + ("" if written else "  (graded before)"))
                if github:
                    with github.open("a", encoding="utf-8") as file:
                        file.write(f"result={to_github(result)}\n")
                if gradescope:
                    gradescope.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(out / "submissions" / result.name / "results.json", gradescope)
    finally:
        if book.results:
            book.write_class(len(entries))
    if errors:
        say(f"the grader itself failed on {errors} exercises; they are marked, and earn nothing: please look at them")
    say(f"{out / 'index.html'}  {out / 'class.csv'}")
    return errors


def _line(number: int, total: int, result: Result) -> str:
    width = len(str(total))
    if result.problem:
        return f"{number:>{width}}/{total}  {clean(result.shown)}: {result.problem}"
    failed = f", {result.stumbles} failed" if result.stumbles else ""
    return f"{number:>{width}}/{total}  {clean(result.shown)}: {result.points:g} of {result.most:g} points{failed}"
