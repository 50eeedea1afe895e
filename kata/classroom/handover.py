"""What crosses the wall: frames over a socket, calls going out, outcomes coming back. Plain values only.

Everything that comes from the child is read with limits and checked piece by piece; whatever is not exactly as
agreed raises `Malformed`, which the judge counts as a failure of that exercise.
"""

import select
import socket
import struct
import time
from dataclasses import fields
from typing import Any

from kata.calls import MODEL, Call, Hooked, Outcome
from kata.classroom.text import clean
from kata.plain import Foreign, decode, encode
from kata.submission import CodeError

MAX_FRAME = 64 << 20  # bytes of one hand-over
MAX_HEADER = 8 << 20  # bytes of its structure
MAX_NODES = 200_000
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
          "complex64", "complex128")  # fmt: skip
STATUSES = ("ok", "todo", "error", "timeout", "skipped")

_HEAD = struct.Struct("<16sIQ")


class Malformed(Exception):
    """What came back is not a hand-over; its text says why."""


class Ended(Exception):
    """The other end is gone."""


class Late(Exception):
    """Nothing came in time."""


# -- frames


def send(sock: socket.socket, nonce: bytes, index: int, payload: bytes, seconds: float = 60) -> None:
    """Send one frame. Raises Ended or Late."""
    sock.settimeout(seconds)
    try:
        sock.sendall(_HEAD.pack(nonce, index, len(payload)))
        sock.sendall(payload)
    except TimeoutError:
        raise Late from None
    except OSError:
        raise Ended from None


def receive(
    sock: socket.socket, nonce: bytes, deadline: float, watch: Any = None, limit: int = MAX_FRAME
) -> tuple[int, bytes]:
    """Read one frame before `deadline` (time.monotonic); `watch()` is called now and then and may raise.

    Raises:
        Malformed: another run's nonce, or a frame over `limit` bytes; the stream cannot be read on after it.
        Ended, Late.
    """
    head = _exactly(sock, _HEAD.size, deadline, watch)
    there, index, length = _HEAD.unpack(head)
    if there != nonce:
        raise Malformed("it does not carry this run's number")
    if length > limit:
        raise Malformed(f"it is larger than {limit >> 20} MB")
    return index, _exactly(sock, length, deadline, watch)


def _exactly(sock: socket.socket, number: int, deadline: float, watch: Any) -> bytes:
    got = bytearray()
    sock.setblocking(False)
    while len(got) < number:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Late
        if select.select([sock], [], [], min(left, 0.1))[0]:
            try:
                piece = sock.recv(min(1 << 20, number - len(got)))
            except BlockingIOError:
                continue
            except OSError:
                raise Ended from None
            if not piece:
                raise Ended
            got += piece
        if watch:
            watch()
    return bytes(got)


# -- calls, going out


def write_calls(head: dict[str, Any], plan: list[tuple[str, list[Call]]]) -> bytes:
    """`head` (plain) and the calls of one exercise, by the key of the checkpoint that they run on."""
    return encode({**head, "plan": [[key, [_call(c) for c in calls]] for key, calls in plan]})


def _call(call: Call) -> dict[str, Any]:
    hook = call.hook and {k: _out(getattr(call.hook, k)) for k in _names(Hooked)}
    return {k: hook if k == "hook" else _out(getattr(call, k)) for k in _names(Call)}


def _names(kind: Any) -> list[str]:
    return [f.name for f in fields(kind)]


def _out(value: Any) -> Any:
    """The model and generators as notes that `_in` reads; the rest of a call is plain already."""
    import torch

    if value is MODEL:
        return Foreign("kata.MODEL")
    if isinstance(value, torch.Generator):
        return Foreign("kata.Generator", str(value.initial_seed())), value.get_state()
    if isinstance(value, torch.Tensor):
        return value.clone()  # calls may share a tensor, a file of tensors may not
    if isinstance(value, dict):
        return {k: _out(v) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_out(v) for v in value)
    return value


def _in(value: Any) -> Any:
    import torch

    if isinstance(value, Foreign):
        return MODEL
    if isinstance(value, tuple) and value and isinstance(value[0], Foreign) and value[0].kind == "kata.Generator":
        made = torch.Generator().manual_seed(int(value[0].text))
        return made.set_state(value[1])
    if isinstance(value, dict):
        return {k: _in(v) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_in(v) for v in value)
    return value


def read_calls(blob: bytes) -> tuple[dict[str, Any], list[tuple[str, list[Call]]]]:
    """The other side of `write_calls`."""
    head = decode(blob)
    plan = [(key, [_read_call(c) for c in calls]) for key, calls in head.pop("plan")]
    return head, plan


def _read_call(data: dict[str, Any]) -> Call:
    values = {k: _in(v) for k, v in data.items()}
    if values["hook"]:
        values["hook"] = Hooked(**values["hook"])
    return Call(**values)


# -- outcomes, coming back


def write_outcomes(rows: list[list[Outcome]]) -> bytes:
    return encode([[_outcome(o) for o in row] for row in rows])


def _outcome(o: Outcome) -> dict[str, Any]:
    return {
        "status": o.status,
        "value": o.value,
        "error": write_error(o.error) if o.error else None,
        "changed": o.changed,
        "hooks_left": o.hooks_left,
        "reseeded": o.reseeded,
        "printed": o.printed,
        "seconds": o.seconds,
    }


def write_error(error: CodeError) -> dict[str, Any]:
    return {"kind": error.kind, "message": error.message, "file": error.file, "line": error.line, "text": error.text}


def open_blob(blob: bytes) -> Any:
    """Decode what a child wrote into plain values within limits. Raises Malformed."""
    if len(blob) < 8 or struct.unpack("<Q", blob[:8])[0] > MAX_HEADER:
        raise Malformed("its header is not one")
    try:
        value = decode(blob)
    except Exception as error:  # whatever a decoder says about hostile bytes, the answer is the same
        raise Malformed(str(error)[:200] or type(error).__name__) from None
    return _within_limits(value)


def read_outcomes(rows: Any, shape: list[int]) -> list[list[Outcome]]:
    """Outcomes as agreed: one row per bench with as many outcomes as `shape` says. Raises Malformed."""
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows) or list(map(len, rows)) != shape:
        raise Malformed("it does not hold one outcome for each call")
    read = [[_read_outcome(o) for o in row] for row in rows]
    broken = False
    for outcome in (o for row in read for o in row):
        if outcome.status == "skipped" and not broken:
            raise Malformed("it skips a call")
        broken = broken or outcome.status != "ok"
    return read


def _read_outcome(data: Any) -> Outcome:
    if not isinstance(data, dict) or data.get("status") not in STATUSES:
        raise Malformed("an outcome has no status")
    error = read_error(data["error"]) if data.get("error") is not None else None
    seconds = data.get("seconds")
    return Outcome(
        status=data["status"],
        value=data.get("value"),
        error=error,
        changed=_texts(data.get("changed")),
        hooks_left=_texts(data.get("hooks_left")),
        reseeded=data.get("reseeded") is True,
        printed=clean(data.get("printed", "")),
        seconds=seconds if isinstance(seconds, float) and 0 <= seconds < 1e6 else 0.0,
    )


def read_error(data: Any) -> CodeError:
    """A CodeError whose fields have the right types and no control characters. Raises Malformed."""
    if not isinstance(data, dict):
        raise Malformed("an error is not one")
    line = data.get("line")
    texts = {k: clean(data.get(k, "")) for k in ("kind", "message", "file", "text")}
    texts |= {k: texts[k].replace("\n", " ")[:300] for k in ("kind", "file", "text")}
    return CodeError(line=line if isinstance(line, int) and 0 <= line < 10**6 else 0, **texts)


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise Malformed("a list of names is not one")
    return [clean(v).replace("\n", " ")[:100] for v in value[:20]]


def _within_limits(value: Any) -> Any:
    """Copy a decoded value, refusing what no result of ours can be. Raises Malformed."""
    import torch

    budget = MAX_NODES

    def walk(v: Any, depth: int) -> Any:
        nonlocal budget
        budget -= 1
        if budget < 0 or depth > 16:
            raise Malformed("it has too many parts")
        if v is None or type(v) in (bool, float):
            return v
        if type(v) is int:
            return v if abs(v) < 1 << 63 else Foreign("int", "too large")
        if type(v) is str:
            return clean(v)
        if type(v) is torch.Tensor:
            if str(v.dtype).removeprefix("torch.") not in DTYPES:
                raise Malformed(f"a tensor of {v.dtype}")
            return v
        if type(v) is Foreign:
            return Foreign(clean(v.kind)[:100], clean(v.text)[:200])
        if type(v) is dict:
            return {walk(k, depth + 1): walk(x, depth + 1) for k, x in v.items()}
        if type(v) in (list, tuple, set):
            return type(v)(walk(x, depth + 1) for x in v)
        raise Malformed(f"a {type(v).__name__}")

    try:
        return walk(value, 0)
    except (TypeError, RecursionError):
        raise Malformed("its structure is not one") from None
