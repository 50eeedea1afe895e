"""The learner's loop, without a terminal: what is on, what each event changes, and what the screen says."""

import importlib.util
import threading
import time
from collections.abc import Callable
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from kata import learner
from kata import watch_screen as show
from kata.progress import Progress, everything, look, next_open, standing, starting_point
from kata.project import Exercise, KataError, Project
from kata.submission import Submission
from kata.verdict import BROKEN, FAILED, PASSED, TIMED_OUT, TODO, Verdict
from kata.watch_judge import Judge
from kata.watch_pages import Listing, Page, Summary, comparison

WRONG = (FAILED, BROKEN, TIMED_OUT)
QUIET = 1.0  # s without a change of the course before the warm process is started anew
TOGETHER = 2.0  # s: files that are saved within this time were saved together


class Session:
    """One learner at work. Fed with events by `on`, asked for its `screen`; every change of the current one is told.

    Attributes:
        current: the exercise that is judged when its file is saved.
        verdict, seconds: the last answer about it.
        over: whether the learner wants to leave.
    """

    def __init__(self, project: Project, judge: Judge, start: Exercise | None = None):
        self.project = project
        self.judge = judge
        self.submission = Submission(project.exercises)
        self.progress = Progress(project)
        self.exercises = everything(project)
        self.seen = look(self.submission, self.exercises)
        self.current = start or starting_point(self.exercises, self.progress, self.stands)
        self.verdict: Verdict | None = None
        self.seconds: float | None = None
        self.checking: float | None = None
        self.began = time.monotonic()
        self.stage, self.ready, self.trouble = "importing torch", judge.warm.mode == "cold", ""
        self.message = ""
        self.elsewhere: Exercise | None = None
        self.more, self.changed = 0, 0.0
        self.hint: tuple[str, str] | None = None
        self.page: Page | None = None
        self.question: tuple[str, Callable[[], None]] | None = None
        self.round: dict[str, Verdict] | None = None
        self.course_changed: float | None = None
        self.offset = 0
        self.over = False
        self.can_draw = importlib.util.find_spec("kata.pictures") is not None

    # -- how things stand ----------------------------------------------------------------------------------------

    @property
    def stands(self) -> dict[str, str]:
        return {e.id: standing(self.progress, e, self.seen[e.id]) for e in self.exercises}

    @property
    def counts(self) -> tuple[int, int, int]:
        """Passed and wrong exercises of the current set, and all of them."""
        stands = self.stands
        mine = [stands[e.id] for e in self.exercises if e.set == self.current.set]
        return mine.count(PASSED), sum(s in WRONG for s in mine), len(mine)

    @property
    def busy(self) -> bool:
        """Whether the screen shows a clock that runs."""
        return self.checking is not None or not self.ready or self.course_changed is not None

    def begin(self) -> None:
        """Judge the exercise that is current."""
        self.progress.set_current(self.current)
        self.check()

    def check(self) -> None:
        self.checking = time.monotonic()
        self.round = None
        self.judge.ask(self.current)

    def choose(self, exercise: Exercise) -> None:
        """Make another exercise the current one and judge it."""
        self.page, self.hint, self.elsewhere, self.message, self.offset = None, None, None, "", 0
        if exercise.set != self.current.set:
            self.judge.prefer(order(self.project, exercise))
        if exercise.id != self.current.id:
            self.current, self.verdict, self.seconds = exercise, None, None
        self.begin()

    # -- events --------------------------------------------------------------------------------------------------

    def on(self, kind: str, *news: Any) -> None:
        """Take in one event of the files, the judge, the keyboard or the clock."""
        getattr(self, f"_on_{kind}")(*news)

    def _on_tick(self) -> None:
        if self.course_changed is not None and time.monotonic() - self.course_changed > QUIET:
            self.course_changed = None
            self._reload()

    def _on_saved(self, files: set[tuple[str, str]]) -> None:
        touched = [e for e in self.exercises if (e.set, e.file) in files]
        before, fresh = dict(self.seen), look(self.submission, touched)
        self.seen.update(fresh)
        changed = [e for e in touched if fresh[e.id].code not in ("", before[e.id].code)]
        self.message = ""
        others = [e for e in changed if e.id != self.current.id]
        if others:
            self.elsewhere, self.more, self.changed = others[0], len(others) - 1, time.monotonic()
        elif changed and time.monotonic() - self.changed > TOGETHER:
            self.elsewhere = None
        if (self.current.set, self.current.file) in files:
            self.offset = 0
            self.check()

    def _on_course(self) -> None:
        self.course_changed = time.monotonic()

    def _reload(self) -> None:
        """The course itself is another one: look at it anew."""
        try:
            self.exercises = everything(self.project) or self.exercises
        except (KataError, SyntaxError) as error:  # it is being written
            self.trouble = str(error)
            return
        self.seen = look(self.submission, self.exercises)
        same = [e for e in self.exercises if e.id == self.current.id]
        self.current = same[0] if same else self.exercises[0]
        self.began, self.ready, self.stage = time.monotonic(), self.judge.warm.mode == "cold", "the course has changed"
        self.trouble = ""
        self.judge.restart(order(self.project, self.current))
        self.check()

    def _on_note(self, note: dict[str, Any]) -> None:
        if note.get("stage") == "libraries":
            self.stage = f"getting {self.current.set} ready"
        if "error" in note and note.get("stage", self.current.set) == self.current.set:
            self.trouble = note["error"].strip().splitlines()[-1]
        self.ready = self.ready or bool(note.get("ready"))

    def _on_verdict(self, exercise: Exercise, verdict: Verdict, seconds: float, serial: int) -> None:
        if serial != self.judge.serial or exercise.id not in self.seen:
            return  # about a file as it was before, or of a course that has lost this exercise
        warm, self.ready = self.ready, True
        if self.judge.warm.mode == "standby":  # it is used up, and the next one warms up now
            self.began, self.ready, self.stage = time.monotonic(), False, "a standby process imports torch"
        self.progress.record(verdict, self.seen[exercise.id].code)
        if self.round is not None:
            self.round[exercise.id] = verdict
        if exercise.id == self.current.id:
            self.verdict, self.seconds = verdict, seconds if warm else None  # the warming up is not its own time
            self.checking = None if self.round is None else self.checking

    def _on_all(self, left: list[Exercise]) -> None:
        if self.round is not None and not left:
            verdicts, self.round, self.checking = list(self.round.values()), None, None
            self.page = Summary(self.project, verdicts)

    def _on_figure(self, text: str) -> None:
        self.message = text

    def _on_unwatched(self, text: str) -> None:
        self.trouble = f"files cannot be watched: {text}. Space checks by hand."

    def _on_resize(self) -> None:
        pass

    def _on_key(self, key: str) -> None:
        if key == "quit":
            self.over = True
        elif self.question:
            (_, action), self.question = self.question, None
            if key == "y":
                action()
        elif self.page:
            self._page_key(key)
        elif key in MOVES:
            self.offset = max(0, self.offset + MOVES[key])
        elif key in KEYS:
            self.message = ""
            KEYS[key](self)

    def _page_key(self, key: str) -> None:
        assert self.page
        if key in MOVES:
            self.page.move(MOVES[key])
        elif isinstance(self.page, Listing) and key == "enter":
            chosen = self.page.chosen
            if chosen:
                self.choose(chosen)
        elif isinstance(self.page, Listing) and key in ("s", "left", "right"):
            self.page.turn(key)
        elif key in ("escape", "q", "l", "enter", "d"):
            self.page = None

    # -- keys ----------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        following = next_open(self.exercises, self.stands, self.current.id, skip=True)
        if following is None or following.id == self.current.id:
            self.message = "every other exercise has passed"
        else:
            self.choose(following)

    def _previous(self) -> None:
        place = [e.id for e in self.exercises].index(self.current.id)
        self.choose(self.exercises[place - 1])

    def _hint(self) -> None:
        rungs = learner.hints(self.project, self.current)
        if not rungs:
            path, _ = self.project.readme_heading(self.current)
            self.message = f"{path.relative_to(self.project.root)} has no hints for {self.current.name}"
            return
        rung = self.progress.open_hint(self.current, len(rungs))
        last = " (the last one)" if rung == len(rungs) else f" ({rung} of {len(rungs)})"
        self.hint = (rungs[rung - 1][0] + last, rungs[rung - 1][1])
        self.offset = 0

    def _list(self) -> None:
        hints = {e.id: self.progress.entry(e).hints for e in self.exercises}
        self.page = Listing(self.exercises, self.stands, hints, self.current)

    def _check_all(self) -> None:
        self.checking, self.round = time.monotonic(), {}
        todo = [e for e in self.exercises if self.seen[e.id].todo]
        started = [e for e in self.exercises if e not in todo]
        for exercise in todo:
            self.round[exercise.id] = Verdict(exercise.set, exercise.name, TODO, "not written yet")
        self.judge.ask_all(started)

    def _figure(self) -> None:
        if not self.can_draw:
            self.message = "this course draws no figures"
            return
        exercise = self.current
        self.message = f"drawing {exercise.name} …"
        threading.Thread(target=lambda: self.judge.post("figure", self.judge.figure(exercise)), daemon=True).start()

    def _diff(self) -> None:
        if not self.progress.entry(self.current).passed:
            self.message = f"the solution is shown after a pass; `kata diff {self.current.name} --spoil` shows it now"
            return
        self.page = comparison(self.project, self.current)

    def _reset(self) -> None:
        try:
            plan = learner.plan_reset(self.project, self.current)
        except KataError as error:
            self.message = str(error)
            return
        if plan.text is None:
            self.message = f"{self.current.name} is as it was handed out"
            return

        def put_back() -> None:
            copy = learner.reset(plan)
            self.message = f"{plan.what}; your version is {copy.name}" if copy else plan.what

        self.question = (f"{plan.what}, and a copy of your file is kept beside it. Do it? (y/n)", put_back)

    def _go_elsewhere(self) -> None:
        if self.elsewhere:
            self.choose(self.elsewhere)

    def _escape(self) -> None:
        if self.round is not None:
            self.round, self.checking = None, None
            self.judge.cancel()
        self.hint, self.offset = None, 0

    def _quit(self) -> None:
        self.over = True

    # -- the screen ----------------------------------------------------------------------------------------------

    def screen(self, width: int) -> show.Screen:
        if self.page:
            return self.page.screen(width)
        head = show.headline(self.current, self.submission.shown(self.current), width)
        return show.Screen(head, self._body(), self._foot(width), self.offset)

    def state_line(self) -> str:
        """What is going on now, in a few words; "" where an answer stands."""
        if self.round is not None:
            return f"checking all: {len(self.round)} of {len(self.exercises)}"
        if self.checking is None:
            return ""
        if not self.ready:
            return f"warming up, {time.monotonic() - self.began:.0f} s: {self.stage} (later answers come at once)"
        spent = time.monotonic() - self.checking
        return "checking …" if spent < 1 else f"checking … {spent:.0f} s"

    def _body(self) -> list[RenderableType]:
        rows: list[RenderableType] = []
        line = self.state_line()
        if line:
            rows.append(Text(f" ▸ {line}", style="cyan"))
        if self.verdict and self.verdict.status == TODO:
            rows.append(Text(" · todo: write this function, save the file, and the answer is here", style="yellow"))
        elif self.verdict:
            rows += show.verdict_body(self.verdict, None if line else self.seconds, pale=bool(line))
        if self.verdict and self.verdict.passed and not line:
            rows.append(Text("   d: your function beside the solution   n: the next exercise", style="cyan"))
        if self.hint:  # after the headline, so that it is in sight; the evidence comes below
            place = 2 if self.verdict and self.verdict.status != TODO else len(rows)
            rows[place + bool(line) : place + bool(line)] = ["", *show.markdown(*self.hint), ""]
        elif self.seen[self.current.id].todo:
            rows += ["", *show.task(self.current)]
        return rows

    def _foot(self, width: int) -> list[RenderableType]:
        rows: list[RenderableType] = [show.rule()]
        if self.progress.trouble or self.trouble:
            rows.append(show.said(f"! {self.trouble or self.progress.trouble}", "yellow"))
        if self.elsewhere:
            more = f" and {self.more} more" if self.more else ""
            rows.append(show.said(f"you changed {self.elsewhere.name}{more}: g goes to {self.elsewhere.id}"))
        if self.message:
            rows.append(show.said(self.message))
        if self.question:
            return [*rows, show.said(self.question[0], "bold yellow")]
        stands = self.stands
        line = show.bar(self.current.set, *self.counts, width)
        line.append(f"   all sets {list(stands.values()).count(PASSED)}/{len(stands)}", style="dim")
        return [*rows, line, show.prompt(self._keys())]

    def _keys(self) -> list[show.Key]:
        keys = [("n", "next"), ("h", "hint"), ("l", "list"), ("a", "check all")]
        keys += [("f", "figure")] if self.can_draw else []
        keys += [("d", "diff")] if self.verdict and self.verdict.passed else []
        return [*keys, ("r", "reset"), ("q", "quit")]


MOVES = {"up": -1, "down": 1, "k": -1, "j": 1, "page up": -10, "page down": 10, "home": -10_000, "end": 10_000}
KEYS: dict[str, Callable[[Session], None]] = {
    "n": Session._next,
    "p": Session._previous,
    "h": Session._hint,
    "l": Session._list,
    "a": Session._check_all,
    "f": Session._figure,
    "d": Session._diff,
    "r": Session._reset,
    "g": Session._go_elsewhere,
    "q": Session._quit,
    "space": Session.check,
    "enter": Session.check,
    "escape": Session._escape,
}


def order(project: Project, current: Exercise) -> list[str]:
    """The sets in the order in which they are wanted."""
    return [current.set, *(name for name in project.sets if name != current.set)]


__all__ = ["Session", "order"]
