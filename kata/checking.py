"""What check files are written with: checks, mistakes, variants, facts and figures, and the bench they work on.

A check says which calls to make on a bench (one checkpoint and one seed) and how to judge what comes back. It is
declared by a generator of calls that carries the exercise's name:

    @check(shown="...")
    def ov_tables(at):
        yield call(model=MODEL)
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from kata.calls import MODEL, Call, call, exchanged, hooked
from kata.checkpoints import Checkpoint, load_model
from kata.compare import Gap, Tolerance, compare

__all__ = [
    "MODEL", "Bench", "Call", "Check", "Fact", "Figure", "Gap", "Judged", "Mistake", "Tolerance", "Variant",
    "call", "check", "claim", "compare", "exchanged", "fact", "figure", "hooked", "mistake", "variant",
]  # fmt: skip


class Bench:
    """One checkpoint with one seed: where calls are made up and results are judged.

    Hashable by identity, so that check files may cache what they compute on it (`functools.cache`).
    """

    def __init__(self, checkpoint: Checkpoint, seed: int, facts: Callable[["Bench", str], Any] | None = None):
        self.checkpoint = checkpoint
        self.seed = seed
        self._facts = facts

    @cached_property
    def model(self) -> Any:
        """The judge's own copy of the model; a learner's code never sees it."""
        return load_model(self.checkpoint)

    @property
    def variant(self) -> str:
        return self.checkpoint.variant

    def generator(self, label: str = "") -> torch.Generator:
        """A generator that depends on the seed, the checkpoint and the label, and on nothing else."""
        key = zlib.crc32(f"{self.seed}/{self.checkpoint.name}/{label}".encode())
        return torch.Generator().manual_seed(key)

    def fact(self, name: str) -> Any:
        """A known property of this checkpoint: read from facts.json, computed for a checkpoint that is not in it."""
        if self._facts is None:
            raise LookupError(f"this bench knows no facts ({name})")
        return self._facts(self, name)


@dataclass(frozen=True)
class Judged:
    """The judgement of an exercise that has many right answers.

    Attributes:
        score: 0 to 1.
        passed: whether the score is a pass.
        headline: what is wrong, or what was reached.
        evidence: lines with the numbers.
    """

    score: float
    passed: bool
    headline: str
    evidence: tuple[str, ...] = ()


Claim = tuple[str, Callable[[Bench, Call, Any], bool]]


@dataclass
class Check:
    """What must be true of one exercise's results.

    Attributes:
        calls: makes the calls on a bench.
        tolerance: how near to the reference a result must be.
        shown: what a pass shows, with `{fact}` names filled in from the shown checkpoint, or a function of the
            shown bench that returns the text.
        on: "all" checkpoints, the "shown" ones, "one", or a test of a checkpoint.
        view: maps a result to what is compared (for results that are right up to a convention).
        judge: replaces the comparison: (bench, calls, values) -> Judged.
        claims: identities and facts that any right result has, as (sentence, test); told when one fails.
        seconds: the time limit of the whole exercise.
        free: arguments that a right answer may ignore (the audit does not ask for a difference).
        function: whether the exercise returns a function that the calls go on with (`then`).
    """

    exercise: str
    calls: Callable[[Bench], Iterable[Call]]
    tolerance: Tolerance = field(default_factory=Tolerance)
    shown: str | Callable[[Bench], str] = ""
    on: str | Callable[[Checkpoint], bool] = "all"
    view: Callable[[Bench, Call, Any], Any] | None = None
    judge: Callable[[Bench, list[Call], list[Any]], Judged] | None = None
    claims: list[Claim] = field(default_factory=list)
    seconds: float = 20.0
    free: tuple[str, ...] = ()
    set: str = ""

    def chooses(self, everything: list[Checkpoint]) -> list[Checkpoint]:
        """The checkpoints that this check runs on."""
        if callable(self.on):
            return [c for c in everything if self.on(c)]
        if self.on == "one":
            return everything[:1]
        return [c for c in everything if self.on == "all" or c.role == "shown"]


def check(
    *,
    tolerance: Tolerance = Tolerance(),  # noqa: B008 - frozen
    shown: str | Callable[[Bench], str] = "",
    on: str | Callable[[Checkpoint], bool] = "all",
    view: Callable[[Bench, Call, Any], Any] | None = None,
    judge: Callable[[Bench, list[Call], list[Any]], Judged] | None = None,
    claims: Iterable[Claim] = (),
    seconds: float = 20.0,
    free: tuple[str, ...] = (),
) -> Callable[[Callable[[Bench], Iterator[Call]]], Check]:
    """Make a check from a generator of calls; its name is the exercise's. See `Check` for the arguments."""

    def make(calls: Callable[[Bench], Iterator[Call]]) -> Check:
        return Check(calls.__name__, calls, tolerance, shown, on, view, judge, list(claims), seconds, free)

    return make


def claim(sentence: str) -> Callable[[Callable[[Bench, Call, Any], bool]], Claim]:
    """Name a test of a result: an identity or a fact that every right answer has."""
    return lambda test: (sentence, test)


@dataclass(frozen=True)
class Mistake:
    """A known wrong version of an exercise.

    Attributes:
        function: the wrong version, with the exercise's signature.
        message: one sentence that tells the learner what they did.
        when: where a wrong version cannot give the very same result (a search, a score): a test of the result
            (bench, call, value) that recognises the mistake; it must hold on every call.
        accepted: why this slip is let pass on purpose, where it cannot or need not be told apart.
    """

    exercise: str
    name: str
    message: str
    function: Callable
    when: Callable[[Bench, Call, Any], bool] | None = None
    accepted: str = ""


@dataclass(frozen=True)
class Variant:
    """A right answer written otherwise: it must pass."""

    exercise: str
    name: str
    function: Callable


@dataclass(frozen=True)
class Fact:
    """A known circuit property of a checkpoint.

    Attributes:
        name, text: what it is called and what it says.
        compute: a function of a bench that returns a number, a text or a list of them.
        bounds: lowest and highest value that still supports the texts; None where there is no threshold.
        published: the value in the literature, as printed there; None where it prints none.
        source: where the published value stands.
        uses: the exercises whose functions make the figure.
        on: as in `Check`.
    """

    name: str
    text: str
    compute: Callable[[Bench], Any]
    bounds: tuple[float, float] | None = None
    published: Any = None
    source: str = ""
    uses: tuple[str, ...] = ()
    on: str | Callable[[Checkpoint], bool] = "all"


@dataclass(frozen=True)
class Figure:
    """A picture of what an exercise computes.

    Attributes:
        exercise: whose result is drawn.
        title, notice: what is shown, and what to notice in it.
        draw: a function (bench, call, value) that returns a plotly figure; where the figure has calls of its own,
            (bench, calls, values) with the lists of all of them.
        calls: makes the calls on a bench; the first call of the exercise's check where there are none.
        on: names of the checkpoints to draw it on; the shown one of the exercise by default.
    """

    exercise: str
    name: str
    title: str
    notice: str
    draw: Callable
    calls: Callable[[Bench], Iterable[Call]] | None = None
    on: tuple[str, ...] = ()


def figure(
    exercise: str,
    title: str,
    notice: str,
    *,
    calls: Callable[[Bench], Iterable[Call]] | None = None,
    on: Iterable[str] = (),
) -> Callable[[Callable], Figure]:
    """Declare a figure of an exercise; the decorated function draws it and its name is the figure's."""
    return lambda draw: Figure(exercise, draw.__name__, title, notice, draw, calls, tuple(on))


def mistake(
    exercise: str,
    message: str,
    *,
    when: Callable[[Bench, Call, Any], bool] | None = None,
    accepted: str = "",
) -> Callable[[Callable], Mistake]:
    """Declare a known wrong version of an exercise; the decorated function is it."""

    def make(function: Callable) -> Mistake:
        return Mistake(exercise, function.__name__, message, function, when, accepted)

    return make


def variant(exercise: str) -> Callable[[Callable], Variant]:
    """Declare a right answer that is written otherwise."""
    return lambda function: Variant(exercise, function.__name__, function)


def fact(
    text: str,
    *,
    bounds: tuple[float, float] | None = None,
    published: Any = None,
    source: str = "",
    uses: Iterable[str] = (),
    on: str | Callable[[Checkpoint], bool] = "all",
) -> Callable[[Callable[[Bench], Any]], Fact]:
    """Declare a fact; the decorated function computes it on a bench and its name is the fact's."""

    def make(compute: Callable[[Bench], Any]) -> Fact:
        return Fact(compute.__name__, text, compute, bounds, published, source, tuple(uses), on)

    return make
