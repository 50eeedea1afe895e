"""Run our code beside a learner's in a fresh process, with everything heavy imported beforehand.

    warm = Warm("kata.preload:prepare", {"root": "/course", "sets": ["my_set"]})
    warm.start()                                     # returns at once; the imports go on elsewhere
    result = warm.run("kata.preload:judge", payload, seconds=30)
    result.reason, result.value                      # "ok", the bytes that the target returned
    warm.close()

A *preload* is `module:function`. The function gets the settings (plain JSON) and is a generator: it imports and
computes, and yields between its steps. What it yields (a dict of plain JSON, or None) goes to `on_note`; the first
note with `"ready": True` opens the door for runs, the steps after it are done while nothing else is to do. With
`{"rest": True}` it asks to be called again only when `change` has changed its settings. An exception in a step reaches
`on_note` as `{"error": text}` and opens the door too.

A *target* is `module:function` as well. It gets the payload's bytes and returns bytes. It runs alone in a process
that has everything of the preload in memory and nothing of any earlier run. Its stdin, stdout and stderr lead
nowhere. Whatever comes back from it is bytes, at most `most` of them, and is never unpickled here.

Modes (`KATA_WARM` in the environment overrules the default):
    fork     a warm parent on one thread forks a child for each run (Linux). Runs may overlap: call from threads.
    standby  a process that has imported everything waits for one run; the next one is started behind it.
    cold     a process is started for each run, and imports then.

(Why not multiprocessing's forkserver: a process can have one only, it imports once and silently, it cannot go on
importing between runs, and a child that it has reaped cannot safely be killed from elsewhere.)

The calling process forks nothing itself, for it has threads. In mode fork the warm parent holds the clock: it is
the child's own parent, so it can kill the child's process group before the number may be used again, and on Linux it
inherits and kills what a run leaves behind in other groups. It ends with the calling process, killed or not.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from kata.warm_process import Forking, Process, Result, Single, Ticket
from kata.warm_wire import MOST, SETTINGS, pack

MODES = ("fork", "standby", "cold")
ONE_THREAD = {  # a process that forks must have one thread
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # pyarrow's own allocator starts a thread when it is imported
    "CUDA_VISIBLE_DEVICES": "",  # a forked child cannot use a card that its parent has opened
}


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
        environment: Mapping[str, str | None] | None = None,
        folder: str | os.PathLike[str] | None = None,
    ):
        self.preload = preload
        self.settings = settings
        self.mode = mode or default_mode()
        self._note = on_note or (lambda note: None)
        self._environment = environment or {}
        self._folder = folder
        self._lock = threading.Lock()
        self._process: Process | None = None

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

    def change(self, **settings: Any) -> None:
        """Change settings; a warm parent that runs is told, any other process learns of it when it is started."""
        with self._lock:
            self.settings = {**self.settings, **settings}
            process = self._process
        if isinstance(process, Forking):
            process.send(pack(SETTINGS, json.dumps(settings).encode()))

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

    def _ready_process(self) -> "Process":
        if self._process is None or not self._process.alive:
            kind = Forking if self.mode == "fork" else Single
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


__all__ = ["MODES", "Result", "Ticket", "Warm", "default_mode"]
