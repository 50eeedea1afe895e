"""Types and shapes: a result against the signature's promise, in words that name the axes."""

import inspect
from collections.abc import Callable
from typing import Any, get_args, get_origin

import torch
import typeguard
from jaxtyping import jaxtyped

from kata.calls import MODEL, Call
from kata.compare import kind
from kata.plain import Foreign


def conform(reference: Callable, request: Call, value: Any) -> str:
    """What is wrong with a result's type or shape, as the end of a sentence; "" where nothing is.

    Arguments and result are checked in one jaxtyping context, so that named axes must agree.
    """
    signature = inspect.signature(reference)
    promise = signature.return_annotation
    if request.then or promise is inspect.Signature.empty:
        return f"returned a {kind(value)}" if isinstance(value, Foreign) else ""
    pairs = []
    if request.hook is None:
        pairs.append((value, promise))
    else:
        pairs += [(v, promise) for v in value["activation"].values()]
    for part, annotation in pairs:
        part = _allowed(part, annotation)
        if not _fits(part, annotation, request, signature):
            return _wrong(part, annotation, request, signature)
    return ""


def _fits(value: Any, annotation: Any, request: Call, signature: inspect.Signature) -> bool:
    try:
        with jaxtyped("context"):
            for name, argument in request.args.items():
                parameter = signature.parameters.get(name)
                if argument is not MODEL and parameter is not None and request.hook is None:
                    _check(argument, parameter.annotation)
            _check(value, annotation)
    except typeguard.TypeCheckError:
        return False
    return True


def _check(value: Any, annotation: Any) -> None:
    if annotation is not inspect.Parameter.empty:
        strategy = typeguard.CollectionCheckStrategy.ALL_ITEMS
        typeguard.check_type(value, annotation, collection_check_strategy=strategy)


def _allowed(value: Any, annotation: Any) -> Any:
    """Forms that are as good: a 0-dim tensor for a number, a number for a 0-dim tensor, a list for a tuple."""
    if annotation in (float, int, bool) and isinstance(value, torch.Tensor) and value.ndim == 0:
        value = value.item()
    if annotation is float and type(value) is int:
        return float(value)
    scalar = annotation is torch.Tensor or (_is_shape(annotation) and annotation.dim_str == "")
    if scalar and isinstance(value, (int, float)) and not isinstance(value, bool):
        return torch.tensor(value, dtype=torch.float32 if isinstance(value, float) else torch.int64)
    if get_origin(annotation) is tuple and isinstance(value, (list, tuple)):
        parts = get_args(annotation)
        if len(parts) == 2 and parts[1] is Ellipsis:
            return tuple(_allowed(v, parts[0]) for v in value)
        if len(parts) == len(value):
            return tuple(_allowed(v, a) for v, a in zip(value, parts, strict=True))
    if get_origin(annotation) is dict and isinstance(value, dict):
        return {k: _allowed(v, get_args(annotation)[1]) for k, v in value.items()}
    return value


def _is_shape(annotation: Any) -> bool:
    return hasattr(annotation, "dim_str")


def _wrong(value: Any, annotation: Any, request: Call, signature: inspect.Signature) -> str:
    if value is None:
        return "returned None: does it end with `return`?"
    if isinstance(value, Foreign):
        hint = ": return a torch.Tensor" if "ndarray" in value.kind else ""
        return f"returned a {kind(value)}{hint}"
    for label, part, promise in _parts(value, annotation):
        if not _fits(part, promise, request, signature):
            inner = _wrong(part, promise, request, signature)
            if inner.startswith("returned as its part "):
                return inner.replace("its part ", f"its part {label}", 1)
            return inner.replace("returned", f"returned as its part {label}", 1)
    if not _is_shape(annotation) or not isinstance(value, torch.Tensor):
        return f"returned {_article(value)}, not what its signature promises"
    known = sizes(request, signature)
    axes = [f"{d}={known[d]}" if d in known else d for d in annotation.dim_str.split()]
    wanted = f"[{', '.join(axes)}]"
    if not any(str(value.dtype).removeprefix("torch.") == d for d in annotation.dtypes):
        return (
            f"returned {str(value.dtype).removeprefix('torch.')} numbers, expected {annotation.__name__.split('[')[0]}"
        )
    return f"returned shape {list(value.shape)}, expected {wanted}"


def _parts(value: Any, annotation: Any) -> list[tuple[str, Any, Any]]:
    """The parts of a tuple or dict that has the promised number of them, each with its own promise."""
    inner = get_args(annotation)
    if get_origin(annotation) is tuple and isinstance(value, tuple) and len(value) == len(inner):
        return [(f"[{i}]", v, a) for i, (v, a) in enumerate(zip(value, inner, strict=True))]
    if get_origin(annotation) is dict and isinstance(value, dict):
        return [(f"[{k!r}]", v, inner[1]) for k, v in value.items()]
    return []


def sizes(request: Call, signature: inspect.Signature) -> dict[str, int]:
    """What the named axes of the arguments are in this call."""
    found: dict[str, int] = {}
    for name, argument in request.args.items():
        annotation = signature.parameters[name].annotation if name in signature.parameters else None
        if isinstance(argument, torch.Tensor) and _is_shape(annotation):
            dims = annotation.dim_str.split()  # type: ignore[union-attr]
            if len(dims) == argument.ndim:
                found |= {d: n for d, n in zip(dims, argument.shape, strict=True) if not d.isdigit()}
    return found


def _article(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {kind(value)}"


def promised(function: Callable) -> str:
    """The signature's promise about its result, as the learner reads it."""
    annotation = inspect.signature(function).return_annotation
    return f"the signature promises {readable(annotation)}"


def readable(annotation: Any) -> str:
    if _is_shape(annotation):
        return f'{annotation.__name__.split("[")[0]}[Tensor, "{annotation.dim_str}"]'
    if get_args(annotation) and get_origin(annotation) is not None:
        parts = ", ".join(readable(a) for a in get_args(annotation))
        return f"{getattr(get_origin(annotation), '__name__', annotation)}[{parts}]"
    return getattr(annotation, "__name__", str(annotation))
