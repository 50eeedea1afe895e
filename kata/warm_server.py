"""The far side of `kata.warm`: a process that imports ahead and then runs targets, each in a process of its own.

Light until the preload, and one thread in mode fork. Started as `python -P -m kata.warm_server fork FD` or
`... single`.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import queue
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from kata.project import KataError
from kata.warm_wire import (
    ACCEPTED,
    ERROR,
    HEAD,
    MOST,
    NOTE,
    SETTINGS,
    STATUS,
    VALUE,
    Frames,
    growth,
    pack,
    resident,
)

TICK = 0.05  # s between looks at the clock and the memory of a run
REAPER, DEATH_SIGNAL = 36, 1  # prctl: inherit orphans; be killed when the parent is gone


def named(path: str) -> Callable:
    """The function that `module:function` names."""
    module, _, function = path.partition(":")
    return getattr(importlib.import_module(module), function)


class Steps:
    """The preload, done step by step; it may rest, and goes on when its settings change."""

    def __init__(self, opening: dict[str, Any], tell: Callable[[dict[str, Any]], None]):
        self.ready = False
        self.left = True
        self._tell = tell
        self._opening = opening
        self._generator: Iterator[dict[str, Any] | None] | None = None
        self._over = False

    def change(self, settings: dict[str, Any]) -> None:
        """The preload's own dict of settings is changed; it looks at it when it likes."""
        self._opening["settings"].update(settings)
        self.left = not self._over

    def step(self) -> None:
        try:
            if self._generator is None:
                self._generator = iter(named(self._opening["preload"])(self._opening["settings"]))
            note = next(self._generator)
            self.ready = self.ready or bool(note and note.get("ready"))
            self.left = not (note and note.get("rest"))
        except StopIteration:
            self.left, self.ready, self._over = False, True, True
            return
        except Exception as error:
            told = isinstance(error, KataError)
            note = {"error": str(error) if told else "".join(traceback.format_exception(error))[-4000:]}
            self.left, self.ready, self._over = False, True, True
        if note and not note.get("rest"):
            self._tell(note)


def answer(header: dict[str, Any], payload: bytes) -> tuple[bytes, bytes]:
    """Run a target; (VALUE, bytes), or (ERROR, text) where it raises."""
    try:
        return VALUE, bytes(named(header["target"])(payload))
    except BaseException as error:
        return ERROR, "".join(traceback.format_exception(error))[-4000:].encode()


# -- mode fork ---------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """A child that is on."""

    pid: int
    pipe: int
    client: socket.socket
    header: dict[str, Any]
    base: int
    began: float = field(default_factory=time.monotonic)
    held: bytearray = field(default_factory=bytearray)
    memory: int = 0
    exit_status: int | None = None

    @property
    def deadline(self) -> float:
        return self.began + self.header["seconds"]


class Server:
    """The warm parent: imports ahead, forks a child per run, holds its clock, passes on its bytes."""

    def __init__(self, control: socket.socket):
        self.control = control
        self.frames = Frames(control.recv)
        self.runs: dict[int, Run] = {}  # by pipe
        opening = self.frames.read(MOST)
        assert opening
        self.steps = Steps(json.loads(opening[1]), lambda note: control.sendall(pack(NOTE, json.dumps(note).encode())))

    def serve(self) -> None:
        gc.disable()  # a collection would touch, and so copy, every page that is shared with the children
        try:
            while self._once():
                pass
        finally:
            for run in list(self.runs.values()):
                self._finish(run, "cancelled")

    def _once(self) -> bool:
        busy = self.steps.left and not self.runs
        clients = {run.client: run for run in self.runs.values()}
        wanted: list[Any] = [*self.runs, *clients]
        if self.steps.ready:
            wanted.append(self.control)
        elif _ended(self.control):
            return False
        readable = select.select(wanted, [], [], 0 if busy else TICK if self.runs else None)[0]
        for item in readable:
            if item is self.control:
                if not self._accept():
                    return False
            elif item in self.runs:
                self._read(self.runs[item])
            elif item in clients and clients[item].pipe in self.runs:
                self._finish(clients[item], "cancelled")  # the client says nothing more, so this is its end
        for run in list(self.runs.values()):
            self._look(run)
        if busy and not readable:
            self.steps.step()
            gc.collect()
            gc.freeze()
        return True

    def _accept(self) -> bool:
        kind, descriptors, _, _ = socket.recv_fds(self.control, 1, 1)
        if not kind:
            return False
        length = _exactly(self.control, 4)
        header = json.loads(_exactly(self.control, int.from_bytes(length, "big")))
        if kind == SETTINGS:
            self.steps.change(header)
            return True
        payload = self.frames.read(MOST)
        client = socket.socket(fileno=descriptors[0])
        if payload is None:
            return False
        try:
            self._fork(client, header, payload[1])
        except OSError as error:
            _tell(client, "error", f"no process could be started: {error}", 0, 0, b"")
            client.close()
        return True

    def _fork(self, client: socket.socket, header: dict[str, Any], payload: bytes) -> None:
        receive, send = os.pipe()
        gc.freeze()
        with contextlib.suppress(OSError):
            client.sendall(pack(ACCEPTED))
        try:
            pid = os.fork()
        except OSError:
            os.close(receive)
            os.close(send)
            raise
        if pid == 0:
            self._child(client, receive, send, header, payload)
        os.close(send)
        os.set_blocking(receive, False)
        client.settimeout(30)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # the child does so too; whoever is first
        self.runs[receive] = Run(pid, receive, client, header, resident(os.getpid()))

    def _child(
        self, client: socket.socket, receive: int, send: int, header: dict[str, Any], payload: bytes
    ) -> NoReturn:
        try:
            with contextlib.suppress(OSError):
                os.setpgid(0, 0)
            _prctl(DEATH_SIGNAL, signal.SIGKILL)
            os.close(receive)
            client.close()
            self.control.close()
            for run in self.runs.values():
                os.close(run.pipe)
                run.client.close()
            gc.enable()
            _write(send, pack(*answer(header, payload)))
        finally:
            os._exit(0)

    def _read(self, run: Run) -> None:
        """Take what the child has sent; a whole frame, too large a frame or the end of it all ends the run."""
        try:
            data = os.read(run.pipe, 1 << 20)
        except BlockingIOError:
            return
        run.held += data
        if len(run.held) >= HEAD.size:
            kind, length = HEAD.unpack_from(run.held)
            if length > run.header["most"]:
                return self._finish(run, "size", f"{length} bytes came back, {run.header['most']} are allowed")
            if len(run.held) >= HEAD.size + length:
                body = bytes(run.held[HEAD.size : HEAD.size + length])
                if kind == VALUE:
                    return self._finish(run, "ok", value=body)
                return self._finish(run, "error", body.decode(errors="replace"))
        if not data:
            self._finish(run, "died")

    def _look(self, run: Run) -> None:
        """Clock, memory, and whether the child is there; a grandchild may hold the pipe open."""
        if run.pipe not in self.runs:
            return
        run.memory = max(run.memory, growth(run.pid, run.base))
        if time.monotonic() > run.deadline:
            self._finish(run, "timeout")
        elif run.header["memory"] and run.memory > run.header["memory"]:
            self._finish(run, "memory")
        elif _dead(run.pid):
            self._read(run)  # its last words
            if run.pipe in self.runs:
                self._finish(run, "died")

    def _finish(self, run: Run, reason: str, detail: str = "", value: bytes = b"") -> None:
        """End the child and all it started, then tell the client."""
        seconds = time.monotonic() - run.began
        del self.runs[run.pipe]
        os.close(run.pipe)
        if reason == "died":  # let it die of its own cause, which is told
            for _ in range(20):
                if _dead(run.pid):
                    break
                time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(run.pid, signal.SIGKILL)  # before it is waited for: its number is still its own
        status = os.waitpid(run.pid, 0)[1]
        if not self.runs:
            _sweep()
        _tell(run.client, reason, _cause(status) if reason == "died" else detail, seconds, run.memory, value)
        run.client.close()


def _dead(pid: int) -> bool:
    """Whether a child has ended; it stays to be waited for."""
    if not hasattr(os, "waitid"):
        return False
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _cause(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit code {os.WEXITSTATUS(status)}"


def _sweep() -> None:
    """Kill what runs have left behind in other process groups; as their reaper this process inherits them."""
    for _ in range(100):
        try:
            with open(f"/proc/self/task/{threading.get_native_id()}/children", "rb") as file:
                orphans = [int(pid) for pid in file.read().split()]
        except OSError:
            return
        if not orphans:
            return
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _tell(client: socket.socket, reason: str, detail: str, seconds: float, memory: int, value: bytes) -> None:
    status = {"reason": reason, "detail": detail, "seconds": seconds, "memory": memory}
    with contextlib.suppress(OSError):  # a client that is gone needs no answer
        client.sendall(pack(STATUS, json.dumps(status).encode()) + pack(VALUE, value))


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _exactly(connection: socket.socket, number: int) -> bytes:
    return connection.recv(number, socket.MSG_WAITALL)


def _ended(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0)[0]) and not connection.recv(1, socket.MSG_PEEK)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def fork(descriptor: int) -> None:
    """Serve runs until the client is gone."""
    _prctl(REAPER, 1)
    with socket.socket(fileno=descriptor) as control, contextlib.suppress(OSError):
        control.set_inheritable(False)
        Server(control).serve()


# -- mode single -------------------------------------------------------------------------------------------------


def single() -> NoReturn:
    """Import ahead, serve one run in this process, and end."""
    receive, send = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    frames = Frames(lambda number: os.read(receive, number))
    opening = frames.read(MOST)
    assert opening
    jobs: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()

    def listen() -> None:
        header, payload = frames.read(MOST), frames.read(MOST)
        if header and payload:
            jobs.put((json.loads(header[1]), payload[1]))
            frames.read(MOST)
        os._exit(0)  # the client is gone

    threading.Thread(target=listen, daemon=True).start()
    steps = Steps(json.loads(opening[1]), lambda note: _write(send, pack(NOTE, json.dumps(note).encode())))
    while not steps.ready or (steps.left and jobs.empty()):
        steps.step()
    header, payload = jobs.get()
    _write(send, pack(ACCEPTED))
    began = time.monotonic()
    kind, value = answer(header, payload)
    status = {"reason": "ok", "detail": "", "seconds": time.monotonic() - began}
    if kind == ERROR:
        status, value = {**status, "reason": "error", "detail": value.decode()}, b""
    elif len(value) > header["most"]:
        status = {**status, "reason": "size", "detail": f"{len(value)} bytes came back, {header['most']} are allowed"}
        value = b""
    _write(send, pack(STATUS, json.dumps(status).encode()) + pack(VALUE, value))
    os._exit(0)


if __name__ == "__main__":
    fork(int(sys.argv[2])) if sys.argv[1] == "fork" else single()
