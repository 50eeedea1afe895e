"""Pages of the watcher beside the current exercise: the list, a round over everything, and the comparison."""

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from kata import watch_screen as show
from kata.learner import mine_and_reference
from kata.project import Exercise, Project
from kata.report import bars, next_exercise
from kata.verdict import PASSED, TODO, Verdict


class Page:
    """Something to read that takes the place of the exercise; `move` scrolls it."""

    title = ""
    keys: tuple[show.Key, ...] = (("↑↓", "move"), ("esc", "back"))

    def __init__(self) -> None:
        self._screen = show.Screen([], [], [])

    def body(self, width: int) -> list[RenderableType]:
        raise NotImplementedError

    def screen(self, width: int) -> show.Screen:
        head: list[RenderableType] = [Text(f" {self.title}", style="bold"), show.rule()]
        foot: list[RenderableType] = [show.rule(), show.prompt(list(self.keys))]
        self._screen = show.Screen(head, self.body(width), foot, self._screen.offset)
        return self._screen

    def move(self, rows: int) -> None:
        self._screen.offset = max(0, self._screen.offset + rows)


class Listing(Page):
    """All exercises; one of them is chosen with the arrows, and a filter by status is turned through."""

    def __init__(
        self, exercises: list[Exercise], stands: dict[str, str], hints: dict[str, int], current: Exercise
    ) -> None:
        super().__init__()
        self.exercises, self.stands, self.hints = exercises, stands, hints
        self.filter = "all"
        self._chosen = current.id
        self.keys = (("↑↓", "move"), ("enter", "go there"), ("s", "status"), ("←→", "set"), ("esc", "back"))

    @property
    def listed(self) -> list[Exercise]:
        test = {
            "all": lambda s: True,
            "open": lambda s: s != PASSED,
            "started": lambda s: s not in (PASSED, TODO),
            "passed": lambda s: s == PASSED,
        }[self.filter]
        return [e for e in self.exercises if test(self.stands[e.id])]

    @property
    def chosen(self) -> Exercise | None:
        return next((e for e in self.listed if e.id == self._chosen), None)

    @property
    def title(self) -> str:  # type: ignore[override]
        return f"exercises: {self.filter} ({len(self.listed)} of {len(self.exercises)})"

    def move(self, rows: int) -> None:
        ids = [e.id for e in self.listed]
        if ids:
            place = ids.index(self._chosen) if self._chosen in ids else 0
            self._chosen = ids[max(0, min(len(ids) - 1, place + rows))]

    def turn(self, key: str) -> None:
        """The next filter (s), or the set before or after."""
        if key == "s":
            names = ["all", "open", "started", "passed"]
            self.filter = names[(names.index(self.filter) + 1) % len(names)]
            if self.chosen is None and self.listed:
                self._chosen = self.listed[0].id
            return
        sets = list(dict.fromkeys(e.set for e in self.listed))
        if sets:
            at = self.chosen.set if self.chosen else sets[0]
            wanted = sets[(sets.index(at) + (1 if key == "right" else -1)) % len(sets)]
            self._chosen = next(e.id for e in self.listed if e.set == wanted)

    def body(self, width: int) -> list[RenderableType]:
        rows, place = listing(self.listed, self.stands, self.hints, self._chosen)
        self._screen.offset = max(0, place - 6)
        return rows or [Text("   none", style="dim")]


def listing(
    exercises: list[Exercise], stands: dict[str, str], hints: dict[str, int], chosen: str = ""
) -> tuple[list[RenderableType], int]:
    """Exercises under the names of their sets, and the row of the chosen one."""
    rows: list[RenderableType] = []
    place, last = 0, ""
    for exercise in exercises:
        if exercise.set != last:
            rows.append(Text(f" {exercise.set}", style="bold"))
            last = exercise.set
        if exercise.id == chosen:
            place = len(rows)
        rows.append(show.list_row(exercise, stands[exercise.id], hints.get(exercise.id, 0), exercise.id == chosen))
    return rows, place


class Summary(Page):
    """What a round over all exercises gave."""

    title = "all exercises"

    def __init__(self, project: Project, verdicts: list[Verdict]) -> None:
        super().__init__()
        self.verdicts = verdicts
        self.coming = next_exercise(project, verdicts)

    def body(self, width: int) -> list[RenderableType]:
        rows: list[RenderableType] = []
        for name, tally in bars(self.verdicts):
            line = show.bar(f"{name:<18}", tally.passed, tally.failed, tally.total, width)
            rows.append(line.append(f"  {tally.failed} failed" if tally.failed else "", style="red"))
        for verdict in self.verdicts:
            if verdict.status not in (PASSED, TODO):
                line = Text(f" {show.SIGNS[verdict.status]} {verdict.id}", style=show.STYLES[verdict.status])
                rows += ["", line, Padding(Text(verdict.headline), (0, 0, 0, 3))]
        if self.coming:
            rows += ["", Text(f" next: {self.coming.id}  ({self.coming.rating})", style="cyan")]
        else:
            rows += ["", Text(" all of it passed", style="green")]
        return rows


class Comparison(Page):
    """The learner's function and the solution's."""

    def __init__(self, exercise: Exercise, mine: RenderableType, reference: RenderableType) -> None:
        super().__init__()
        self.title = f"{exercise.id}: yours and the solution"
        self.mine, self.reference = mine, reference

    def body(self, width: int) -> list[RenderableType]:
        return [show.beside(("yours", self.mine), ("the solution", self.reference), width)]


def comparison(project: Project, exercise: Exercise) -> Comparison:
    mine, reference = mine_and_reference(project, exercise)
    theirs = show.source(reference.text, reference.first + 1)
    if mine is None:
        nothing = Text(f"   {exercise.file} has no `{exercise.name}` that can be read", style="dim")
        return Comparison(exercise, nothing, theirs)
    return Comparison(exercise, show.source(mine.text, mine.first + 1), theirs)


__all__ = ["Comparison", "Listing", "Page", "Summary", "comparison", "listing"]
