"""Verdicts at first sight: what can be said of a submission's exercise before anything is imported or run."""

from typing import Any

from kata.project import Exercise
from kata.submission import Submission
from kata.verdict import BROKEN, TODO, Verdict


def at_sight(submission: Submission, exercise: Exercise) -> Verdict | None:
    """The verdict on a file that is missing or does not parse, a function that is gone, or a stub; else None."""
    missing = submission.problem(exercise)
    verdict = cannot_load(exercise, missing, "") if missing else todo(exercise) if submission.todo(exercise) else None
    if verdict:
        verdict.where = submission.shown(exercise)
    return verdict


def todo(exercise: Exercise) -> Verdict:
    return Verdict(exercise.set, exercise.name, TODO, f"not written yet ({exercise.rating})")


def cannot_load(exercise: Exercise, error: Any, next_step: str) -> Verdict:
    """The verdict where the exercise's file cannot be imported, or lacks the function."""
    if error.kind == "FileNotFoundError" or (error.kind == "NameError" and not error.line):
        headline = error.message
    else:
        message = error.message.splitlines()[0] if error.message else ""
        headline = f"{exercise.file} cannot be imported: {error.kind}: {message}"
    lines = [f"{error.where}: {error.text}".rstrip(": ")] if error.line else []
    return Verdict(exercise.set, exercise.name, BROKEN, headline, lines, next_step)
