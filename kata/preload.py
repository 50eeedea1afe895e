"""What the warm process of self-grading imports and computes ahead, and the judging of one exercise in a child.

Both halves of a check run in the child, as in `pytest checks`; the warm process itself never opens a submission.
"""

import contextlib
import json
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from kata.project import KataError, Project

LIMIT = 120.0  # s after which a run is killed from outside, where no check says how long it may take
COURSES: dict[str, Any] = {}  # by set; forked children find them made
MODELS: dict[Any, Any] = {}  # the learner's copies
PROJECT: list[Project] = []


def prepare(settings: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
    """Import everything, then get the exercises ready: those of the first set before the door opens.

    Args:
        settings: "root", the course's folder; "sets" in the order in which they are wanted, which may change.
    """
    began = time.perf_counter()
    import torch

    torch.set_num_threads(1)
    import transformer_lens  # noqa: F401

    yield {"stage": "libraries", "seconds": time.perf_counter() - began}
    PROJECT[:] = [Project.find(Path(settings["root"]))]
    if settings.get("mode") == "cold":
        return
    done: set[tuple[str, str]] = set()
    while True:
        current = settings["sets"][0]
        coming = [("set", current), ("mistakes", current), *(("set", name) for name in settings["sets"])]
        work = next((item for item in [*coming, ("figures", "")] if item not in done), None)
        if work is None:
            yield {"rest": True}
            continue
        error = yield from _attempt(*work)
        done.add(work)
        if work[0] == "set":
            note = {"stage": work[1], "seconds": time.perf_counter() - began, **error}
            yield note if error else {**note, "limit": _limit(work[1])}
        if len(done) == 1:
            yield {"ready": True}


def _attempt(kind: str, set_name: str) -> Generator[None, None, dict[str, str]]:
    """Do one piece of work in steps; what stopped it, as {"error": text}."""
    try:
        if kind == "figures":
            with contextlib.suppress(ImportError):
                import kata.pictures
                import kata.plots  # noqa: F401
        elif kind == "set":
            yield from _warm_up(set_name)
        else:
            yield from _meet_mistakes(set_name)
    except KataError as error:
        return {"error": str(error)}
    except Exception as error:  # a course file that is being written; the other sets are well
        return {"error": f"{set_name} cannot be made ready: {type(error).__name__}: {error}"}
    return {}


def _warm_up(set_name: str) -> Iterator[None]:
    """Compute what judging a set needs, one exercise a step; the reference is judged to touch all that judging uses."""
    from kata.course import Course
    from kata.grade import Runner
    from kata.judge import judge
    from kata.submission import Submission

    course = COURSES[set_name] = Course(PROJECT[0], set_name)
    runner = Runner(Submission(PROJECT[0].exercises), MODELS)
    for checkpoint in course.checkpoints:
        runner.model(checkpoint)
    _ = course.mistakes
    yield None
    for exercise in course.exercises:
        if exercise.name in course.checks:
            course.expected(exercise.name)
            judge(course, exercise.name, course.outcomes(exercise.name, course.reference(exercise.name)))
            yield None


def _meet_mistakes(set_name: str) -> Iterator[None]:
    """Run each known mistake on its first call, on which nearly all of them are told from a learner's result."""
    course = COURSES[set_name]
    for exercise in course.exercises:
        for mistake in course.mistakes.get(exercise.name, []):
            if mistake.when is None and not mistake.accepted and exercise.name in course.checks:
                bench, calls = course.plan(exercise.name)[0]
                course.mistaken(mistake, bench, calls[0])
                yield None


def _limit(set_name: str) -> float:
    """Seconds after which a run of this set is killed from outside: where the check's own clock did not reach."""
    return 20 + 2 * max((check.seconds for check in COURSES[set_name].checks.values()), default=20)


def request(submission: Path, exercise_id: str) -> bytes:
    """The payload for `verdict`."""
    return json.dumps({"submission": str(submission), "exercise": exercise_id}).encode()


def verdict(payload: bytes) -> bytes:
    """Judge one exercise of a submission: a verdict as JSON. Runs the learner's code."""
    from kata.grade import Grader
    from kata.submission import Submission

    wanted = json.loads(payload)
    project = PROJECT[0]
    grader = Grader(project, Submission(Path(wanted["submission"])), courses=COURSES, models=MODELS)
    said = grader.verdict(project.exercise(wanted["exercise"]))
    return json.dumps(said.to_dict()).encode()


def figure(payload: bytes) -> bytes:
    """Draw an exercise of a submission as a page: {"path": the file, "said": one line about it}."""
    from kata import pictures
    from kata.course import Course
    from kata.submission import Submission

    wanted = json.loads(payload)
    exercise = PROJECT[0].exercise(wanted["exercise"])
    course = COURSES.get(exercise.set) or Course(PROJECT[0], exercise.set)
    drawn = pictures.Artist(course, Submission(Path(wanted["submission"]))).pictures(exercise.name)
    path = pictures.scratch(exercise.id)
    pictures.save(drawn, path, exercise.id)
    return json.dumps({"path": str(path), "said": next((p.remark for p in drawn if p.remark), "")}).encode()
