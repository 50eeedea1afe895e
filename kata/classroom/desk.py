"""The judge: one per core. It holds checks, references and mistakes, and of a submission only plain values."""

import json
import math
import socket
import time
import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kata.calls import Outcome
from kata.classroom import fences, handover
from kata.classroom.lines import Lines
from kata.classroom.session import Broken, Session
from kata.classroom.text import clean
from kata.course import Course
from kata.judge import cannot_load, hint_line, judge, todo
from kata.project import Exercise, KataError, Project
from kata.submission import CodeError
from kata.verdict import BROKEN, FAILED, GRADER_ERROR, TIMED_OUT, Verdict


@dataclass(frozen=True)
class Limits:
    """What a submission may take.

    Attributes:
        seconds: for one exercise at most; a check may say less.
        total: seconds for the whole submission.
        memory, disk: bytes.
        handover: bytes of one exercise's result.
    """

    seconds: float = 20.0
    total: float = 120.0
    memory: int = 2 << 30
    disk: int = 64 << 20
    handover: int = handover.MAX_FRAME


class Desk:
    """Judges submissions one after the other."""

    def __init__(self, project: Project, sets: list[str], seed: int, limits: Limits, line: Lines, slot: int):
        self.project = project
        self.limits = limits
        self.line = line
        self.slot = slot
        self.courses = {s: Course(project, s, seed) for s in sets}
        self.exercises = [e for s in sets for e in project.catalog(s)]
        self._blobs: dict[str, bytes] = {}
        self._shapes: dict[str, list[int]] = {}

    # -- one submission -------------------------------------------------------------------------------------------

    def grade(self, order: dict[str, Any]) -> dict[str, Any]:
        """Everything that is known of a submission afterwards; plain JSON.

        Args:
            order: see `runner.guard`; `fence` is an Order's fields.
        """
        began = time.monotonic()
        self._seconds_left = self._sent = 0.0
        self._asked = 0
        self._ends = began + self.limits.total
        self._order = order
        self._session: Session | None = None
        self._memory = 0
        self._fences: list[str] = []
        self._where: dict[str, str] = {}
        self._lost: dict[tuple[str, str], Verdict] = {}
        sheets: dict[str, dict[str, Any]] = {}
        try:
            ready = self._survey(sheets)
            self._run_all(ready, sheets)
        finally:
            if self._session:
                self._session.close()
        rows = [sheets[e.id] for e in self.exercises]
        return {"rows": rows, "fences": self._fences, "seconds": time.monotonic() - began, "memory": self._memory}

    def _open(self) -> Session:
        if self._session is None or self._session.data is None:
            self._session = Session(self._start, self._ended, self._order, self.limits.handover)
            self._fences = self._session.fences
        return self._session

    def _start(self, order: dict[str, Any]) -> None:
        self.line.send(child=order)

    def _ended(self, seconds: float) -> dict[str, Any]:
        message = self.line.read(seconds)
        if message is None:
            raise SystemExit("the supervisor is gone")
        last = message["ended"]
        self._memory = max(self._memory, last.get("memory", 0))
        return last

    def _survey(self, sheets: dict[str, dict[str, Any]]) -> list[Exercise]:
        """Settle what needs no run; returns the exercises that do."""
        asked = [_short(e) for e in self.exercises]
        try:
            looks = self._open().survey(asked)
            if not isinstance(looks, list) or len(looks) != len(asked):
                raise handover.Malformed("the survey is not one")
        except (Broken, handover.Malformed) as error:
            for exercise in self.exercises:
                verdict = self._verdict(exercise, BROKEN, f"the submission could not be read: {error}")
                ours = isinstance(error, Broken) and error.kind == "fence"
                self._settle(sheets, exercise, _grader_error(exercise, error) if ours else verdict)
            return []
        ready = []
        for exercise, look in zip(self.exercises, looks, strict=True):
            self._where[exercise.id] = clean(look["where"])
            if look["problem"] is not None:
                problem = handover.read_error(look["problem"])
                self._settle(sheets, exercise, cannot_load(exercise, problem, ""))
            elif look["todo"] is True:
                self._settle(sheets, exercise, todo(exercise))
            else:
                ready.append(exercise)
        return ready

    def _run_all(self, ready: list[Exercise], sheets: dict[str, dict[str, Any]]) -> None:
        """Keep the child and the judge busy side by side: one exercise runs while the one before is judged."""
        waiting: tuple[Exercise, Any] | None = None
        for exercise in ready:
            self.line.send(at=exercise.id)
            result = self._ask(exercise)
            if waiting:
                self._judge(sheets, *waiting)
            waiting = (exercise, self._answer(exercise) if result is None else result)
        if waiting:
            self._judge(sheets, *waiting)

    def _ask(self, exercise: Exercise) -> Verdict | None:
        """Send an exercise to the child; a verdict where it is settled without that."""
        known = self._lost.get((exercise.set, exercise.file))
        if known:
            return replace(known, exercise=exercise.name)
        try:
            blob = self._blob(exercise)
            self._seconds_left = min(self._seconds(exercise), max(0.0, self._ends - time.monotonic()))
            if self._seconds_left < 0.2:
                return self._verdict(exercise, TIMED_OUT, self._used_up())
            session = self._open()
            self._asked = session.asked
            session.ask(self.exercises.index(exercise), blob)
            self._sent = time.monotonic()
        except Broken as error:
            return self._told(exercise, error)
        except Exception as error:  # ours: a check or a reference that fails costs this exercise only
            return _grader_error(exercise, error)
        return None

    def _answer(self, exercise: Exercise) -> Any:
        """The child's bytes, or a verdict where there are none.

        What breaks a child in which other exercises ran before gets a fresh one: it may be their doing.
        """
        try:
            return self._open().answer(self.exercises.index(exercise), self._sent, self._seconds_left)
        except Broken as error:
            if self._asked and error.kind != "late":
                result = self._ask(exercise)
                return self._answer(exercise) if result is None else result
            verdict = self._told(exercise, error)
            if error.loading:  # importing the file ends or hangs the process: so it does for its other exercises
                self._lost[exercise.set, exercise.file] = verdict
            return verdict

    def _judge(self, sheets: dict[str, dict[str, Any]], exercise: Exercise, result: Any) -> None:
        """Turn bytes from the child into a verdict."""
        if isinstance(result, Verdict):
            return self._settle(sheets, exercise, result)
        course = self.courses[exercise.set]
        try:
            outcomes = self._outcomes(exercise, result)
        except handover.Malformed as error:
            headline = f"what came back from `{exercise.name}` is not a hand-over: {error}"
            return self._settle(sheets, exercise, self._verdict(exercise, FAILED, headline))
        if isinstance(outcomes, CodeError):
            late = outcomes.kind == "TimeoutError"
            verdict = (
                self._verdict(exercise, TIMED_OUT, outcomes.message) if late else cannot_load(exercise, outcomes, "")
            )
            return self._settle(sheets, exercise, verdict)
        verdict = judge(course, exercise.name, outcomes)
        if verdict.status == TIMED_OUT:  # by this class's limit, which may be shorter than the check's
            said = f"after {course.checks[exercise.name].seconds:.0f} s"
            verdict.headline = verdict.headline.replace(said, f"after {self._seconds(exercise):.3g} s")
        self._settle(sheets, exercise, verdict, outcomes)

    def _outcomes(self, exercise: Exercise, blob: bytes) -> list[list[Outcome]] | CodeError:
        value = handover.open_blob(blob)
        if isinstance(value, dict) and set(value) == {"cannot"}:
            return handover.read_error(value["cannot"])
        return handover.read_outcomes(value, self._shapes[exercise.id])

    def _settle(
        self,
        sheets: dict[str, dict[str, Any]],
        exercise: Exercise,
        verdict: Verdict,
        outcomes: list[list[Outcome]] | None = None,
    ) -> None:
        from kata.classroom.pictures import signature, static

        verdict.where = self._where.get(exercise.id, "")
        pictures: list[str] = []
        same = ""
        if outcomes is not None and verdict.status in ("passed", "failed"):
            course = self.courses[exercise.set]
            pictures = static(course, exercise.name, outcomes)
            same = signature(outcomes) if verdict.status == FAILED else ""
        sheets[exercise.id] = {"verdict": self._cleaned(verdict).to_dict(), "pictures": pictures, "same": same}

    # -- words ----------------------------------------------------------------------------------------------------

    def _verdict(self, exercise: Exercise, status: str, headline: str) -> Verdict:
        step = hint_line(self.courses[exercise.set], exercise) if status != BROKEN else ""
        return Verdict(exercise.set, exercise.name, status, headline, [], step)

    def _told(self, exercise: Exercise, error: Broken) -> Verdict:
        name = f"`{exercise.name}`" if not error.loading else exercise.file
        doing = "" if not error.loading else "importing "
        if error.kind == "late":
            seconds = self._seconds_left
            if seconds < self._seconds(exercise):
                return self._verdict(exercise, TIMED_OUT, self._used_up())
            tail = "a loop that never ends, or work that is far too slow"
            return self._verdict(exercise, TIMED_OUT, f"{doing}{name} was stopped after {seconds:.3g} s: {tail}")
        if error.kind == "memory":
            limit = f"{self.limits.memory / 2**30:.3g} GB"
            return self._verdict(exercise, BROKEN, f"{doing}{name} took more than {limit} of memory and was stopped")
        if error.kind == "ended":
            return self._verdict(exercise, BROKEN, f"{doing}{name} ended the whole process {error.why}".rstrip())
        if error.kind == "fence":
            return _grader_error(exercise, error)
        return self._verdict(exercise, FAILED, f"what came back from {name} is not a hand-over: {error.why}")

    def _used_up(self) -> str:
        return f"stopped: all exercises together may take {self.limits.total:.0f} s"

    def _cleaned(self, verdict: Verdict) -> Verdict:
        """Texts as they may be shown anywhere, without the names of our scratch folders."""
        fence = self._order["fence"]

        def text(value: str) -> str:
            for path, shown in ((fence["folder"], Path(fence["folder"]).name), (fence["home"], "~")):
                value = value.replace(path, shown)
            return clean(value)[:2000]

        return replace(
            verdict,
            headline=text(verdict.headline).replace("\n", " "),
            evidence=[text(line) for line in verdict.evidence[:20]],
            notes=[text(line) for line in verdict.notes[:20]],
            next_step=text(verdict.next_step),
            where=text(verdict.where).replace("\n", " "),
            score=verdict.score if math.isfinite(verdict.score) else 0.0,
            seconds=round(verdict.seconds, 3),
        )

    # -- what is made once ----------------------------------------------------------------------------------------

    def _seconds(self, exercise: Exercise) -> float:
        return min(self.limits.seconds, self.courses[exercise.set].checks[exercise.name].seconds)

    def _blob(self, exercise: Exercise) -> bytes:
        if exercise.id not in self._blobs:
            course = self.courses[exercise.set]
            plan = course.plan(exercise.name)
            course.expected(exercise.name)
            calls = [(f"{exercise.set}/{bench.checkpoint.name}", calls) for bench, calls in plan]
            head = {"exercise": _short(exercise), "seconds": self._seconds(exercise)}
            self._shapes[exercise.id] = [len(c) for _, c in calls]
            self._blobs[exercise.id] = handover.write_calls(head, calls)
        return self._blobs[exercise.id]


def _short(exercise: Exercise) -> dict[str, Any]:
    """An exercise without its texts: what a child needs to know."""
    return asdict(replace(exercise, docstring="", signature=""))


def _grader_error(exercise: Exercise, error: Exception) -> Verdict:
    text = "the grader itself failed; this is not your mistake"
    return Verdict(exercise.set, exercise.name, GRADER_ERROR, text, [str(error)[:500]], "please tell your instructor")


def serve(payload: bytes) -> bytes:
    """A judge's life, as a target of `kata.warm`: connect to the supervisor and grade what it names."""
    settings = json.loads(payload)
    fences.closed_to_debuggers()
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(settings["socket"])
    line = Lines(sock)
    line.send(judge=settings["slot"])
    try:
        import torch

        torch.set_num_threads(1)
        project = Project(**{k: Path(v) for k, v in settings["project"].items()})
        desk = Desk(project, settings["sets"], settings["seed"], Limits(**settings["limits"]), line, settings["slot"])
        line.send(ready=True)
        while (message := line.read(1e8)) is not None:
            if "grade" in message:
                try:
                    line.send(graded=desk.grade(message["grade"]))
                except KataError:
                    raise
                except Exception:  # costs this submission, not the class
                    line.send(failed=traceback.format_exc()[-2000:])
    except KataError as error:
        line.send(stop=str(error))
    except Exception:
        line.send(error=traceback.format_exc()[-4000:])
    return b""
