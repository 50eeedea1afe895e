"""One verdict type, many faces: pytest, the watcher, pages and JSON all show this."""

from dataclasses import asdict, dataclass, field
from typing import Any

PASSED, FAILED, TODO, BROKEN, TIMED_OUT, GRADER_ERROR = (
    "passed",
    "failed",
    "todo",
    "broken",
    "timed out",
    "grader error",
)
STATUSES = (PASSED, FAILED, TODO, BROKEN, TIMED_OUT, GRADER_ERROR)


@dataclass
class Verdict:
    """What the grader says about one exercise.

    Attributes:
        status: one of STATUSES; "grader error" is never the learner's fault.
        headline: one sentence: what was shown, which mistake was made, or how the result differs.
        evidence: lines: got, expected, where they differ most; or the learner's own line.
        next_step: where to look now.
        mistake: name of the known mistake that agrees with the result, if exactly one does.
        score: 0 to 1 (1 for a pass without a degree).
        notes: remarks that do not change the verdict (printed text, reseeded generator).
    """

    set: str
    exercise: str
    status: str
    headline: str
    evidence: list[str] = field(default_factory=list)
    next_step: str = ""
    mistake: str = ""
    score: float = 0.0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    where: str = ""

    @property
    def id(self) -> str:
        return f"{self.set}.{self.exercise}"

    @property
    def passed(self) -> bool:
        return self.status == PASSED

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> "Verdict":
        return Verdict(**data)

    def lines(self) -> list[str]:
        """The verdict as plain text, in the order in which it is read."""
        out = [self.headline]
        out += [f"  {line}" for line in self.evidence]
        out += [f"  note: {line}" for line in self.notes]
        if self.next_step:
            out.append(f"  next: {self.next_step}")
        return out
