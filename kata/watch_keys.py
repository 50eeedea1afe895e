"""Single keys from a terminal, and the terminal's own state, on POSIX and on Windows."""

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # the other screen, without a cursor
NAMES = {
    "\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down",
    "\x1b[C": "right", "\x1b[D": "left", "\x1bOC": "right", "\x1bOD": "left",
    "\x1b[5~": "page up", "\x1b[6~": "page down", "\x1b[H": "home", "\x1b[F": "end",
    "\r": "enter", "\n": "enter", " ": "space", "\x1b": "escape", "\x7f": "escape", "\x08": "escape",
}  # fmt: skip
WINDOWS = {"H": "up", "P": "down", "K": "left", "M": "right", "I": "page up", "Q": "page down", "G": "home", "O": "end"}
ESCAPE_WAIT = 0.03  # s: what follows an escape sooner than this belongs to it


def split(text: str) -> list[str]:
    """The keys in what a terminal sent, by name; letters stand for themselves in lower case."""
    sequences = re.findall(r"\x1b[\[O][0-9;?]*[A-Za-z~]|.", text, re.S)
    return [NAMES.get(s, s.lower()) for s in sequences if s in NAMES or len(s) == 1]


class Terminal:
    """The terminal while the screen is ours. Keys go to `post("key", name)` from a thread.

    Attributes:
        keys: whether there is a keyboard to read from.
    """

    def __init__(self, post: Callable[..., None]):
        self.keys = sys.stdin is not None and sys.stdin.isatty()
        self._post = post
        self._before: Any = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Terminal":
        self.take()
        if self.keys:
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(1)
        self.give_back()

    def take(self) -> None:
        """Show the other screen; keys come one by one and are not echoed. Ctrl-C stays a signal."""
        if self.keys and sys.platform != "win32":
            import termios
            import tty

            descriptor = sys.stdin.fileno()
            self._before = self._before or termios.tcgetattr(descriptor)
            tty.setcbreak(descriptor)
        sys.stdout.write(ENTER)
        sys.stdout.flush()

    def give_back(self) -> None:
        """Leave the terminal as it was found."""
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(LEAVE)
            sys.stdout.flush()
        if self._before is not None:
            import termios

            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._before)

    def _read(self) -> None:
        read = self._read_windows if sys.platform == "win32" else self._read_posix
        with contextlib.suppress(OSError, ValueError):
            while not self._stop.is_set():
                text = read()
                if text is None:
                    return self._post("key", "quit")  # the terminal is gone
                for key in split(text):
                    self._post("key", key)

    def _read_posix(self) -> str | None:
        import select

        descriptor = sys.stdin.fileno()
        if not select.select([descriptor], [], [], 0.2)[0]:
            return ""
        data = os.read(descriptor, 256)
        if data == b"\x1b" and select.select([descriptor], [], [], ESCAPE_WAIT)[0]:
            data += os.read(descriptor, 256)
        return data.decode(errors="ignore") if data else None

    def _read_windows(self) -> str | None:
        import msvcrt

        if not msvcrt.kbhit():  # type: ignore[attr-defined]
            time.sleep(0.03)
            return ""
        character = msvcrt.getwch()  # type: ignore[attr-defined]
        if character in "\x00\xe0":
            name = WINDOWS.get(msvcrt.getwch(), "")  # type: ignore[attr-defined]
            return next((sequence for sequence, key in NAMES.items() if key == name), "")
        if character == "\x03":
            import _thread

            _thread.interrupt_main()
            return ""
        return character
