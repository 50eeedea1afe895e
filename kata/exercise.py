"""The mark that makes a function an exercise. Importing it costs nothing."""

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable)


def exercise(*, difficulty: int, importance: int, minutes: int) -> Callable[[Function], Function]:
    """Mark a function as an exercise.

    Args:
        difficulty: 1 (a line or two) to 5 (an afternoon's puzzle).
        importance: 1 (an aside) to 5 (the set makes no sense without it).
        minutes: how long it takes someone who meets the idea for the first time.
    """
    for name, value, top in (
        ("difficulty", difficulty, 5),
        ("importance", importance, 5),
        ("minutes", minutes, 240),
    ):
        if not 1 <= value <= top:
            raise ValueError(f"{name} must be between 1 and {top}, not {value}")

    def mark(function: Function) -> Function:
        function.__exercise__ = {"difficulty": difficulty, "importance": importance, "minutes": minutes}  # type: ignore[attr-defined]
        return function

    return mark
