"""Points: from the ratings, or from a small TOML file.

scale = 100                      # all required sets together; left out: the sum of the points
required = ["first_set"]         # sets that make up the full marks; other graded sets are extra credit
partial = true                   # scored exercises give points * score (a pass can be partial, a miss too)

[points]
default = "rating"               # difficulty x importance, or a number
"first_set.some_exercise" = 12
"""

import hashlib
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kata.project import Exercise, KataError, Project
from kata.verdict import Verdict

_FIELDS = ("scale", "required", "partial", "points")


@dataclass(frozen=True)
class Rubric:
    """How verdicts become points.

    Attributes:
        points: by exercise id, where the file names it.
        default: "rating" or points for every other exercise.
        required: sets that count towards the full marks; None for all that are graded.
        partial: whether the score of a scored exercise scales its points.
        scale: what the full marks are brought to; None to leave the sum.
    """

    points: dict[str, float] = field(default_factory=dict)
    default: str | float = "rating"
    required: tuple[str, ...] | None = None
    partial: bool = True
    scale: float | None = None
    digest: str = "ratings"

    def most(self, exercise: Exercise) -> float:
        """The points of an exercise before scaling."""
        if exercise.id in self.points:
            return self.points[exercise.id]
        if self.default == "rating":
            return float(exercise.difficulty * exercise.importance)
        return float(self.default)

    def earned(self, exercise: Exercise, verdict: Verdict) -> float:
        """The points that a verdict earns before scaling; a grader error earns none and is told to the instructor."""
        score = verdict.score if math.isfinite(verdict.score) else 0.0
        share = min(1.0, max(0.0, score))
        if verdict.passed:
            return self.most(exercise) * (share if self.partial else 1.0)
        return self.most(exercise) * share if self.partial and verdict.status == "failed" else 0.0

    def extra(self, exercise: Exercise) -> bool:
        return self.required is not None and exercise.set not in self.required

    def factor(self, exercises: list[Exercise]) -> float:
        total = sum(self.most(e) for e in exercises if not self.extra(e))
        return self.scale / total if self.scale is not None and total else 1.0


def read(path: Path | None, project: Project) -> Rubric:
    """Read a rubric file; every name in it is checked. Raises KataError with one line."""
    if path is None:
        return Rubric()
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise KataError(f"{path} cannot be read as a rubric: {error}") from None
    for key in data:
        if key not in _FIELDS:
            raise KataError(f"{path}: {Project.near(key, list(_FIELDS), 'field')}")
    for name in data.get("required", []):
        if name not in project.sets:
            raise KataError(f"{path}: {Project.near(str(name), project.sets, 'problem set')}")
    points = dict(data.get("points", {}))
    default = points.pop("default", "rating")
    if default != "rating":
        default = _number(path, "points.default", default)
    known = [e.id for s in project.sets for e in project.catalog(s)]
    for name in points:
        if name not in known:
            raise KataError(f"{path}: {Project.near(name, known, 'exercise')}")
    partial = data.get("partial", True)
    if not isinstance(partial, bool):
        raise KataError(f"{path}: partial must be true or false")
    return Rubric(
        points={k: _number(path, k, v) for k, v in points.items()},
        default=default,
        required=tuple(data["required"]) if "required" in data else None,
        partial=partial,
        scale=_number(path, "scale", data["scale"]) if "scale" in data else None,
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
    )


def _number(path: Path, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e6:
        raise KataError(f"{path}: {name} must be a number of points, not {value!r}")
    return float(value)
