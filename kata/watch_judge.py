"""Judging in the background: the newest request counts, and every end of a run becomes a verdict."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kata import browser, preload
from kata.project import Exercise, Project
from kata.verdict import BROKEN, GRADER_ERROR, TIMED_OUT, Verdict
from kata.warm import Result, Ticket, Warm

MEMORY = 4_000_000_000  # bytes that a run may take before it is stopped
KEEP_PAGES = {  # glibc gives large tensors back to the system at once, and a fresh page costs more than its sum
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "67108864",
}
SETTLE = 0.2  # s that a file may be away while an editor replaces it

Post = Callable[..., None]


class Judge:
    """Judges exercises of a submission in fresh processes, one after the other, in a thread of its own.

    What happens is told by `post(kind, ...)`, from other threads:
        ("note", dict)                          the warm process says how far it is
        ("verdict", Exercise, Verdict, seconds, serial) an answer to that request
        ("all", [Exercise, ...])                a round of `ask_all` has ended; the exercises that it did not reach

    Attributes:
        serial: number of the newest request; answers to earlier ones may still be on their way.
    """

    def __init__(self, project: Project, submission: Path, sets: list[str], post: Post, mode: str | None = None):
        self.project = project
        self.submission = submission
        self.post = post
        self._limits: list[float] = []
        self.warm = Warm(
            "kata.preload:prepare",
            {"root": str(project.root), "sets": sets},
            mode=mode,
            on_note=self._noted,
            environment=KEEP_PAGES,
        )
        self._wanted = threading.Condition()
        self._request: list[Exercise] | None = None
        self._together = False
        self._ticket = Ticket()
        self.serial = 0
        self._over = False
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self.warm.start()
        self._thread.start()

    def close(self) -> None:
        with self._wanted:
            self._over = True
            self._ticket.cancel()
            self._wanted.notify()
        self.warm.close()
        if self._thread.is_alive():
            self._thread.join(5)

    def restart(self, sets: list[str]) -> None:
        """Start the warm process anew, because the course itself has changed."""
        self.warm.change(sets=sets)
        self._ticket.cancel()
        self.warm.restart()

    def prefer(self, sets: list[str]) -> None:
        """Say in which order the sets are wanted now."""
        self.warm.change(sets=sets)

    def ask(self, exercise: Exercise) -> None:
        """Judge this one now; whatever else is on is called off."""
        self._ask([exercise], False)

    def ask_all(self, exercises: list[Exercise]) -> None:
        """Judge these one after the other; any later request ends the round."""
        self._ask(exercises, True)

    def cancel(self) -> None:
        self._ask([], False)

    def _ask(self, exercises: list[Exercise], together: bool) -> None:
        with self._wanted:
            self._request, self._together = exercises, together
            self.serial += 1
            self._ticket.cancel()
            self._wanted.notify()

    def _work(self) -> None:
        while True:
            with self._wanted:
                while self._request is None and not self._over:
                    self._wanted.wait()
                if self._over:
                    return
                exercises, together = self._request or [], self._together
                self._request, self._ticket = None, Ticket()
                ticket, serial = self._ticket, self.serial
            left = list(exercises)
            while left and not ticket.cancelled:
                began = time.monotonic()
                verdict = self.verdict(left[0], ticket)
                if verdict and not ticket.cancelled:
                    self.post("verdict", left.pop(0), verdict, time.monotonic() - began, serial)
            if together:
                self.post("all", left)

    def verdict(self, exercise: Exercise, ticket: Ticket | None = None) -> Verdict | None:
        """Judge one exercise and wait for it; None where it was called off."""
        ticket = ticket or Ticket()
        self._settle(exercise)
        payload = preload.request(self.submission, exercise.id)
        for _ in range(2):  # once more where the warm process itself was lost
            limit = max(self._limits, default=preload.LIMIT)
            result = self.warm.run("kata.preload:verdict", payload, seconds=limit, memory=MEMORY, ticket=ticket)
            if result.reason != "lost" or ticket.cancelled:
                break
        return None if result.reason == "cancelled" else told(exercise, result, limit)

    def figure(self, exercise: Exercise) -> str:
        """Draw an exercise and open the page; returns a line for the learner."""
        payload = preload.request(self.submission, exercise.id)
        result = self.warm.run("kata.preload:figure", payload, seconds=preload.LIMIT, memory=MEMORY)
        if not result.ok:
            line = (result.detail.strip().splitlines() or [result.reason])[-1]
            return f"{exercise.name} cannot be drawn: {line}"
        drawn = json.loads(result.value)
        opened = browser.show(Path(drawn["path"]))
        where = "the figure is in your browser" if opened else f"written: {drawn['path']}"
        return f"{where}  {drawn['said']}".strip()

    def _settle(self, exercise: Exercise) -> None:
        path = self.submission / exercise.set / exercise.file
        ends = time.monotonic() + SETTLE
        while not path.exists() and path.parent.exists() and time.monotonic() < ends:
            time.sleep(0.01)

    def _noted(self, note: dict[str, Any]) -> None:
        if "limit" in note:
            self._limits.append(note["limit"])
        self.post("note", note)


def told(exercise: Exercise, result: Result, limit: float) -> Verdict:
    """The verdict that a run's end stands for."""
    if result.ok:
        return Verdict.from_dict(json.loads(result.value))
    name = exercise.name
    if result.reason == "timeout":
        text = f"`{name}` was stopped after {limit:.0f} s: a loop that never ends, or work that is far too slow"
        return Verdict(exercise.set, name, TIMED_OUT, text)
    if result.reason == "memory":
        text = f"`{name}` was stopped: it took more than {MEMORY / 1e9:.0f} GB of memory"
        return Verdict(exercise.set, name, BROKEN, text)
    if result.reason == "died":
        text = f"`{name}` ended its whole process ({result.detail}): return a value instead"
        if result.detail.startswith("signal"):
            text = f"`{name}` crashed Python itself ({result.detail})"
        return Verdict(exercise.set, name, BROKEN, text)
    lines = result.detail.strip().splitlines()[-3:]
    text = f"the grader itself failed on {name}; this is not your mistake"
    return Verdict(exercise.set, name, GRADER_ERROR, text, lines, "try again with --cold, and please report it")


__all__ = ["Judge", "told"]
