"""What is written of a submission and of a class: results.json (Gradescope's format), JUnit XML, CSV."""

import base64
import csv
import io
import json
import os
import xml.etree.ElementTree as ET
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kata.classroom.rubric import Rubric
from kata.project import Exercise, KataError
from kata.verdict import GRADER_ERROR, PASSED, STATUSES, TODO, Verdict

FORMAT = 1


@dataclass
class Mark:
    """One exercise of one submission: verdict, points, and how its wrong result is told from others'."""

    verdict: Verdict
    points: float
    most: float
    extra: bool
    same: str = ""
    pictures: list[str] = field(default_factory=list)


@dataclass
class Result:
    """One graded submission.

    Attributes:
        name: also its folder in the results.
        shown: the name as it came.
        notes: what was left out on the way in.
        problem: why nothing could be graded, where that is so.
        run: seed, fences and versions: what a second grading needs to give the same.
    """

    name: str
    shown: str
    marks: list[Mark]
    notes: list[str] = field(default_factory=list)
    problem: str = ""
    digest: str = ""
    run: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def points(self) -> float:
        return round(sum(m.points for m in self.marks), 2)

    @property
    def most(self) -> float:
        return round(sum(m.most for m in self.marks if not m.extra), 2)

    def count(self, *statuses: str) -> int:
        return sum(m.verdict.status in statuses for m in self.marks)

    @property
    def stumbles(self) -> int:
        return len(self.marks) - self.count(PASSED, TODO)


def marked(exercises: list[Exercise], rows: list[dict[str, Any]], rubric: Rubric) -> list[Mark]:
    """Verdicts as the judge sent them, with their points."""
    factor = rubric.factor(exercises)
    marks = []
    for exercise, row in zip(exercises, rows, strict=True):
        verdict = Verdict.from_dict(row["verdict"])
        earned = round(rubric.earned(exercise, verdict) * factor, 4)
        most = round(rubric.most(exercise) * factor, 4)
        marks.append(Mark(verdict, earned, most, rubric.extra(exercise), row["same"], row["pictures"]))
    return marks


# -- results.json


def to_json(result: Result) -> str:
    """Gradescope's results.json; `extra_data` holds all that the other outputs are made from."""
    tests = [_test(place, mark) for place, mark in enumerate(result.marks, 1)]
    lines = [result.problem] if result.problem else []
    passed, failed, left = result.count(PASSED), result.stumbles, result.count(TODO)
    lines += [f"{passed} passed, {failed} failed, {left} not written yet", *result.notes]
    data = {
        "score": result.points,
        "execution_time": round(result.seconds),
        "output": "\n".join(lines),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {
            "format": FORMAT,
            "name": result.name,
            "shown": result.shown,
            "max_score": result.most,
            "notes": result.notes,
            "problem": result.problem,
            "digest": result.digest,
            "run": result.run,
        },
    }
    return json.dumps(data, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def _test(place: int, mark: Mark) -> dict[str, Any]:
    verdict = mark.verdict
    about = asdict(verdict)
    about.pop("seconds")
    return {
        "name": verdict.id,
        "name_format": "text",
        "number": str(place),
        "score": mark.points,
        "max_score": 0 if mark.extra else mark.most,
        "status": "passed" if verdict.passed else "failed",
        "output": "\n".join(verdict.lines()),
        "output_format": "text",
        "tags": [verdict.set, verdict.status, *([verdict.mistake] if verdict.mistake else [])],
        "visibility": "visible",
        "extra_data": {"verdict": about, "most": mark.most, "extra": mark.extra, "same": mark.same},
    }


def from_json(path: Path) -> Result:
    """Read a results.json of ours back. Raises KataError with one line where it is not one."""
    try:
        if path.stat().st_size > 50 << 20:
            raise ValueError("far too large")
        data = json.loads(path.read_text(encoding="utf-8"))
        extra = data["extra_data"]
        if extra["format"] != FORMAT:
            raise ValueError(f"format {extra['format']!r}")
        marks = [_mark(test) for test in data["tests"]]
        result = Result(
            str(extra["name"]),
            str(extra["shown"]),
            marks,
            [str(n) for n in extra["notes"]],
            str(extra["problem"]),
            str(extra["digest"]),
            dict(extra["run"]),
            float(data["execution_time"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise KataError(f"{path} is not a results.json of `kata grade`: {type(error).__name__} {error}") from None
    return result


def _mark(test: dict[str, Any]) -> Mark:
    extra = test["extra_data"]
    verdict = Verdict.from_dict(extra["verdict"])
    if verdict.status not in STATUSES or not all(isinstance(x, str) for x in (verdict.set, verdict.exercise)):
        raise ValueError("an unknown status")
    return Mark(verdict, float(test["score"]), float(extra["most"]), bool(extra["extra"]), str(extra["same"]))


def to_github(result: Result) -> str:
    """What GitHub Classroom's grading reporter reads from a step's output: base64 of its JSON."""
    tests = [
        {
            "name": m.verdict.id,
            "status": "pass" if m.verdict.passed else "fail",
            "score": m.points,
            "message": "" if m.verdict.passed else m.verdict.headline[:300],
        }
        for m in result.marks
    ]
    status = "pass" if all(m.verdict.passed for m in result.marks) else "fail"
    data = {"version": 1, "status": status, "max_score": result.most, "tests": tests}
    return base64.b64encode(json.dumps(data).encode()).decode()


# -- JUnit


def to_junit(result: Result) -> str:
    """JUnit XML: one suite per problem set, one case per exercise."""
    root = ET.Element("testsuites", name=result.shown)
    for set_name in dict.fromkeys(m.verdict.set for m in result.marks):
        marks = [m for m in result.marks if m.verdict.set == set_name]
        suite = ET.SubElement(root, "testsuite", name=set_name, tests=str(len(marks)))
        kinds = {"failures": 0, "errors": 0, "skipped": 0}
        seconds = 0.0
        for mark in marks:
            verdict = mark.verdict
            seconds += verdict.seconds
            time = f"{verdict.seconds:.3f}"
            case = ET.SubElement(suite, "testcase", classname=set_name, name=verdict.exercise, time=time)
            if verdict.passed:
                continue
            tag = {TODO: "skipped", GRADER_ERROR: "error"}.get(verdict.status, "failure")
            kinds["skipped" if tag == "skipped" else f"{tag}s"] += 1
            ET.SubElement(case, tag, message=verdict.headline).text = "\n".join(verdict.lines())
        suite.attrib.update({k: str(v) for k, v in kinds.items()}, time=f"{seconds:.3f}")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


# -- CSV


def to_csv(results: list[Result], exercises: list[str]) -> str:
    """One line per submission: points, counts, then the points and the status of every exercise."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = [c for e in exercises for c in (e, f"{e} status")]
    writer.writerow(["submission", "points", "out of", "passed", "failed", "todo", "problem", *columns])
    for result in results:
        by_id = {m.verdict.id: m for m in result.marks}
        cells: list[Any] = []
        for exercise in exercises:
            mark = by_id.get(exercise)
            cells += [f"{mark.points:g}", mark.verdict.status] if mark else ["", ""]
        head = [_cell(result.shown), f"{result.points:g}", f"{result.most:g}", result.count(PASSED), result.stumbles]
        writer.writerow([*head, result.count(TODO), _cell(result.problem), *cells])
    return out.getvalue()


def _cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)
