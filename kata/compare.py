"""Are two plain values equal, how far apart are they, and how can that be said to someone who wants to learn?"""

import math
from dataclasses import dataclass
from typing import Any

import torch

from kata.plain import Foreign


@dataclass(frozen=True)
class Tolerance:
    """|got - expected| <= atol + rtol * |expected|, for all but `fraction` of the entries.

    `fraction` is for whole numbers that come from an argmax, where float noise may flip a near tie.
    """

    atol: float = 1e-4
    rtol: float = 1e-4
    fraction: float = 0.0


@dataclass(frozen=True)
class Gap:
    """How far two values are apart.

    Attributes:
        excess: largest |difference| in units of the tolerance (at most 1 is equal; inf for another shape or kind).
        path: where inside the value, such as `["tok_tok"]` or `[1]`.
        got, expected: the parts that differ most (tensors or plain values).
        reason: why they cannot be compared, where they cannot.
    """

    excess: float
    path: str = ""
    got: Any = None
    expected: Any = None
    reason: str = ""

    @property
    def equal(self) -> bool:
        return self.excess <= 1


def compare(got: Any, expected: Any, tolerance: Tolerance, path: str = "") -> Gap:
    """The largest gap between two plain values."""
    if isinstance(expected, torch.Tensor) or isinstance(got, torch.Tensor):
        return _compare_tensors(got, expected, tolerance, path)
    if isinstance(expected, (bool, str, type(None))) or isinstance(got, (bool, str, type(None), Foreign)):
        if type(got) is type(expected):
            return Gap(0 if got == expected else math.inf, path, got, expected)
        return Gap(math.inf, path, got, expected, f"{kind(got)} where {kind(expected)} was expected")
    if isinstance(expected, (int, float)):
        return _compare_tensors(got, expected, tolerance, path)
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return Gap(math.inf, path, got, expected, f"a {kind(got)} where a dict was expected")
        if set(got) != set(expected):
            reason = f"the keys are {_keys(got)}, expected {_keys(expected)}"
            return Gap(math.inf, path, got, expected, reason)
        pairs = [(got[k], expected[k], f"{path}[{k!r}]") for k in expected]
    elif isinstance(expected, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(expected):
            size = f" of {len(got)}" if isinstance(got, (list, tuple)) else ""
            reason = f"a {kind(got)}{size} where a {kind(expected)} of {len(expected)} was expected"
            return Gap(math.inf, path, got, expected, reason)
        pairs = [(g, e, f"{path}[{i}]") for i, (g, e) in enumerate(zip(got, expected, strict=True))]
    elif isinstance(expected, (set, frozenset)):
        return Gap(0 if isinstance(got, (set, frozenset)) and got == expected else math.inf, path, got, expected)
    else:
        raise TypeError(f"a reference returned {type(expected).__name__}, which is not plain")
    gaps = [compare(g, e, tolerance, p) for g, e, p in pairs]
    return max(gaps, key=lambda gap: gap.excess, default=Gap(0, path, got, expected))


def _compare_tensors(got: Any, expected: Any, tolerance: Tolerance, path: str) -> Gap:
    def number(x: Any) -> bool:
        return isinstance(x, (torch.Tensor, int, float)) and not isinstance(x, bool)

    if not number(got) or not number(expected):
        return Gap(math.inf, path, got, expected, f"a {kind(got)} where a {kind(expected)} was expected")
    a, b = torch.as_tensor(got), torch.as_tensor(expected)
    if a.shape != b.shape:
        return Gap(math.inf, path, got, expected, f"shape {list(a.shape)} where {list(b.shape)} was expected")
    if a.numel() == 0:
        return Gap(0, path, got, expected)
    if a.is_complex() or b.is_complex() or (a.dtype == torch.bool) != (b.dtype == torch.bool):
        if a.dtype != b.dtype:
            return Gap(math.inf, path, got, expected, f"{kind(a)} where {kind(b)} was expected")
        return Gap(0 if torch.equal(a, b) else math.inf, path, got, expected)
    a, b = a.double(), b.double()
    room = tolerance.atol + tolerance.rtol * b.abs()
    if not expected_float(expected) and tolerance.fraction == 0:
        room = torch.full_like(b, 0.5)  # whole numbers: equal or not
    excess = (a - b).abs() / room
    same = (a == b) | (a.isnan() & b.isnan())
    excess = torch.where(same, torch.zeros_like(excess), torch.nan_to_num(excess, math.inf, math.inf, math.inf))
    if tolerance.fraction:
        wrong = (excess > 1).double().mean().item()
        return Gap(wrong / tolerance.fraction, path, got, expected)
    return Gap(excess.max().item(), path, got, expected)


def expected_float(value: Any) -> bool:
    return value.is_floating_point() if isinstance(value, torch.Tensor) else isinstance(value, float)


def kind(value: Any) -> str:
    """The type of a plain value in the learner's words."""
    if isinstance(value, Foreign):
        return f"{value.kind} {value.text}".strip()
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} tensor of shape {list(value.shape)}"
    return "None" if value is None else type(value).__name__


def _keys(mapping: dict) -> str:
    return ", ".join(sorted(map(str, mapping)))


def evidence(gap: Gap) -> list[str]:
    """Got, expected, and where they differ most, in at most four lines."""
    where = f" in {gap.path}" if gap.path else ""
    if gap.reason:
        return [] if gap.reason.startswith("shape ") else [f"{gap.reason}{where}"]  # the headline has the shapes
    if not isinstance(gap.expected, torch.Tensor) or gap.expected.ndim == 0:
        return [f"got {show(gap.got)}, expected {show(gap.expected)}{where}"]
    a, b = gap.got.double(), gap.expected.double()
    difference = torch.nan_to_num((a - b).abs(), math.inf)
    at = [int(i) for i in torch.unravel_index(difference.argmax(), difference.shape)]
    entry = ", ".join(map(str, at))
    wrong = (difference > 1e-6 + 1e-4 * b.abs()).double().mean().item()
    one, other = gap.got[tuple(at)], gap.expected[tuple(at)]
    pair = f"got {show(one)}, expected {show(other)}"
    if show(one) == show(other):
        pair = f"got {one.item():.9g}, expected {other.item():.9g}"
    lines = [f"largest difference at [{entry}]{where}: {pair}"]
    if 0 < wrong < 1:
        lines.append(
            f"{max(wrong, 1 / difference.numel()):.0%} of the entries differ"
            if wrong >= 0.01
            else f"{round(wrong * difference.numel())} of {difference.numel()} entries differ"
        )
    row = tuple(at[:-1])
    if gap.got.dtype == torch.bool and gap.expected.dtype == torch.bool:
        lines.append(f"True in {int(gap.got.sum())} places, expected in {int(gap.expected.sum())}")
    elif b[row].numel() > 1:
        middle = at[-1]
        low = max(0, min(middle - 2, b.shape[-1] - 5))
        piece = slice(low, low + 5)
        lines.append(f"around it: got {show(gap.got[row][piece])}, expected {show(gap.expected[row][piece])}")
    return lines


def show(value: Any, limit: int = 90) -> str:
    """A plain value on one line, numbers to four significant digits."""
    if isinstance(value, torch.Tensor):
        text = show(value.tolist()) if value.numel() <= 12 else kind(value)
    elif isinstance(value, float):
        text = f"{value:.4g}"
    elif isinstance(value, (list, tuple)):
        text = "[" + ", ".join(show(v) for v in value) + "]"
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{k}: {show(v)}" for k, v in value.items()) + "}"
    elif isinstance(value, Foreign):
        text = f"a {kind(value)}"
    else:
        text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
