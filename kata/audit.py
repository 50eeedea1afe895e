"""Grade the grader: run every mistake and every right variant of an exercise through the check itself."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from kata.calls import Outcome, run
from kata.compare import compare
from kata.course import Course, model_for
from kata.generic import GENERIC_MISTAKES, GENERIC_VARIANTS
from kata.judge import judge
from kata.project import Project
from kata.verdict import GRADER_ERROR, PASSED

NOISE_CEILING = 0.5  # right answers use at most half of the tolerance
MARGIN = 4.0  # the nearest mistake is at least this many times further out than the noise of right answers


@dataclass
class Trial:
    """One wrong or right version that went through the grader.

    Attributes:
        excess: distance from the reference in units of the tolerance (inf for another shape or kind).
        said: the name of the mistake that the grader named, or its headline.
    """

    name: str
    right: bool
    status: str
    excess: float
    said: str
    problem: str = ""


@dataclass
class Row:
    """One exercise of the kill matrix."""

    set: str
    exercise: str
    trials: list[Trial] = field(default_factory=list)
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def noise(self) -> float:
        return max((t.excess for t in self.trials if t.right and math.isfinite(t.excess)), default=0.0)

    @property
    def nearest(self) -> float:
        return min((t.excess for t in self.trials if not t.right and t.excess > 0), default=math.inf)


def audit_set(project: Project, set_name: str, only: str | None = None, seed: int = 0) -> list[Row]:
    """The kill matrix of a set, or of one exercise of it."""
    course = Course(project, set_name, seed)
    return [audit_exercise(course, e.name) for e in course.exercises if only in (None, e.name)]


def audit_exercise(course: Course, name: str) -> Row:
    row = Row(course.set, name)
    if name not in course.checks:
        row.problems.append("has no check")
        return row
    course.expected(name)
    began = time.perf_counter()
    reference = course.reference(name)
    row.trials.append(_trial(course, name, "the reference", reference, right=True))
    row.seconds = time.perf_counter() - began
    for variant in course.variants.get(name, []):
        row.trials.append(_trial(course, name, variant.name, variant.function, right=True))
    for label, make in GENERIC_VARIANTS.items():
        function = make(course, name)
        if function:
            row.trials.append(_trial(course, name, label, function, right=True))
    if len(course.variants.get(name, [])) < 2:
        row.problems.append("fewer than two right variants are written")
    mistakes = course.mistakes.get(name, [])
    if not mistakes:
        row.problems.append("no mistakes are written")
    for mistake in mistakes:
        trial = _trial(course, name, mistake.name, mistake.function, right=False)
        if mistake.accepted:
            trial.problem = "" if trial.status == PASSED else "is accepted on purpose, but does not pass"
        elif trial.status != PASSED and trial.said != mistake.name:
            trial.problem = f"is not named by its own message (said: {trial.said})"
        row.trials.append(trial)
    for label, wrong in GENERIC_MISTAKES.items():
        for function_name, function in wrong(course, name):
            row.trials.append(_trial(course, name, f"{label}{function_name}", function, right=False))
    accepted = {m.name for m in mistakes if m.accepted}
    for trial in row.trials:
        if trial.right and trial.status != PASSED:
            trial.problem = f"is right and was rejected: {trial.said}"
        elif not trial.right and trial.status == PASSED and trial.name not in accepted:
            trial.problem = "survives"
        elif trial.status == GRADER_ERROR:
            trial.problem = f"made the grader fail: {trial.said}"
        if trial.problem:
            row.problems.append(f"{trial.name} {trial.problem}")
    _margins(row, scored=course.checks[name].judge is not None, accepted=accepted)
    return row


def _margins(row: Row, scored: bool, accepted: set[str]) -> None:
    if scored:
        return
    if row.noise > NOISE_CEILING:
        row.problems.append(f"right answers come within {row.noise:.2f} of the tolerance: it is too tight")
    near = min(
        (t.excess for t in row.trials if not t.right and t.excess > 1 and t.name not in accepted), default=math.inf
    )
    if near < MARGIN * max(row.noise, 0.25):
        row.problems.append(f"the nearest mistake is only {near:.2g} tolerances away (noise {row.noise:.2g})")


def _trial(course: Course, name: str, label: str, function: Callable, right: bool) -> Trial:
    outcomes: list[list[Outcome]] = []
    broken = False
    check = course.checks[name]
    for bench, calls in course.plan(name):
        row = []
        for request in calls:
            outcome = (
                Outcome("skipped")
                if broken
                else run(function, request, model_for(bench, request), seconds=check.seconds)
            )
            broken = broken or outcome.status != "ok"
            row.append(outcome)
        outcomes.append(row)
    verdict = judge(course, name, outcomes)
    return Trial(label, right, verdict.status, _excess(course, name, outcomes), verdict.mistake or verdict.headline)


def _excess(course: Course, name: str, outcomes: list[list[Outcome]]) -> float:
    """The largest distance over all calls: what a wrong answer has to hide behind the tolerance."""
    check = course.checks[name]
    largest = 0.0
    if check.judge:
        return largest
    for (bench, calls), row, expected in zip(course.plan(name), outcomes, course.expected(name), strict=True):
        for request, outcome, value in zip(calls, row, expected, strict=True):
            if outcome.status != "ok":
                return math.inf
            got, want = outcome.value, value
            if check.view and not compare(got, want, check.tolerance).reason:
                got, want = check.view(bench, request, got), check.view(bench, request, want)
            largest = max(largest, compare(got, want, check.tolerance).excess)
    return largest
