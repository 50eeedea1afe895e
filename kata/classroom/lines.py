"""JSON, one message a line, between the supervisor and its judges: both ours."""

import json
import select
import socket
import time
from typing import Any


class Lines:
    """A connection on which whole JSON objects are sent and read."""

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self._held = b""

    def send(self, **message: Any) -> None:
        self.sock.sendall(json.dumps(message).encode() + b"\n")

    def read(self, seconds: float) -> dict[str, Any] | None:
        """The next message; None where the other end is gone. Raises TimeoutError."""
        ends = time.monotonic() + seconds
        while b"\n" not in self._held:
            left = ends - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if select.select([self.sock], [], [], left)[0]:
                try:
                    piece = self.sock.recv(1 << 20)
                except OSError:
                    return None
                if not piece:
                    return None
                self._held += piece
        line, _, self._held = self._held.partition(b"\n")
        return json.loads(line)
