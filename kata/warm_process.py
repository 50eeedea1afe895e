"""The near side of `kata.warm`: processes that are started, asked to run a target, and ended."""

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from kata.warm_wire import ACCEPTED, JOB, MOST, NOTE, STATUS, VALUE, Frames, growth, pack, resident

GRACE = 10.0  # s that the warm parent may be late with a kill before it is given up


@dataclass(frozen=True)
class Result:
    """What became of a run.

    Attributes:
        reason: "ok"; "timeout", "memory" or "size" (a limit was passed); "died" (no answer: a crash or an exit);
            "error" (the target raised, or could not be started); "lost" (the warm parent itself is gone);
            "cancelled".
        value: what the target returned, where the reason is "ok".
        detail: a sentence for a reader: the signal, the exit code or the target's traceback.
        seconds: how long the target ran.
        memory: bytes that the run took beyond the warm process, as far as they were seen; 0 where unknown.
    """

    reason: str
    value: bytes = b""
    detail: str = ""
    seconds: float = 0.0
    memory: int = 0

    @property
    def ok(self) -> bool:
        return self.reason == "ok"


class Ticket:
    """Lets another thread call a run off: give it to `run`, and call `cancel` at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self.cancelled = False

    def cancel(self) -> None:
        with self._lock:
            self.cancelled = True
            if self._stop:
                self._stop()

    def _attach(self, stop: Callable[[], None]) -> None:
        with self._lock:
            self._stop = stop
            if self.cancelled:
                stop()

    def _detach(self) -> None:
        with self._lock:
            self._stop = None


class Process:
    """A warm process that was started; notes are passed on by a thread of its own."""

    popen: subprocess.Popen[bytes]

    def __init__(self, note: Callable[[dict[str, Any]], None]):
        self._note = note
        self._gone = threading.Event()

    @property
    def alive(self) -> bool:
        return not self._gone.is_set() and self.popen.poll() is None

    def run(self, header: dict[str, Any], payload: bytes, ticket: Ticket) -> Result:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    def _listen(self, stream: IO[bytes], other: Callable[[bytes, bytes], None]) -> None:
        """Read frames until the process is gone."""
        with contextlib.suppress(OSError, ValueError):
            frames = Frames(stream.read1)  # type: ignore[attr-defined]
            while (frame := frames.read(MOST)) is not None:
                if frame[0] == NOTE:
                    self._note(json.loads(frame[1]))
                else:
                    other(*frame)
        self._gone.set()
        other(b"", b"")

    def _kill(self) -> None:
        """Kill the process and its group, and see it off."""
        if sys.platform == "win32":
            tree = ["taskkill", "/T", "/F", "/PID", str(self.popen.pid)]
            subprocess.run(tree, capture_output=True, check=False)
        elif self.popen.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.popen.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(GRACE)


class Forking(Process):
    """The warm parent of mode fork. Each run has a socket of its own; closing it calls the run off."""

    def __init__(
        self, command: list[str], options: dict[str, Any], opening: bytes, note: Callable[[dict[str, Any]], None]
    ):
        super().__init__(note)
        self._control, theirs = socket.socketpair()
        self._sending = threading.Lock()
        with theirs:
            number = theirs.fileno()
            self.popen = subprocess.Popen(
                [*command, str(number)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(number,),
                **options,
            )
        self._control.sendall(opening)
        stream = self._control.makefile("rb")
        threading.Thread(target=self._listen, args=(stream, lambda kind, body: None), daemon=True).start()

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError), self._sending:
            self._control.sendall(data)

    def run(self, header: dict[str, Any], payload: bytes, ticket: Ticket) -> Result:
        mine, theirs = socket.socketpair()
        with mine:
            try:
                with theirs, self._sending:
                    first, *rest = pack(JOB, json.dumps(header).encode()), pack(VALUE, payload)
                    socket.send_fds(self._control, [first[:1]], [theirs.fileno()])
                    self._control.sendall(first[1:] + b"".join(rest))
            except OSError:
                self._gone.set()
                return Result("lost", detail="the warm process was gone")
            ticket._attach(lambda: mine.shutdown(socket.SHUT_RDWR))
            try:
                return self._answer(mine, header["seconds"])
            finally:
                ticket._detach()

    def _answer(self, mine: socket.socket, seconds: float) -> Result:
        frames = Frames(mine.recv)
        status: dict[str, Any] = {}
        try:
            while (frame := frames.read(MOST)) is not None:
                if frame[0] == ACCEPTED:
                    mine.settimeout(seconds + GRACE)
                elif frame[0] == STATUS:
                    status = json.loads(frame[1])
                elif frame[0] == VALUE:
                    return Result(value=frame[1], **status)
        except TimeoutError:
            self._kill()
            return Result("lost", detail="the warm process did not answer and was stopped")
        except OSError:
            pass
        return Result("lost", detail="the warm process ended during the run")

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        try:
            self.popen.wait(2.0)  # it kills its runs first
        except subprocess.TimeoutExpired:
            self._kill()  # in the middle of an import, where it hears nothing


class Single(Process):
    """A process that serves one run; the calling side holds its clock."""

    def __init__(
        self, command: list[str], options: dict[str, Any], opening: bytes, note: Callable[[dict[str, Any]], None]
    ):
        super().__init__(note)
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        self._frames: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()
        self._send(opening)
        stream = self.popen.stdout
        threading.Thread(target=self._listen, args=(stream, lambda *f: self._frames.put(f)), daemon=True).start()

    def _send(self, data: bytes) -> None:
        assert self.popen.stdin
        with contextlib.suppress(OSError):
            self.popen.stdin.write(data)
            self.popen.stdin.flush()

    def run(self, header: dict[str, Any], payload: bytes, ticket: Ticket) -> Result:
        ticket._attach(self._kill)
        self._send(pack(JOB, json.dumps(header).encode()) + pack(VALUE, payload))
        try:
            return self._answer(header)
        finally:
            ticket._detach()
            self.end()

    def _answer(self, header: dict[str, Any]) -> Result:
        began = deadline = 0.0
        base = most = 0
        status: dict[str, Any] = {}
        while True:
            try:
                kind, body = self._frames.get(timeout=0.05 if began else None)
            except queue.Empty:
                most = max(most, growth(self.popen.pid, base))
                spent = time.monotonic() - began
                if time.monotonic() > deadline or (header["memory"] and most > header["memory"]):
                    return Result("timeout" if time.monotonic() > deadline else "memory", seconds=spent, memory=most)
                continue
            if kind == ACCEPTED:
                began, base = time.monotonic(), resident(self.popen.pid)
                deadline = began + header["seconds"]
            elif kind == STATUS:
                status = json.loads(body)
            elif kind == VALUE:
                return Result(value=body, **{**status, "memory": max(most, status.get("memory", 0))})
            elif not kind:
                return self._death(began)

    def _death(self, began: float) -> Result:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(GRACE)
        code = self.popen.returncode
        detail = f"exit code {code}" if code is None or code >= 0 else f"signal {signal.Signals(-code).name}"
        return Result("died" if began else "lost", detail=detail, seconds=time.monotonic() - began if began else 0)

    def end(self) -> None:
        self._kill()
        for stream in (self.popen.stdin, self.popen.stdout):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()
