"""The second half of a check: over the plain values that came back, say whether they are right, and if not, why."""

import math
import re
from typing import Any

import torch

from kata.calls import Call, Outcome
from kata.checking import Bench, Check, Judged, Mistake, Tolerance
from kata.compare import Gap, compare, evidence, kind
from kata.course import Course
from kata.differ import describe
from kata.project import Exercise
from kata.shapes import conform, promised
from kata.sight import cannot_load, todo
from kata.verdict import BROKEN, FAILED, GRADER_ERROR, PASSED, TIMED_OUT, TODO, Verdict


def judge(course: Course, name: str, outcomes: list[list[Outcome]]) -> Verdict:
    """Judge what an exercise's calls gave, in the order of `course.plan(name)`."""
    exercise = course.exercise(name)
    try:
        verdict = _judge(course, exercise, course.checks[name], outcomes)
    except Exception as error:  # ours, not the learner's: say so and blame nobody
        return Verdict(
            exercise.set,
            name,
            GRADER_ERROR,
            f"the grader itself failed on {name}; this is not your mistake",
            [f"{type(error).__name__}: {error}"],
            "please report it; your other exercises are graded as usual",
        )
    first = [o for row in outcomes for o in row]
    verdict.seconds = sum(o.seconds for o in first)
    verdict.notes += _notes(exercise, first)
    if not verdict.passed and verdict.status != TODO and not verdict.next_step:
        verdict.next_step = hint_line(course, exercise)
    return verdict


def hint_line(course: Course, exercise: Exercise) -> str:
    path, line = course.project.readme_heading(exercise)
    return f'hints under "{exercise.heading}" in {path.relative_to(course.project.root)}:{line}'


def _judge(course: Course, exercise: Exercise, check: Check, outcomes: list[list[Outcome]]) -> Verdict:
    def verdict(status: str, headline: str, lines: list[str] | None = None, **more: Any) -> Verdict:
        return Verdict(exercise.set, exercise.name, status, headline, lines or [], **more)

    plan = course.plan(exercise.name)
    flat = [(b, c, o) for (b, calls), row in zip(plan, outcomes, strict=True) for c, o in zip(calls, row, strict=True)]
    if flat[0][2].status == "todo":
        return todo(exercise)
    problem = _problem(course, exercise, check, flat, outcomes)
    if problem is None:
        score, extra = 1.0, []
        if check.judge:
            results = _scored(check, plan, outcomes)
            score, extra = min(r.score for r in results), [line for r in results for line in r.evidence]
        shown = (
            check.shown(course.shown(exercise.name)) if callable(check.shown) else _fill(course, exercise, check.shown)
        )
        return verdict(PASSED, shown or f"{exercise.name} is right", extra, score=score)
    status, headline, lines, score = problem
    named = recognise(course, exercise.name, outcomes)
    if named:
        figures = re.sub(r" \([^()]*\?\)$", "", headline)  # a guess has no place beside a name
        lines = [f"in figures: {figures}", *lines] if status == FAILED else lines
        return verdict(status, named.message, lines, mistake=named.name, score=score)
    return verdict(status, headline, lines, score=score)


def _problem(
    course: Course,
    exercise: Exercise,
    check: Check,
    flat: list[tuple[Bench, Call, Outcome]],
    outcomes: list[list[Outcome]],
) -> tuple[str, str, list[str], float] | None:
    """Status, headline, evidence and score of the first thing that is wrong; None where all is right."""
    name = exercise.name
    for bench, request, outcome in flat:
        about = _about(bench, request)
        if outcome.status == "timeout":
            limit = f"{check.seconds:.0f} s"
            return (
                TIMED_OUT,
                f"`{name}` was stopped after {limit}: a loop that never ends, or work that is far too slow",
                about,
                0,
            )
        if outcome.status in ("error", "todo"):
            return BROKEN, *_crash(name, outcome, about), 0
    for _bench, _request, outcome in flat:
        if outcome.changed:
            what = " and ".join("the model" if c == "model" else f"its argument `{c}`" for c in outcome.changed)
            return FAILED, f"`{name}` changes {what} in place: work on a copy and return a new tensor", [], 0
        if outcome.hooks_left:
            where = ", ".join(outcome.hooks_left[:3])
            lines = [f"hooks were still there on {where}"]
            return (
                FAILED,
                f"`{name}` leaves hooks on the model: use run_with_hooks, which takes them off again",
                lines,
                0,
            )
    reference = course.reference(name)
    for bench, request, outcome in flat:
        wrong = conform(reference, request, outcome.value)
        if wrong:
            return FAILED, f"`{name}` {wrong}", [promised(reference), *_about(bench, request)], 0
    if check.judge:
        results = _scored(check, course.plan(name), outcomes)
        for result in results:
            if not result.passed:
                return FAILED, result.headline, list(result.evidence), min(r.score for r in results)
        return None
    return _unequal(course, check, flat, name)


def _unequal(
    course: Course, check: Check, flat: list[tuple[Bench, Call, Outcome]], name: str
) -> tuple[str, str, list[str], float] | None:
    expected = [value for row in course.expected(name) for value in row]
    gaps = [_gap(check, b, c, o.value, e) for (b, c, o), e in zip(flat, expected, strict=True)]
    failing = [i for i, gap in enumerate(gaps) if not gap.equal]
    if not failing:
        return None
    worst = failing[0]
    bench, request, outcome = flat[worst]
    lines = evidence(gaps[worst]) + _about(bench, request)
    for sentence, test in check.claims:
        if not _holds(test, bench, request, outcome.value):
            lines.append(f"does not hold: {sentence}")
    headline = describe(gaps[worst], check.tolerance)
    if len(failing) < len(flat):
        right = len(flat) - len(failing)
        lines.append(f"{right} of {len(flat)} calls are right")
        if all(flat[i][0].checkpoint.role != "shown" for i in failing):
            headline = f"right on the shown checkpoint, wrong on its sibling: {headline}"
            lines.append("does it use a number or a table that belongs to one checkpoint only?")
    ignored = _ignored([c for _, c, _ in flat], [o.value for *_, o in flat], expected)
    if ignored:
        headline, lines = ignored, [headline, *lines]
    return FAILED, f"{headline[0].upper()}{headline[1:]}", lines, 0


def _gap(check: Check, bench: Bench, request: Call, got: Any, expected: Any) -> Gap:
    if check.view and compare(got, expected, Tolerance(math.inf, 0)).reason == "":
        got, expected = check.view(bench, request, got), check.view(bench, request, expected)
    return compare(got, expected, check.tolerance)


def _scored(check: Check, plan: Any, outcomes: list[list[Outcome]]) -> list[Judged]:
    assert check.judge
    return [check.judge(b, calls, [o.value for o in row]) for (b, calls), row in zip(plan, outcomes, strict=True)]


def _holds(test: Any, bench: Bench, request: Call, value: Any) -> bool:
    try:
        return bool(test(bench, request, value))
    except Exception:
        return False


def recognise(course: Course, name: str, outcomes: list[list[Outcome]]) -> Mistake | None:
    """The one known mistake that gives what these outcomes gave on every call; None if none or several do."""
    agreeing = [m for m in course.mistakes.get(name, []) if not m.accepted and _agrees(course, name, m, outcomes)]
    return agreeing[0] if len(agreeing) == 1 else None


def _agrees(course: Course, name: str, mistake: Mistake, outcomes: list[list[Outcome]]) -> bool:
    check = course.checks[name]
    for (bench, calls), row in zip(course.plan(name), outcomes, strict=True):
        for request, outcome in zip(calls, row, strict=True):
            if outcome.status == "skipped":
                return True  # an earlier call broke, and the mistake breaks there too
            if mistake.when is not None:
                if outcome.status != "ok" or not _holds(mistake.when, bench, request, outcome.value):
                    return False
                continue
            theirs = course.mistaken(mistake, bench, request)
            if (theirs.status, theirs.changed, bool(theirs.hooks_left)) != (
                outcome.status,
                outcome.changed,
                bool(outcome.hooks_left),
            ):
                return False
            if outcome.status == "error":
                same = theirs.error and outcome.error and theirs.error.kind == outcome.error.kind
                if not same or theirs.error.message != outcome.error.message:  # type: ignore[union-attr]
                    return False
            elif not _gap(check, bench, request, outcome.value, theirs.value).equal:
                return False
    return True


def _fill(course: Course, exercise: Exercise, text: str) -> str:
    """Put the shown checkpoint's facts into the braces of a text; `{fact@variant}` is that of another variant."""
    if "{" not in text:
        return text
    bench = course.shown(exercise.name)

    class Facts(dict):
        def __missing__(self, key: str) -> Any:
            name, _, where = key.partition("@")
            return (course.bench_of(where) if where else bench).fact(name)

    return text.format_map(Facts())


def _about(bench: Bench, request: Call) -> list[str]:
    detail = request.describe()
    return [f"on {bench.checkpoint.described}" + (f", {detail}" if detail else "")]


def _crash(name: str, outcome: Outcome, about: list[str]) -> tuple[str, list[str]]:
    error = outcome.error
    if error is None:
        return f"`{name}` stopped", about
    message = error.message.splitlines()[0] if error.message else ""
    lines = [f"{error.where}: {error.text}".rstrip(": ")] if error.where else []
    lines += error.message.splitlines()[1:4]
    if error.kind == "SystemExit":
        return f"`{name}` calls exit(): return a value instead", lines + about
    if error.kind == "NotImplementedError":
        return f"`{name}` reaches a part that is not written yet", lines + about
    return f"`{name}` stopped with {error.kind}" + (f": {message}" if message else ""), lines + about


def _ignored(calls: list[Call], got: list[Any], expected: list[Any]) -> str:
    """A sentence where the result never changes although one argument does and should; else ""."""
    for i in range(len(calls) - 1):
        a, b = calls[i], calls[i + 1]
        changed = [k for k in a.args if k in b.args and not _equal_args(a.args[k], b.args[k])]
        if len(changed) == 1 and _equal_args(got[i], got[i + 1]) and not _equal_args(expected[i], expected[i + 1]):
            return f"your result did not change when `{changed[0]}` did"
    return ""


def _equal_args(a: Any, b: Any) -> bool:
    return type(a) is type(b) and compare(a, b, Tolerance(0, 0)).excess == 0 if _plain(a) and _plain(b) else a is b


def _plain(value: Any) -> bool:
    return isinstance(value, (torch.Tensor, int, float, str, list, tuple, dict, set, type(None)))


def _notes(exercise: Exercise, outcomes: list[Outcome]) -> list[str]:
    notes = []
    if any(o.reseeded for o in outcomes):
        notes.append("this function seeds torch's global generator: a torch.Generator of its own would disturb nobody")
    printed = next((o.printed for o in outcomes if o.printed.strip()), "")
    if printed:
        lines = printed.strip().splitlines()
        notes.append(
            f"it printed: {lines[0][:100]}" + (f" (and {len(lines) - 1} lines more)" if len(lines) > 1 else "")
        )
    return notes


__all__ = ["cannot_load", "judge", "kind", "recognise", "todo"]
