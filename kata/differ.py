"""How a wrong result differs, when no known mistake explains it: a factor, a transpose, a sign, a shift, one row."""

import math
from collections.abc import Iterator
from typing import Any

import torch

from kata.compare import Gap, Tolerance, compare, expected_float, kind


def describe(gap: Gap, tolerance: Tolerance) -> str:
    """One sentence that says how `gap.got` differs from `gap.expected`."""
    part = "your result"
    if gap.path:
        inner = gap.path.strip("[]")
        part = f"part {gap.path} of your result" if inner.isdigit() or "][" in gap.path else f"`{inner}` of your result"
        part = part.replace("'", "")
    if gap.got is None:
        return f"{part} is None: does the function end with `return`?"
    if not isinstance(gap.got, torch.Tensor) or not isinstance(gap.expected, torch.Tensor):
        return f"{part} is not what was expected" if not gap.reason else f"{part} is {gap.reason}"
    got, expected = gap.got, gap.expected
    if got.is_floating_point() and got.isnan().any() and not expected.isnan().any():
        share = got.isnan().double().mean().item()
        return f"{part} holds NaN ({share:.0%} of the entries)"
    if got.shape != expected.shape:
        if got.numel() == expected.numel() and sorted(got.shape) == sorted(expected.shape):
            return f"{part} has its axes in another order: shape {list(got.shape)}, expected {list(expected.shape)}"
        return f"{part} has shape {list(got.shape)}, expected {list(expected.shape)}"
    if got.dtype == torch.bool or expected.dtype == torch.bool:
        if got.dtype == expected.dtype and torch.equal(~got, expected):
            return f"{part} has True and False exchanged"
        got, expected = got.double(), expected.double()
    for test in (_order, _scale, _offset, _places):
        for sentence in test(got.double(), expected.double(), tolerance):
            return f"{part} {sentence}"
    if expected_float(gap.expected):
        correlation = _correlation(got.double(), expected.double())
        distance = (got.double() - expected.double()).norm() / (expected.double().norm() + 1e-30)
        if correlation > 0.99 and distance < 0.2:
            return f"{part} is close to right (correlation {correlation:.3f}) but not equal"
    return f"{part} differs from the expected one"


def _equal(a: torch.Tensor, b: torch.Tensor, tolerance: Tolerance) -> bool:
    return a.shape == b.shape and compare(a, b, Tolerance(tolerance.atol, max(tolerance.rtol, 1e-3))).equal


def _order(got: torch.Tensor, expected: torch.Tensor, tolerance: Tolerance) -> Iterator[str]:
    """The right numbers in the wrong order."""
    if got.ndim >= 2 and got.shape[-1] == got.shape[-2] and _equal(got.mT, expected, tolerance):
        yield "is transposed: its last two axes are exchanged"
    for axis in range(got.ndim):
        if got.shape[axis] > 1 and _equal(got.flip(axis), expected, tolerance):
            yield f"runs backwards along axis {axis}"
        for shift in (-1, 1):
            if got.shape[axis] < 3:
                continue
            inner = slice(1, None) if shift == 1 else slice(0, -1)
            index = tuple(inner if i == axis else slice(None) for i in range(got.ndim))
            if _equal(got.roll(shift, axis)[index], expected[index], tolerance) and got[index].unique().numel() > 1:
                yield f"is shifted by one along axis {axis}: entry i holds what belongs at i{-shift:+d}".replace(
                    "+", " + "
                )


def _scale(got: torch.Tensor, expected: torch.Tensor, tolerance: Tolerance) -> Iterator[str]:
    if not got.any() and expected.any():
        yield "is zero everywhere"
    if got.numel() > 1 and (got == got.flatten()[0]).all() and not (expected == expected.flatten()[0]).all():
        yield f"is the same number, {got.flatten()[0].item():.4g}, everywhere"
    solid = (expected.abs() > max(tolerance.atol * 10, 1e-6)) & expected.isfinite() & got.isfinite()
    if not solid.any():
        return
    ratio = (got[solid] / expected[solid]).median().item()
    if math.isfinite(ratio) and ratio and abs(ratio - 1) > 1e-3 and _equal(got / ratio, expected, tolerance):
        if abs(ratio + 1) < 1e-3:
            yield "has the opposite sign everywhere"
        yield f"is {_factor(ratio)} everywhere"


def _factor(ratio: float) -> str:
    size = f"{ratio:.4g} times" if abs(ratio) >= 1 else f"1/{1 / ratio:.4g} of"
    root = abs(ratio) if abs(ratio) > 1 else 1 / abs(ratio)
    square = root * root
    tail = f" (the square root of {round(square)})" if abs(square - round(square)) < 1e-2 and square > 3 else ""
    return f"{size} the expected one{tail}"


def _offset(got: torch.Tensor, expected: torch.Tensor, tolerance: Tolerance) -> Iterator[str]:
    """Right up to a constant, overall or along the last axis."""
    difference = got - expected
    if not difference.isfinite().all() or difference.numel() < 2:
        return
    if _equal(difference, difference.mean().expand_as(difference), tolerance):
        yield f"is the expected one plus {difference.mean().item():.4g} everywhere"
    elif difference.ndim > 1 and _equal(difference, difference.mean(-1, keepdim=True).expand_as(difference), tolerance):
        yield "differs from the expected one by a constant along the last axis (a mean that was not taken out?)"


def _places(got: torch.Tensor, expected: torch.Tensor, tolerance: Tolerance) -> Iterator[str]:
    """Wrong at few places only: one row, one column, the masked entries."""
    wrong = ~torch.isclose(got, expected, rtol=max(tolerance.rtol, 1e-6), atol=tolerance.atol, equal_nan=True)
    if expected.isneginf().any() and not got.isneginf().any():
        yield "holds finite numbers where -inf was expected (masked entries)"
    if not wrong.any() or wrong.all() or expected.ndim == 0:
        return
    if wrong.sum() == 1 and expected.ndim > 1:
        yield f"is wrong only at {wrong.nonzero()[0].tolist()}"
        return
    for axis in (i for i, size in enumerate(expected.shape) if size > 1):
        others = tuple(i for i in range(expected.ndim) if i != axis)
        lines = wrong.any(others) if others else wrong
        bad = lines.nonzero().flatten().tolist()
        if 0 < len(bad) <= max(1, min(3, expected.shape[axis] // 3)):
            yield f"is wrong only at {', '.join(map(str, bad))} along axis {axis} (of {expected.shape[axis]})"
            return
    if expected.ndim >= 2 and expected.shape[-1] == expected.shape[-2]:
        upper = torch.ones(expected.shape[-2:], dtype=torch.bool).triu(1)
        if not wrong[..., ~upper].any():
            yield "is wrong only above the diagonal"
        elif not wrong[..., upper].any():
            yield "is wrong only on and below the diagonal"


def _correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.flatten(), b.flatten()
    keep = a.isfinite() & b.isfinite()
    a, b = a[keep] - a[keep].mean(), b[keep] - b[keep].mean()
    return (a @ b / (a.norm() * b.norm() + 1e-30)).item() if a.numel() > 2 else 0.0


def shape_sentence(value: Any, expected_shape: str) -> str:
    """What came back against the axes that the signature names."""
    return f"your function returned a {kind(value)}; the signature promises {expected_shape}"
