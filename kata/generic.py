"""Mistakes and right variants that every exercise can be tried with, made from its reference."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch

from kata.calls import MODEL, Call, copied
from kata.compare import Tolerance, compare
from kata.course import Course
from kata.plain import plain

Named = Iterator[tuple[str, Callable]]


def _map(value: Any, change: Callable[[Any], Any]) -> Any:
    """Apply `change` to every tensor and number inside a plain value."""
    if isinstance(value, dict):
        return {k: _map(v, change) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_map(v, change) for v in value)
    return change(value) if isinstance(value, (torch.Tensor, int, float)) and not isinstance(value, bool) else value


def _calls(course: Course, name: str) -> list[Call]:
    return [c for _, calls in course.plan(name) for c in calls]


def _kind(course: Course, name: str) -> str:
    """How the exercise is called: "hook", "maker" (returns a function) or "plain"."""
    first = _calls(course, name)[0]
    return "hook" if first.hook else "maker" if first.then else "plain"


def _flat(course: Course, name: str) -> list[Any]:
    return [v for row in course.expected(name) for v in row]


def _same(a: Any, b: Any) -> bool:
    return compare(plain(a), plain(b), Tolerance(1e-9, 1e-9)).equal


def zeros(course: Course, name: str) -> Named:
    def wrong(*args: Any) -> Any:
        return _map(course.reference(name)(*args), lambda v: v * 0)

    if _kind(course, name) == "plain" and not all(_same(_map(v, lambda x: x * 0), v) for v in _flat(course, name)):
        yield "", wrong


def constant(course: Course, name: str) -> Named:
    """Always the answer to the first call."""
    values = _flat(course, name)

    def wrong(*args: Any) -> Any:
        return values[0]

    if _kind(course, name) == "plain":
        yield "", wrong


def nothing(course: Course, name: str) -> Named:
    yield "", lambda *args: None


def not_a_number(course: Course, name: str) -> Named:
    def wrong(*args: Any) -> Any:
        return _map(course.reference(name)(*args), lambda v: v * torch.nan if _float(v) else v)

    if _kind(course, name) == "plain" and any(not _same(_map(v, _nan), v) for v in _flat(course, name)[:1]):
        yield "", wrong


def _float(value: Any) -> bool:
    return value.is_floating_point() if isinstance(value, torch.Tensor) else isinstance(value, float)


def _nan(value: Any) -> Any:
    return value * torch.nan if _float(value) else value


def transposed(course: Course, name: str) -> Named:
    def flip(value: Any) -> Any:
        return value.mT if isinstance(value, torch.Tensor) and value.ndim >= 2 else value

    def wrong(*args: Any) -> Any:
        return _map(course.reference(name)(*args), flip)

    if _kind(course, name) == "plain" and not all(_same(_map(v, flip), v) for v in _flat(course, name)):
        yield "", wrong


def ignored(course: Course, name: str) -> Named:
    """Each argument in turn is taken from the first call, whatever is asked."""
    calls = _calls(course, name)
    if _kind(course, name) != "plain":
        return
    for index, argument in enumerate(calls[0].args):
        values = [c.args.get(argument) for c in calls]
        if values[0] is MODEL or argument in course.checks[name].free:
            continue

        def wrong(*args: Any, index: int = index, first: Any = values[0]) -> Any:
            return course.reference(name)(*(copied(first) if i == index else a for i, a in enumerate(args)))

        yield f" {argument}", wrong


def input_changed(course: Course, name: str) -> Named:
    def wrong(*args: Any) -> Any:
        result = course.reference(name)(*args)
        for value in args:
            for part in value.values() if isinstance(value, dict) else [value]:
                if isinstance(part, torch.Tensor) and part.numel():
                    part.copy_(~part if part.dtype == torch.bool else part + 1)
        return result

    has = any(isinstance(v, (torch.Tensor, dict)) for c in _calls(course, name) for v in c.args.values())
    if _kind(course, name) == "plain" and has:
        yield "", wrong


def model_changed(course: Course, name: str) -> Named:
    def wrong(model: Any, *args: Any) -> Any:
        result = course.reference(name)(model, *args)
        next(iter(model.state_dict().values())).data.mul_(1.001)
        return result

    if next(iter(_calls(course, name)[0].args.values()), None) is MODEL:
        yield "", wrong


def hooks_left(course: Course, name: str) -> Named:
    def wrong(model: Any, *args: Any) -> Any:
        result = course.reference(name)(model, *args)
        model.add_hook("hook_embed", lambda activation, hook: activation)
        return result

    if next(iter(_calls(course, name)[0].args.values()), None) is MODEL:
        yield "", wrong


def hard_coded(course: Course, name: str) -> Named:
    """Right on the shown checkpoint; elsewhere the shown checkpoint's numbers again."""
    plan = course.plan(name)
    shown = course.expected(name)[0]
    if len(plan) < 2 or _kind(course, name) != "plain":
        return

    def wrong(*args: Any) -> Any:
        names = list(inspect.signature(course.reference(name)).parameters)
        for (_, calls), values in zip(plan, course.expected(name), strict=True):
            for i, request in enumerate(calls):
                given = dict(zip(names, args, strict=False))
                if all(v is MODEL or _same(v, given.get(k)) for k, v in request.args.items()):
                    return shown[i] if i < len(shown) else values[i]
        return shown[0]

    if not all(_same(a, b) for row in course.expected(name)[1:] for a, b in zip(shown, row, strict=False)):
        yield "", wrong


GENERIC_MISTAKES: dict[str, Callable[[Course, str], Named]] = {
    "zeros": zeros,
    "constant output": constant,
    "returns None": nothing,
    "NaN": not_a_number,
    "transposed": transposed,
    "ignores": ignored,
    "changes its input": input_changed,
    "changes the model": model_changed,
    "leaves hooks": hooks_left,
    "hard-coded": hard_coded,
}


def _double(course: Course, name: str) -> Callable | None:
    """The reference's result in float64, or whole numbers as int32."""

    def widen(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or value.dtype == torch.bool:
            return value
        return value.double() if value.is_floating_point() else value.to(torch.int32)

    return lambda *args: _map(course.reference(name)(*args), widen) if _kind(course, name) == "plain" else None


def _view(course: Course, name: str) -> Callable | None:
    """The reference's result as a strided view that needs a gradient."""

    def stride(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or value.ndim == 0:
            return value
        wide = torch.stack([value, value], dim=-1)
        return (wide.requires_grad_() if wide.is_floating_point() else wide)[..., 0]

    return lambda *args: _map(course.reference(name)(*args), stride)


def _scalar(course: Course, name: str) -> Callable | None:
    """A 0-dim tensor for a number, a number for a 0-dim tensor."""

    def swap(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.item() if value.ndim == 0 else value
        return torch.tensor(value)

    return lambda *args: _map(course.reference(name)(*args), swap)


def _plain_only(make: Callable[[Course, str], Callable | None]) -> Callable[[Course, str], Callable | None]:
    return lambda course, name: make(course, name) if _kind(course, name) == "plain" else None


GENERIC_VARIANTS: dict[str, Callable[[Course, str], Callable | None]] = {
    "in another dtype": _plain_only(_double),
    "as a view": _plain_only(_view),
    "0-dim for a number": _plain_only(_scalar),
}
