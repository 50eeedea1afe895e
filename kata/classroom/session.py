"""One child at the judge's side: start it, ask it exercise by exercise, and end it, whatever it does."""

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kata.classroom import handover
from kata.classroom.runner import DONE, FIRST, HELLO, LOADED, SURVEY

GRACE = 2.0  # s that a child may be late beyond its own clock before it is killed
START = 60.0  # s for a child to start; the machine may be busy


class Broken(Exception):
    """The child cannot go on.

    Attributes:
        kind: "late", "ended", "memory", "malformed" or "fence" (it never started).
        why: a few words.
        loading: whether it happened before the exercise's file was imported.
    """

    def __init__(self, kind: str, why: str, loading: bool = False):
        super().__init__(why)
        self.kind, self.why, self.loading = kind, why, loading


class Session:
    """A child behind its fences. `start(order)` must make `runner.guard` run with that order, elsewhere.

    Args:
        ended: waits so many seconds for the guard's last word (see `runner.guard`); raises TimeoutError.
    """

    def __init__(
        self,
        start: Callable[[dict[str, Any]], None],
        ended: Callable[[float], dict[str, Any]],
        order: dict[str, Any],
        most: int = handover.MAX_FRAME,
    ):
        self.nonce = secrets.token_bytes(16)
        self.most = most
        self.asked = 0  # exercises so far
        self._ended = ended
        path = Path(order["socket"])
        path.unlink(missing_ok=True)
        self.control: socket.socket | None = None
        self.data: socket.socket | None = None
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            os.chmod(path, 0o600)
            listener.listen(2)
            listener.settimeout(START)
            start({**order, "nonce": self.nonce.hex()})
            try:
                self.control, self.data = listener.accept()[0], listener.accept()[0]
            except TimeoutError:
                raise Broken("fence", "no child could be started") from None
        path.unlink(missing_ok=True)
        answer = self._answer(HELLO, time.monotonic() + START)
        self.fences = [str(f) for f in handover.open_blob(answer)["fences"]]

    def survey(self, exercises: list[dict[str, Any]]) -> list[Any]:
        """What is there of each exercise; nothing of the submission has run yet."""
        from kata.plain import encode

        self._send(SURVEY, encode(exercises))
        return handover.open_blob(self._answer(SURVEY, time.monotonic() + START))

    def ask(self, place: int, blob: bytes) -> None:
        """Send the calls of one exercise."""
        self.asked += 1
        self._send(FIRST + place, blob)

    def answer(self, place: int, sent: float, seconds: float) -> bytes:
        """The outcomes of that exercise, or its error, as bytes. Raises Broken."""
        allowed = seconds + GRACE
        loaded = time.monotonic()
        try:
            index, blob = self._frame(max(sent + allowed, loaded + 0.5))
        except Broken as error:
            error.loading = True
            raise
        if index == FIRST + place + LOADED:
            index, blob = self._frame(max(sent + 2 * allowed, time.monotonic() + 0.5))
        if index != FIRST + place:
            raise self.end("malformed", "it answers another question")
        return blob

    def _send(self, index: int, payload: bytes) -> None:
        assert self.data
        try:
            handover.send(self.data, self.nonce, index, payload, START)
        except handover.Late:
            raise self.end("late", "it does not listen") from None
        except handover.Ended:
            raise self.end("ended", "") from None

    def _answer(self, index: int, deadline: float) -> bytes:
        there, blob = self._frame(deadline)
        if there != index:
            raise self.end("malformed", "it answers another question")
        return blob

    def _frame(self, deadline: float) -> tuple[int, bytes]:
        assert self.data
        try:
            return handover.receive(self.data, self.nonce, deadline, limit=self.most)
        except handover.Late:
            raise self.end("late", "") from None
        except handover.Ended:
            raise self.end("ended", "") from None
        except handover.Malformed as error:
            raise self.end("malformed", str(error)) from None

    def end(self, kind: str = "", why: str = "") -> Broken:
        """Kill the child and all it started. Returns what to tell, the guard's word before ours."""
        if self.data is None:
            return Broken(kind, why)
        last = self._last(kind)
        self.control = self.data = None
        if last.get("end") == "memory":
            return Broken("memory", "")
        if kind == "ended":
            return Broken("ended", _cause(last.get("status")))
        return Broken(kind, why)

    def _last(self, kind: str) -> dict[str, Any]:
        assert self.control and self.data
        with contextlib.suppress(OSError):
            self.data.shutdown(socket.SHUT_RDWR)
        try:
            if kind != "ended":
                raise TimeoutError
            last = self._ended(1.0)
        except TimeoutError:  # it runs on, without a line to us
            self.control.close()
            last = self._ended(START)
        self.control.close()
        self.data.close()
        return last

    def close(self) -> None:
        """The submission is done: let the child go."""
        if self.data is not None:
            with contextlib.suppress(handover.Late, handover.Ended):
                handover.send(self.data, self.nonce, DONE, b"", 1)
            self.end()


def _cause(status: Any) -> str:
    import signal

    if not isinstance(status, int):
        return "for no known reason"
    if status < 0:
        try:
            return f"by signal {signal.Signals(-status).name}"
        except ValueError:
            return f"by signal {-status}"
    return f"with exit code {status}"
