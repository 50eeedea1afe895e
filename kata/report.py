"""A run in a terminal: one line per set with a bar, what was shown, and where to go next."""

from collections.abc import Iterable
from dataclasses import dataclass

from kata.project import Exercise, Project
from kata.verdict import GRADER_ERROR, PASSED, TODO, Verdict

BAR = 24


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    todo: int = 0

    def add(self, status: str) -> None:
        if status == PASSED:
            self.passed += 1
        elif status == TODO:
            self.todo += 1
        else:
            self.failed += 1

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.todo


def bars(verdicts: Iterable[Verdict]) -> list[tuple[str, Tally]]:
    """Passed, failed and todo for each set, in the order in which the sets come."""
    tallies: dict[str, Tally] = {}
    for verdict in verdicts:
        tallies.setdefault(verdict.set, Tally()).add(verdict.status)
    return list(tallies.items())


def bar_line(name: str, tally: Tally) -> str:
    """One set as a line of plain text: name, bar, counts."""
    done = round(BAR * tally.passed / tally.total)
    wrong = min(BAR - done, max(1 if tally.failed else 0, round(BAR * tally.failed / tally.total)))
    bar = "█" * done + "▒" * wrong + "·" * (BAR - done - wrong)
    return f"{name:<18} {bar}  {tally.passed} passed, {tally.failed} failed, {tally.todo} todo"


def next_exercise(project: Project, verdicts: list[Verdict]) -> Exercise | None:
    """The first exercise, in teaching order, that ran and has not passed."""
    open_ids = {v.id for v in verdicts if v.status != PASSED}
    for set_name in project.sets:
        for exercise in project.catalog(set_name):
            if exercise.id in open_ids:
                return exercise
    return None


def summary(project: Project, verdicts: list[Verdict]) -> list[tuple[str, str]]:
    """The end of a run as (style, line) pairs."""
    lines: list[tuple[str, str]] = []
    for verdict in verdicts:
        if verdict.passed:
            score = f" (score {verdict.score:.2f})" if verdict.score < 1 else ""
            lines.append(("passed", f"✓ {verdict.id}{score}: {verdict.headline}"))
            lines += [("plain", f"    {line}") for line in verdict.evidence]
            lines += [("plain", f"    note: {line}") for line in verdict.notes]
    if lines:
        lines.append(("plain", ""))
    for name, tally in bars(verdicts):
        style = "failed" if tally.failed else "passed" if tally.todo == 0 else "plain"
        lines.append((style, bar_line(name, tally)))
    if any(v.status == GRADER_ERROR for v in verdicts):
        lines.append(("failed", "the grader itself failed somewhere: that is not your mistake, please report it"))
    coming = next_exercise(project, verdicts)
    if coming:
        where = next(v.where for v in verdicts if v.id == coming.id)
        fresh = all(v.status == TODO for v in verdicts)
        word = "start here" if fresh else "next"
        lines.append(("next", f"{word}: {coming.number}. {coming.name}  {where}  ({coming.rating})"))
    elif verdicts:
        lines.append(("passed", "all of it passed"))
    return lines
