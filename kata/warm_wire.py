"""How the two sides of `kata.warm` talk: in frames of one byte of kind, four of length, and the body."""

import os
import struct
from collections.abc import Callable

SETTINGS, JOB, VALUE, STATUS, ACCEPTED, NOTE, ERROR = b"s", b"j", b"v", b"t", b"a", b"n", b"e"
HEAD = struct.Struct("!cI")
MOST = 1 << 30  # bytes: no frame is larger


def pack(kind: bytes, body: bytes = b"") -> bytes:
    return HEAD.pack(kind, len(body)) + body


class Frames:
    """Takes frames out of a stream of bytes."""

    def __init__(self, receive: Callable[[int], bytes]):
        self._receive = receive
        self._held = bytearray()

    def read(self, most: int) -> tuple[bytes, bytes] | None:
        """Wait for the next frame; None at the end of the stream or where a frame is larger than `most`."""
        if not self._fill(HEAD.size):
            return None
        kind, length = HEAD.unpack_from(self._held)
        if length > most or not self._fill(HEAD.size + length):
            return None
        body = bytes(self._held[HEAD.size : HEAD.size + length])
        del self._held[: HEAD.size + length]
        return kind, body

    def _fill(self, wanted: int) -> bool:
        while len(self._held) < wanted:
            data = self._receive(min(1 << 20, wanted - len(self._held)))
            if not data:
                return False
            self._held += data
        return True


def resident(pid: int) -> int:
    """Bytes of a process's own memory that are in RAM (not files it maps); 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            fields = file.read().split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0


def growth(pid: int, base: int) -> int:
    """Bytes that a run has taken beyond what it started with."""
    return max(0, resident(pid) - base) if base else 0
