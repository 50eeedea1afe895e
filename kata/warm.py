"""Run our code beside a learner's in a fresh process, with everything heavy imported beforehand.

    warm = Warm("kata.preload:prepare", {"root": "/course", "sets": ["my_set"]})
    warm.start()                                     # returns at once; the imports go on elsewhere
    result = warm.run("kata.preload:judge", payload, seconds=30)
    result.reason, result.value                      # "ok", the bytes that the target returned
    warm.close()

A *preload* is `module:function`. The function gets the settings (plain JSON) and is a generator: it imports and
computes, and yields between its steps. What it yields (a dict of plain JSON, or None) goes to `on_note`; the first
note with `"ready": True` opens the door for runs, the steps after it are done while nothing else is to do. An
exception in a step reaches `on_note` as `{"error": text}` and opens the door too.

A *target* is `module:function` as well. It gets the payload's bytes and returns bytes. It runs alone in a process
that has everything of the preload in memory and nothing of any earlier run. Its stdin, stdout and stderr lead
nowhere. Whatever comes back from it is bytes, at most `most` of them, and is never unpickled here.

Modes (`KATA_WARM` in the environment overrules the default):
    fork     a warm parent on one thread forks a child for each run (Linux). Runs may overlap: call from threads.
    standby  a process that has imported everything waits for one run; the next one is started behind it.
    cold     a process is started for each run, and imports then.

The calling process forks nothing itself, for it has threads. In mode fork the warm parent holds the clock: it is
the child's own parent, so it can kill the child's process group before the number may be used again, and on Linux it
inherits and kills what a run leaves behind in other groups. It ends with the calling process, killed or not.
"""

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

from kata.warm_server import ACCEPTED, JOB, MOST, NOTE, SETTINGS, STATUS, VALUE, Frames, growth, pack, resident

MODES = ("fork", "standby", "cold")
GRACE = 10.0  # s that the warm parent may be late with a kill before it is given up
ONE_THREAD = {  # a process that forks must have one thread
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # pyarrow's own allocator starts a thread when it is imported
    "CUDA_VISIBLE_DEVICES": "",  # a forked child cannot use a card that its parent has opened
}


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


def default_mode() -> str:
    """fork on Linux; standby elsewhere: Windows cannot fork, and Apple's libraries may hang in a forked child."""
    wanted = os.environ.get("KATA_WARM", "")
    if wanted in MODES and (wanted != "fork" or hasattr(os, "fork")):
        return wanted
    return "fork" if sys.platform == "linux" else "standby"


class Warm:
    """A warm process and the runs in it. Safe to use from several threads.

    Args:
        preload: `module:function`, a generator function of the settings.
        settings: plain JSON for it; a later change counts from the next (re)start on.
        mode: one of MODES; by default what the platform does best.
        on_note: called with what the preload yields, from another thread.
        environment: variables to set, or with None to remove, in the warm process.
        folder: its working directory; the caller's by default.
    """

    def __init__(
        self,
        preload: str,
        settings: dict[str, Any],
        *,
        mode: str | None = None,
        on_note: Callable[[dict[str, Any]], None] | None = None,
        environment: dict[str, str | None] | None = None,
        folder: str | os.PathLike[str] | None = None,
    ):
        self.preload = preload
        self.settings = settings
        self.mode = mode or default_mode()
        self._note = on_note or (lambda note: None)
        self._environment = environment or {}
        self._folder = folder
        self._lock = threading.Lock()
        self._process: _Process | None = None

    @property
    def pid(self) -> int:
        """The warm process's number; 0 where there is none."""
        process = self._process
        return process.popen.pid if process and process.alive else 0

    def start(self) -> None:
        """Start the warm process unless it is there; returns at once. In mode cold nothing is started ahead."""
        with self._lock:
            if self.mode != "cold":
                self._ready_process()

    def restart(self) -> None:
        """Start anew, with the settings as they are now; runs that are on are lost."""
        self.close()
        self.start()

    def close(self) -> None:
        """End the warm process and every run in it."""
        with self._lock:
            process, self._process = self._process, None
        if process:
            process.end()

    def run(
        self,
        target: str,
        payload: bytes = b"",
        *,
        seconds: float,
        most: int = 16_000_000,
        memory: int = 0,
        ticket: Ticket | None = None,
    ) -> Result:
        """Run a target in a fresh process and wait for its bytes; never raises for what happens there.

        Args:
            seconds: after this long, counted from when the target starts, its process group is killed.
            most: the largest answer, in bytes.
            memory: bytes that the run may take beyond the warm process (watched on Linux only); 0 for no limit.
            ticket: lets another thread cancel the run.
        """
        ticket = ticket or Ticket()
        header = {"target": target, "seconds": seconds, "most": min(most, MOST), "memory": memory}
        with self._lock:
            process = self._ready_process()
            if self.mode != "fork":
                self._process = None  # it serves one run, this one
        result = process.run(header, payload, ticket)
        if self.mode == "standby":
            self.start()
        return Result("cancelled") if ticket.cancelled and not result.ok else result

    def _ready_process(self) -> "_Process":
        if self._process is None or not self._process.alive:
            kind = _Forking if self.mode == "fork" else _Single
            self._process = kind(self._command(), self._popen_options(), self._opening(), self._note)
        return self._process

    def _command(self) -> list[str]:
        # -P: no folder of a learner's on the path of a process that must not import their files
        return [sys.executable, "-P", "-m", "kata.warm_server", "fork" if self.mode == "fork" else "single"]

    def _popen_options(self) -> dict[str, Any]:
        environment = {**os.environ, **ONE_THREAD}
        for name, value in self._environment.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
        own_group: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            own_group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        return {"env": environment, "cwd": self._folder, "stderr": subprocess.DEVNULL, **own_group}

    def _opening(self) -> bytes:
        settings = {"preload": self.preload, "settings": {**self.settings, "mode": self.mode}}
        return pack(SETTINGS, json.dumps(settings).encode())


class _Process:
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


class _Forking(_Process):
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


class _Single(_Process):
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
