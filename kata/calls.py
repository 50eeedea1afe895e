"""The first half of a check: which call, run where the learner's code lives, handed over as plain values."""

import contextlib
import inspect
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from kata.guard import Fingerprint, TimeUp, captured, own_random, time_limit
from kata.plain import Foreign, plain
from kata.submission import CodeError


class _Model:
    """Stands in a call for the checkpoint's model, which is put in place where the call is run."""

    def __repr__(self) -> str:
        return "model"


MODEL = _Model()


@dataclass(frozen=True)
class Hooked:
    """Run the exercise as a hook function: at these hook points, over this input of the model."""

    points: tuple[str, ...]
    tokens: torch.Tensor
    forward: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One call of an exercise, made by the kit: plain data only.

    Attributes:
        args: arguments by the names of the contract, in order (`MODEL` stands for the model).
        then: where the exercise returns a function: the arguments of each further call of it.
        hook: where the exercise is a hook function: how it is run through the model.
        weights: tensors that replace the model's own for this call, by their names in its state dict: an altered
            model that no learner has seen.
        closed: modules of the model, by name, that may not run in this call: for what is to be read from weights.
        label: what a reader is told about this call.
    """

    args: dict[str, Any]
    then: tuple[dict[str, Any], ...] = ()
    hook: Hooked | None = None
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    closed: tuple[str, ...] = ()
    label: str = ""

    @property
    def needs_model(self) -> bool:
        return self.hook is not None or any(v is MODEL for v in self.args.values())

    def describe(self) -> str:
        """The call in a few words: its label, else its arguments that can be read at a glance."""
        if self.label:
            return self.label
        small = [f"{k}={_brief(v)}" for k, v in self.args.items() if v is not MODEL and _brief(v)]
        return ", ".join(small)


def _brief(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return str(value.item()) if value.ndim == 0 else ""
    if isinstance(value, (dict, torch.Generator)):
        return ""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def call(
    label: str = "",
    /,
    then: tuple[dict[str, Any], ...] = (),
    weights: dict[str, torch.Tensor] | None = None,
    closed: tuple[str, ...] = (),
    **args: Any,
) -> Call:
    """A plain call of the exercise: `call(model=MODEL, tokens=tokens)`."""
    return Call(args, then=then, weights=weights or {}, closed=closed, label=label)


def hooked(
    *points: str,
    tokens: torch.Tensor,
    forward: dict[str, Any] | None = None,
    weights: dict[str, torch.Tensor] | None = None,
    label: str = "",
    **args: Any,
) -> Call:
    """A call that runs the exercise as a hook at `points`; `args` are what it takes after (activation, hook)."""
    return Call(args, hook=Hooked(points, tokens, forward or {}), weights=weights or {}, label=label)


@dataclass
class Outcome:
    """What came back from one call. Everything in it is plain.

    Attributes:
        status: "ok", "todo", "error", "timeout", or "skipped" (an earlier call of the exercise broke).
        value: the plain result.
        error: the learner's exception, where there was one.
        changed: arguments (or "model") that the function changed in place.
        hooks_left: hook points that still carried hooks afterwards.
        reseeded: whether the function seeded torch's global generator.
        printed: the beginning of what it printed.
        seconds: how long it took.
    """

    status: str
    value: Any = None
    error: CodeError | None = None
    changed: list[str] = field(default_factory=list)
    hooks_left: list[str] = field(default_factory=list)
    reseeded: bool = False
    printed: str = ""
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return self.status == "ok" and not self.changed and not self.hooks_left


def run(
    function: Callable, request: Call, model: Any = None, *, root: Path | None = None, seconds: float = 20
) -> Outcome:
    """Call a function behind every fence and return what happened; never raises for what the function does.

    Args:
        function: the learner's function, a reference or a mistake.
        request: the call; its tensors are copied first, so that the function cannot change them for others.
        model: the checkpoint's model, where the call needs one.
        root: the submission's folder, to tell the learner's own lines from those of libraries.
        seconds: the time limit.
    """
    args = {k: copied(v) for k, v in request.args.items() if v is not MODEL}
    own = _exchange(model, request.weights)
    mark = Fingerprint.take(args, model)
    full = {k: model if v is MODEL else args[k] for k, v in request.args.items()}
    began = time.perf_counter()
    outcome = Outcome("ok")
    with captured() as text, own_random() as reseeded:
        try:
            with _closed(model, request.closed), time_limit(seconds):
                outcome.value = _value(function, request, full, model)
        except KeyboardInterrupt:
            raise
        except TimeUp:
            outcome.status = "timeout"
        except NotImplementedError as error:
            outcome.status = "todo" if not str(error) or root is None else "error"
            outcome.error = CodeError.of(error, root or Path("/nowhere"))
        except BaseException as error:  # SystemExit and all else: a learner's error is never ours
            outcome.status, outcome.error = "error", CodeError.of(error, root or Path("/nowhere"))
    outcome.seconds = time.perf_counter() - began
    outcome.changed, outcome.hooks_left = mark.changed(), mark.hooks_left()
    _exchange(model, own)
    outcome.reseeded, outcome.printed = bool(reseeded), text.getvalue()
    return outcome


def _exchange(model: Any, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Put these weights into the model; returns what was there."""
    if not weights:
        return {}
    there = model.state_dict()
    before = {name: there[name].clone() for name in weights}
    with torch.no_grad():
        for name, tensor in weights.items():
            there[name].copy_(tensor)
    return before


@contextlib.contextmanager
def exchanged(model: Any, weights: dict[str, torch.Tensor]) -> Iterator[Any]:
    """The model with these weights in it, for the block: what a judge runs where a call carries `weights`."""
    own = _exchange(model, weights)
    try:
        yield model
    finally:
        _exchange(model, own)


@contextlib.contextmanager
def _closed(model: Any, modules: tuple[str, ...]) -> Iterator[None]:
    """Refuse every run of these modules of the model inside the block."""

    def refuse(module: Any, inputs: Any) -> None:
        raise RuntimeError("the model may not be run in this exercise: read its weights")

    handles = [model.get_submodule(name).register_forward_pre_hook(refuse) for name in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def copied(value: Any) -> Any:
    """A copy of an argument, so that no function can change it for another: tensors, generators, and lists of them."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, torch.Generator):
        return value.clone_state()
    if isinstance(value, dict):
        return {k: copied(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(copied(v) for v in value)
    return value.copy() if isinstance(value, set) else value


def _value(function: Callable, request: Call, args: dict[str, Any], model: Any) -> Any:
    if request.hook is not None:
        return _through_hook(function, request.hook, list(args.values()), model)
    result = function(*args.values())
    if not request.then:
        return plain(result)
    if not callable(result):
        return Foreign(type(result).__name__, "where a function was expected")
    return [plain(result(*(copied(v) for v in further.values()))) for further in request.then]


def _through_hook(function: Callable, hook: Hooked, extra: list[Any], model: Any) -> dict[str, Any]:
    """The edited activation at each point and the model's output under the hook."""
    edited: dict[str, Any] = {}

    def wrapper(activation: torch.Tensor, hook: Any) -> Any:
        result = function(activation, hook, *extra)
        edited[str(getattr(hook, "name", len(edited)))] = plain(result)
        return result

    with torch.no_grad(), contextlib.ExitStack() as stack:
        stack.callback(model.reset_hooks)
        output = model.run_with_hooks(
            hook.tokens.clone(), fwd_hooks=[(p, wrapper) for p in hook.points], **hook.forward
        )
    return {"activation": edited, "output": plain(output)}


def parameters(function: Callable) -> list[str]:
    return list(inspect.signature(function).parameters)
