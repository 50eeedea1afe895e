"""The results folder: written as submissions finish, read back to resume, merged from elsewhere.

OUT/class.csv  OUT/index.html  OUT/run.json
OUT/submissions/<name>/results.json  junit.xml  page.html
"""

import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from kata.classroom import pages, results
from kata.classroom.intake import Entry
from kata.classroom.results import Mark, Result
from kata.project import KataError, Project

EVERY = 5.0  # s between looks of the class's files while the grading is on


class Book:
    """Results of a class under one folder."""

    def __init__(self, out: Path, project: Project, fingerprint: dict[str, Any], title: str = "The class"):
        self.out, self.project, self.fingerprint, self.title = out, project, fingerprint, title
        self.results: dict[str, Result] = {}
        self._written = time.monotonic()

    @property
    def run_file(self) -> Path:
        return self.out / "run.json"

    def open(self, fresh: bool = False) -> None:
        """Take up an earlier run of the same kind. Raises KataError where the folder holds something else."""
        earlier = read_run(self.out)
        if earlier is None and self.out.exists() and any(self.out.iterdir()):
            raise KataError(f"{self.out} is not empty and holds no earlier grading: name another folder with --out")
        if earlier is not None and earlier != self.fingerprint:
            if not fresh:
                keys = set(earlier) | set(self.fingerprint)
                other = sorted(k for k in keys if earlier.get(k) != self.fingerprint.get(k))
                raise KataError(
                    f"{self.out} holds a grading with another {' and '.join(other)}: name another --out, or say "
                    "--fresh to grade everything again there"
                )
            shutil.rmtree(self.out / "submissions", ignore_errors=True)
        results.write(self.run_file, json.dumps(self.fingerprint, indent=1, sort_keys=True) + "\n")

    def known(self, entry: Entry, digest: str) -> Result | None:
        """The result of an earlier run for the same files, if all of it was written."""
        folder = self._folder(entry.name)
        if not (folder / "page.html").is_file() or not (folder / "junit.xml").is_file():
            return None
        try:
            result = results.from_json(folder / "results.json")
        except KataError:
            return None
        run = {k: v for k, v in result.run.items() if k != "fences"}
        return result if (result.digest, run) == (digest, self.fingerprint) else None

    def add(self, result: Result) -> bool:
        """Write what belongs to one submission; returns False where it was there already."""
        folder = self._folder(result.name)
        fresh = not (folder / "results.json").is_file() or bool(self._differs(folder, result))
        if fresh:
            results.write(folder / "page.html", pages.submission(self.project, result))
            results.write(folder / "junit.xml", results.to_junit(result))
            results.write(folder / "results.json", results.to_json(result))  # last: it says that all is there
        self.results[result.name] = _light(result)
        if time.monotonic() - self._written > EVERY:
            self.write_class()
        return fresh

    def _differs(self, folder: Path, result: Result) -> bool:
        return (folder / "results.json").read_text(encoding="utf-8") != results.to_json(result)

    def write_class(self, expected: int = 0) -> None:
        """The CSV and the page of the class."""
        everyone = [self.results[name] for name in sorted(self.results)]
        ids = [e.id for s in self.project.sets for e in self.project.catalog(s)]
        used = {m.verdict.id for r in everyone for m in r.marks}
        columns = [i for i in ids if i in used] + sorted(used - set(ids))
        about = self.about(len(everyone), expected)
        results.write(self.out / "class.csv", results.to_csv(everyone, columns))
        results.write(self.out / "index.html", pages.class_page(self.project, everyone, self.title, about))
        self._written = time.monotonic()

    def about(self, done: int, expected: int) -> str:
        parts = []
        if "seed" in self.fingerprint:
            parts.append(f"Graded with seed {self.fingerprint['seed']}.")
        if expected > done:
            parts.append(f"{done} of {expected} submissions so far.")
        return " ".join(parts)

    def _folder(self, name: str) -> Path:
        return self.out / "submissions" / name


def read_run(out: Path) -> dict[str, Any] | None:
    """What an earlier grading in this folder was made with; None where there was none."""
    try:
        run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return run if isinstance(run, dict) else None


def _light(result: Result) -> Result:
    """What the class's files need of a result: a class of thousands stays small in memory."""
    marks = []
    for mark in result.marks:
        verdict = replace(
            mark.verdict, evidence=[], notes=[], next_step="", where="", headline=sys.intern(mark.verdict.headline)
        )
        if verdict.passed or verdict.status == "todo":
            verdict.headline = ""
        marks.append(Mark(verdict, mark.points, mark.most, mark.extra, mark.same))
    return replace(result, marks=marks)


def merge(sources: list[Path], out: Path, project: Project, title: str) -> Book:
    """Make the class's files from results.json files that were written elsewhere, one container per submission."""
    files: list[Path] = []
    for source in sources:
        if source.is_file():
            files.append(source)
        elif source.is_dir():
            files += sorted(source.rglob("results.json"))
        else:
            raise KataError(f"{source} is not there")
    files = [f for f in files if not f.resolve().is_relative_to(out.resolve())]
    if not files:
        raise KataError("no results.json was found to merge")
    book = Book(out, project, {}, title)
    runs = []
    for file in files:
        result = results.from_json(file)
        if not result.name or "/" in result.name or result.name.startswith("."):
            raise KataError(f"{file} has no usable name: {result.name!r}")
        if result.name in ("submission", "exercises") or result.name in book.results:
            result.name, result.shown = _named_by(file, result, book)
        runs.append({k: v for k, v in result.run.items() if k not in ("fences", "seed")})
        page = file.with_name("page.html")
        folder = book._folder(result.name)
        folder.mkdir(parents=True, exist_ok=True)
        book.add(result)
        if page.is_file():
            shutil.copyfile(page, folder / "page.html")
    if any(run != runs[0] for run in runs):
        book.title += " (graded with different courses or rubrics)"
    book.write_class()
    return book


def _named_by(file: Path, result: Result, book: Book) -> tuple[str, str]:
    """On a course platform every submission has the same name: then its results' folder names it."""
    name = file.resolve().parent.name
    if name in book.results or not name:
        raise KataError(f"{file}: there is a result named {name or result.name!r} already")
    return name, name
