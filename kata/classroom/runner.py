"""The warm parent's preload and the child that it forks per submission: no checks, no solutions, no references.

`prepare` and `guard` are what `kata.warm` is given. The guard's inmate is the only process that runs a submission.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from kata.classroom import fences
from kata.project import Exercise, Project

MODELS: dict[str, Any] = {}  # by "set/checkpoint"; loaded before any submission runs, private to each child
HELLO, SURVEY, DONE = 0, 1, 0xFFFFFFFF  # numbers of frames; an exercise's frames carry its place + FIRST
FIRST, LOADED = 16, 1 << 16  # LOADED is added where the exercise's file has been imported
TICK = 0.2  # s between looks at the memory


def prepare(settings: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
    """Import what a submission needs and load the models."""
    import torch
    import transformer_lens  # noqa: F401

    import kata.calls
    import kata.classroom.handover
    import kata.submission  # noqa: F401

    torch.set_num_threads(1)
    yield {"say": "libraries"}
    import einops  # noqa: F401
    import jaxtyping  # noqa: F401

    from kata.checkpoints import checkpoints, load_model

    project = Project(**{k: Path(v) for k, v in settings["project"].items()})
    for set_name in settings["sets"]:
        for checkpoint in checkpoints(project, set_name):
            MODELS[f"{set_name}/{checkpoint.name}"] = load_model(checkpoint)
        yield {"say": set_name}
    yield {"ready": True}


# -- the guard


def guard(payload: bytes) -> bytes:
    """Run one inmate and watch it; says how it ended as JSON. Trusted code only."""
    order = json.loads(payload)
    control, data = _connect(order["socket"]), _connect(order["socket"])
    fence = fences.Order(**order["fence"])
    fences.adopt()
    held = fences.cut_namespaces(fence.without)
    pid = os.fork()
    if pid == 0:
        control.close()
        inmate(data, bytes.fromhex(order["nonce"]), fence, held, order["project"])
    data.close()
    try:
        return json.dumps(_watch(pid, control, fence.memory)).encode()
    finally:
        user = fences.FIRST_USER + fence.slot if os.getuid() == 0 and "processes" not in held else None
        fences.kill_below(os.getpid(), user)


def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return connection


def _watch(pid: int, control: socket.socket, most: int) -> dict[str, Any]:
    """Wait until the inmate ends, the judge hangs up, or the memory limit is passed."""
    handle, base, peak = os.pidfd_open(pid), fences.own_memory(pid), 0
    while True:
        watched: list[Any] = [handle, control]
        ready = select.select(watched, [], [], TICK)[0]
        if handle in ready:
            status = os.waitpid(pid, 0)[1]
            return {"end": "exit", "status": os.waitstatus_to_exitcode(status), "memory": peak}
        if control in ready:
            return {"end": "stopped", "memory": peak}
        there = [pid, *fences.descendants(pid)]
        peak = max(peak, sum(max(0, fences.own_memory(p) - base) for p in there))
        if peak > most:
            return {"end": "memory", "memory": peak}


# -- the inmate


def inmate(
    data: socket.socket, nonce: bytes, fence: fences.Order, held: list[str], project: dict[str, str]
) -> NoReturn:
    """Shut in, then answer the judge's frames until it says that it is done. Never returns."""
    with contextlib.suppress(BaseException):
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        kept = os.dup2(data.fileno(), 3)
        data.detach()
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        sock = socket.socket(fileno=kept)
        stands = fences.enclose(fence, held)
        root = Path(project["root"])
        sys.path[:] = [p for p in sys.path if p and not (Path(p) == root or Path(p) == Path.cwd())]
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _serve(sock, nonce, Path(fence.folder), stands)
    os._exit(0)


def _serve(sock: socket.socket, nonce: bytes, folder: Path, stands: list[str]) -> None:
    from kata.classroom import handover
    from kata.plain import encode
    from kata.submission import CodeError, Submission

    submission = Submission(folder)
    submission.tree = _once(submission.tree)  # type: ignore[method-assign]
    handover.send(sock, nonce, HELLO, encode({"fences": stands}))
    while True:
        index, blob = handover.receive(sock, nonce, time.monotonic() + 3600)
        if index == DONE:
            return
        if index == SURVEY:
            exercises = handover.decode(blob)
            handover.send(sock, nonce, SURVEY, encode([_look(submission, Exercise(**e)) for e in exercises]))
            continue
        head, plan = handover.read_calls(blob)
        exercise = Exercise(**head["exercise"])
        answer = _load(submission, exercise, head["seconds"])
        if callable(answer):
            handover.send(sock, nonce, index + LOADED, b"")
            rows = _run(submission, exercise, answer, plan, head["seconds"])
            try:
                blob = handover.write_outcomes(rows)
            except BaseException as error:  # a result too large for the memory that is left, say
                what = f"the result cannot be handed over: {type(error).__name__}"
                blob = encode({"cannot": handover.write_error(CodeError("ValueError", what))})
            handover.send(sock, nonce, index, blob)
        else:
            handover.send(sock, nonce, index, encode({"cannot": handover.write_error(answer)}))


def _once(tree: Any) -> Any:
    """Parse each file once: nobody writes to a submission that is being graded."""
    seen: dict[tuple[str, str], Any] = {}

    def look(exercise: Exercise) -> Any:
        key = (exercise.set, exercise.file)
        if key not in seen:
            seen[key] = tree(exercise)
        return seen[key]

    return look


def _look(submission: Any, exercise: Exercise) -> dict[str, Any]:
    """What can be said of an exercise without running anything."""
    from kata.classroom.handover import write_error

    problem = submission.problem(exercise)
    return {
        "problem": write_error(problem) if problem else None,
        "todo": not problem and submission.todo(exercise),
        "where": submission.shown(exercise),
    }


_LATE: set[tuple[str, str]] = set()


def _load(submission: Any, exercise: Exercise, seconds: float) -> Any:
    """The submission's function, or a CodeError."""
    from kata.guard import TimeUp, captured, own_random, time_limit
    from kata.submission import CodeError

    key = (exercise.set, exercise.file)
    if key not in _LATE:
        try:
            with captured(), own_random(), time_limit(seconds):
                return submission.load(exercise)
        except TimeUp:
            _LATE.add(key)
    return CodeError("TimeoutError", f"importing {exercise.file} takes longer than {seconds:.0f} s")


def _run(submission: Any, exercise: Exercise, function: Any, plan: Any, seconds: float) -> list[list[Any]]:
    from kata.calls import Outcome, run

    ends = time.monotonic() + seconds
    broken = False
    rows = []
    for key, calls in plan:
        row: list[Outcome] = []
        for request in calls:
            if broken:
                row.append(Outcome("skipped"))
                continue
            model = MODELS[key] if request.needs_model else None
            left = max(0.05, ends - time.monotonic())
            row.append(run(function, request, model, root=submission.root, seconds=left))
            broken = row[-1].status != "ok"
        rows.append(row)
    return rows
