"""Plain values: what may cross the wall between a learner's code and the judge.

Tensors, numbers, text, None, and lists, tuples, dicts and sets of them. Anything else is replaced by a
`Foreign` note that says what it was, so that the judge never holds an object that a learner's code made.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import torch

MAX_DEPTH = 8
MAX_ITEMS = 100_000
MAX_TEXT = 100_000


@dataclass(frozen=True)
class Foreign:
    """Stands for a value that is not plain.

    Attributes:
        kind: the name of its type.
        text: the beginning of what it prints as.
    """

    kind: str
    text: str = ""


def plain(value: Any, depth: int = 0) -> Any:
    """Copy a value into plain data: base-class CPU tensors, exact builtin types, `Foreign` for the rest."""
    if depth > MAX_DEPTH:
        return Foreign(type(value).__name__, "nested too deeply")
    if value is None or type(value) in (bool, int, float):
        return value
    if isinstance(value, str):
        return str.__str__(value)[:MAX_TEXT]
    if isinstance(value, torch.Tensor):
        return plain_tensor(value)
    if isinstance(value, dict):
        return {_key(k): plain(v, depth + 1) for k, v in list(value.items())[:MAX_ITEMS]}
    if isinstance(value, (list, tuple)):
        items = [plain(v, depth + 1) for v in list(value)[:MAX_ITEMS]]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, (set, frozenset)):
        return {v for v in (plain(x, depth + 1) for x in list(value)[:MAX_ITEMS]) if _hashable(v)}
    kind = f"{type(value).__module__.split('.')[0]}.{type(value).__name__}"
    if kind.startswith("numpy.") and getattr(value, "shape", None) == ():
        return value.item()  # a numpy number stands for the Python one
    shape = getattr(value, "shape", None)
    return Foreign(kind.removeprefix("builtins."), f"of shape {tuple(shape)}" if isinstance(shape, tuple) else "")


def plain_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A detached, dense, contiguous copy on the CPU whose class is exactly `torch.Tensor`."""
    with torch.no_grad(), torch._C.DisableTorchFunctionSubclass():
        base = tensor.detach().as_subclass(torch.Tensor)
        if base.layout != torch.strided:
            base = base.to_dense()
        return base.resolve_conj().resolve_neg().to("cpu", copy=True).contiguous()


def _key(key: Any) -> Any:
    return (
        key if type(key) in (str, int, float, bool, type(None)) else plain(key) if isinstance(key, tuple) else str(key)
    )


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def encode(value: Any) -> bytes:
    """Write a plain value as one safetensors blob whose metadata holds its structure as JSON."""
    from safetensors.torch import save

    tensors: dict[str, torch.Tensor] = {}

    def tree(v: Any) -> Any:
        if isinstance(v, torch.Tensor):
            tensors[f"t{len(tensors)}"] = v.contiguous()
            return {"tensor": f"t{len(tensors) - 1}"}
        if isinstance(v, Foreign):
            return {"foreign": [v.kind, v.text]}
        if isinstance(v, dict):
            return {"dict": [[tree(k), tree(x)] for k, x in v.items()]}
        for kind in (list, tuple, set):
            if isinstance(v, kind):
                return {kind.__name__: [tree(x) for x in v]}
        if isinstance(v, float) and not math.isfinite(v):
            return {"float": str(v)}
        return v

    structure = json.dumps(tree(value))
    return save(tensors or {"none": torch.zeros(1)}, metadata={"tree": structure})


def decode(blob: bytes) -> Any:
    """Read what `encode` wrote. Raises ValueError for anything else; executes nothing."""
    import struct

    from safetensors.torch import load

    try:
        tensors = load(blob)
        (length,) = struct.unpack("<Q", blob[:8])
        structure = json.loads(json.loads(blob[8 : 8 + length])["__metadata__"]["tree"])
    except Exception as error:
        raise ValueError(f"not a hand-over file: {type(error).__name__}") from None

    def value(node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        ((kind, body),) = node.items()
        match kind:
            case "tensor":
                return tensors[body]
            case "foreign":
                return Foreign(str(body[0]), str(body[1]))
            case "dict":
                return {value(k): value(v) for k, v in body}
            case "list":
                return [value(v) for v in body]
            case "tuple":
                return tuple(value(v) for v in body)
            case "set":
                return {value(v) for v in body}
            case "float":
                return float(body)
        raise ValueError(f"not a hand-over file: unknown node {kind}")

    try:
        return value(structure)
    except (KeyError, TypeError, IndexError, RecursionError) as error:
        raise ValueError(f"not a hand-over file: {type(error).__name__}") from None
