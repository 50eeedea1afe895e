"""Show a page in the learner's browser, without importing anything heavy."""

import os
import sys
import webbrowser
from pathlib import Path


def show(path: Path) -> bool:
    """Open a page in the browser; False where there is none that a person would see."""
    seen = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    try:
        return seen and webbrowser.open(path.resolve().as_uri())
    except (webbrowser.Error, OSError):
        return False
