"""Self-grading: both halves of a check in one process."""

import time
from typing import Any

from kata.calls import Call, Outcome, run
from kata.checkpoints import Checkpoint, load_model
from kata.course import Course, Plan
from kata.guard import TimeUp, captured, own_random, time_limit
from kata.judge import hint_line, judge
from kata.project import Exercise, Project
from kata.sight import at_sight, cannot_load
from kata.submission import CodeError, Submission
from kata.verdict import TIMED_OUT, Verdict


class Runner:
    """Runs a submission's functions: the side on which the learner's code lives."""

    def __init__(self, submission: Submission, models: dict[Any, Any] | None = None):
        self.submission = submission
        self._models: dict[Any, Any] = {} if models is None else models

    def model(self, checkpoint: Checkpoint) -> Any:
        """The learner's own copy of a checkpoint's model."""
        key = (checkpoint.path, checkpoint.variant)
        if key not in self._models:
            self._models[key] = load_model(checkpoint)
        return self._models[key]

    def outcomes(self, exercise: Exercise, plan: Plan, seconds: float) -> list[list[Outcome]] | CodeError:
        """Make every call of a plan, within `seconds` in all; or say why the function cannot be had."""
        try:
            with captured(), own_random(), time_limit(seconds):
                function = self.submission.load(exercise)
        except TimeUp:
            return CodeError("TimeoutError", f"importing {exercise.file} takes longer than {seconds:.0f} s")
        if isinstance(function, CodeError):
            return function
        ends = time.monotonic() + seconds
        broken = False
        rows = []
        for bench, calls in plan:
            row: list[Outcome] = []
            for request in calls:
                row.append(Outcome("skipped") if broken else self._run(function, request, bench, ends))
                broken = broken or row[-1].status != "ok"
            rows.append(row)
        return rows

    def _run(self, function: Any, request: Call, bench: Any, ends: float) -> Outcome:
        model = self.model(bench.checkpoint) if request.needs_model else None
        left = max(0.05, ends - time.monotonic())
        return run(function, request, model, root=self.submission.root, seconds=left)


class Grader:
    """Judges a submission's exercises one by one, importing nothing that is not needed for them.

    `courses` (by set) and `models` (as `Runner.model` keeps them) are those that a warm process has made already.
    """

    def __init__(
        self,
        project: Project,
        submission: Submission,
        seed: int = 0,
        brought: dict[str, Checkpoint] | None = None,
        *,
        courses: dict[str, Course] | None = None,
        models: dict[Any, Any] | None = None,
    ):
        self.project = project
        self.submission = submission
        self.runner = Runner(submission, models)
        self.seed = seed
        self.brought = brought or {}
        self._courses: dict[str, Course] = {} if courses is None else courses

    def course(self, set_name: str) -> Course:
        if set_name not in self._courses:
            self._courses[set_name] = Course(self.project, set_name, self.seed, self.brought.get(set_name))
        return self._courses[set_name]

    def verdict(self, exercise: Exercise) -> Verdict:
        """Judge one exercise of the submission."""
        began = time.perf_counter()
        verdict = self._verdict(exercise)
        verdict.where = self.submission.shown(exercise)
        verdict.seconds = time.perf_counter() - began
        return verdict

    def _verdict(self, exercise: Exercise) -> Verdict:
        seen = at_sight(self.submission, exercise)
        if seen:
            return seen
        course = self.course(exercise.set)
        check = course.checks[exercise.name]
        outcomes = self.runner.outcomes(exercise, course.plan(exercise.name), check.seconds)
        if isinstance(outcomes, CodeError):
            if outcomes.kind == "TimeoutError":
                return Verdict(
                    exercise.set, exercise.name, TIMED_OUT, outcomes.message, [], hint_line(course, exercise)
                )
            return cannot_load(exercise, outcomes, "")
        return judge(course, exercise.name, outcomes)


__all__ = ["Grader", "Runner"]
