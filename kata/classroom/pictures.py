"""Pictures of results: the learner's, the reference's and the difference, as small static images.

A class has thousands of them, and plotly's script alone weighs 4.6 MB a page: so a heat map is a PNG of one pixel
per entry (a few hundred bytes to a few kB, inside the page), a curve is an SVG. The learner's own page, of which
there is one, uses plotly instead (`learner_page`).
"""

import base64
import math
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import torch

from kata.calls import Outcome
from kata.compare import compare
from kata.course import Course

MOST = 160  # rows or columns of a heat map; longer axes are cut
POINTS = 200  # of a curve


@dataclass(frozen=True)
class Figure:
    """A matrix or a curve of a result, and what the reference gives in its place.

    Attributes:
        title: which call, and which part of the result.
        got, expected: 2-D or 1-D, double; `expected` is None where there is no single right answer.
    """

    title: str
    got: torch.Tensor
    expected: torch.Tensor | None


def figure(course: Course, name: str, outcomes: list[list[Outcome]]) -> Figure | None:
    """The figure that says most: where the result differs most, else the first that can be drawn."""
    check = course.checks[name]
    expected = None if check.judge else course.expected(name)
    best: tuple[float, Figure] | None = None
    for i, ((bench, calls), row) in enumerate(zip(course.plan(name), outcomes, strict=True)):
        for j, (request, outcome) in enumerate(zip(calls, row, strict=True)):
            if outcome.status != "ok":
                continue
            want = expected[i][j] if expected else None
            part = _part(outcome.value, want, check.tolerance)
            if part is None:
                continue
            excess, path, got, reference = part
            said = request.describe()
            title = f"{bench.checkpoint.described}" + (f", {said}" if said else "") + (f", {path}" if path else "")
            if best is None or (excess > 1 >= best[0]):
                best = (excess, Figure(title, got, reference))
    return best[1] if best else None


def _part(got: Any, want: Any, tolerance: Any) -> tuple[float, str, torch.Tensor, torch.Tensor | None] | None:
    """Excess, where in the value, and the 1-D or 2-D slices to draw."""
    excess, path, a, b = 0.0, "", got, want
    if want is not None:
        gap = compare(got, want, tolerance)
        excess, path, a, b = gap.excess, gap.path, gap.got, gap.expected
        if excess <= 1:
            path, a = _first_tensor(got)
            b = _at(want, path)
    else:
        path, a = _first_tensor(got)
    if not _drawable(a):
        return None
    b = b if _drawable(b) and b.shape == a.shape else None
    if a.ndim > 2:
        a, b, index = _slice(a, b)
        path = f"{path}[{index}]"
    return excess, path, _real(a), None if b is None else _real(b)


def _first_tensor(value: Any, path: str = "") -> tuple[str, Any]:
    if isinstance(value, torch.Tensor) and _drawable(value):
        return path, value
    if isinstance(value, dict):
        parts = [(f"{path}[{k!r}]", v) for k, v in value.items()]
    elif isinstance(value, (list, tuple)):
        if len(value) >= 4 and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value):
            return path, torch.tensor([float(v) for v in value])
        parts = [(f"{path}[{i}]", v) for i, v in enumerate(value[:50])]
    else:
        return path, None
    for where, part in parts:
        found = _first_tensor(part, where)
        if found[1] is not None:
            return found
    return path, None


def _at(value: Any, path: str, here: str = "") -> Any:
    """What stands at a path of `_first_tensor` in the reference's value."""
    if here == path:
        return value if isinstance(value, torch.Tensor) else _first_tensor(value)[1]
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, part in parts:
        if path.startswith(f"{here}[{key!r}]"):
            return _at(part, path, f"{here}[{key!r}]")
    return None


def _drawable(value: Any) -> bool:
    if not isinstance(value, torch.Tensor) or value.is_complex() or value.numel() == 0:
        return False
    return (value.ndim == 1 and len(value) >= 4) or (value.ndim >= 2 and min(value.shape[-2:]) >= 2)


def _slice(a: torch.Tensor, b: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None, str]:
    """The last two axes, at the leading index where the two differ most."""
    lead = a.shape[:-2]
    at = 0
    if b is not None:
        worst = torch.nan_to_num((_real(a) - _real(b)).abs(), 1e30, 1e30).flatten(0, -3).amax((-2, -1))
        at = int(worst.argmax())
    index = [int(i) for i in torch.unravel_index(torch.tensor(at), lead)]
    place = tuple(index)
    return a[place], None if b is None else b[place], ", ".join(map(str, index))


def _real(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.double()
    return tensor[:MOST, :MOST] if tensor.ndim == 2 else tensor[:POINTS]


# -- static drawing


def static(course: Course, name: str, outcomes: list[list[Outcome]]) -> list[str]:
    """HTML of the figure's panels, made from numbers only; nothing of a submission's text is in it but escaped."""
    try:
        found = figure(course, name, outcomes)
        return [draw(found)] if found else []
    except Exception:  # a picture is never worth a verdict
        return []


def draw(found: Figure) -> str:
    panels = [("yours", found.got)]
    if found.expected is not None:
        panels += [("reference", found.expected)]
        difference = found.got - found.expected
        if bool((difference.nan_to_num(1, 1, 1) != 0).any()):
            panels += [("difference", difference)]
    if found.got.ndim == 1:
        body = _curves(panels)
    else:
        shared = found.got if found.expected is None else found.expected  # a wild result must not blank the reference
        body = "".join(_map(label, t, t if label == "difference" else shared) for label, t in panels)
    return f'<figure><figcaption>{_escape(found.title)}</figcaption><div class="panels">{body}</div></figure>'


def _escape(text: str) -> str:
    import html

    return html.escape(text[:200])


def _range(tensors: list[torch.Tensor]) -> tuple[float, float]:
    finite = torch.cat([t.flatten() for t in tensors])
    finite = finite[finite.isfinite()]
    if finite.numel() == 0:
        return 0.0, 1.0
    low, high = finite.min().item(), finite.max().item()
    bound = max(-low, high, 1e-12)
    return (-bound, bound) if low < 0 else (0.0, bound)


def _map(label: str, table: torch.Tensor, shared: torch.Tensor) -> str:
    low, high = _range([shared])
    data = base64.b64encode(png(colours(table, low, high))).decode()
    rows, columns = table.shape
    text = f"{label}: {rows} x {columns} heat map from {low:.3g} to {high:.3g}"
    ratio = f"aspect-ratio:{columns}/{rows}" if max(rows, columns) <= 4 * min(rows, columns) else "height:9rem"
    return (
        f'<div class="panel"><img alt="{text}" title="{text}" style="{ratio}" src="data:image/png;base64,{data}">'
        f'<span class="label">{label}<span class="scale">{low:.3g} … {high:.3g}</span></span></div>'
    )


def colours(table: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """The house's scale as bytes [rows, columns, 3]: orange below zero, blue above; what is beyond it is cut."""
    from kata.plots_style import WRONG, scale

    pairs = scale("light", positive=low >= 0)
    stops = torch.tensor([float(stop) for stop, _ in pairs], dtype=torch.double)
    shades = torch.tensor([_rgb(colour) for _, colour in pairs], dtype=torch.double)
    place = ((table - low) / ((high - low) or 1.0)).nan_to_num(0.5, 1.0, 0.0).clamp(0, 1)
    left = (torch.bucketize(place, stops, right=True) - 1).clamp(0, len(stops) - 2)
    part = ((place - stops[left]) / (stops[left + 1] - stops[left]))[..., None]
    mixed = shades[left] * (1 - part) + shades[left + 1] * part
    mixed[table.isnan()] = torch.tensor(_rgb(WRONG), dtype=torch.double)
    return mixed.round().to(torch.uint8)


def _rgb(colour: str) -> list[float]:
    return [float(int(colour[i : i + 2], 16)) for i in (1, 3, 5)]


def png(pixels: torch.Tensor) -> bytes:
    """A PNG of bytes [rows, columns, 3]."""
    rows, columns, _ = pixels.shape
    raw = torch.cat([torch.zeros(rows, 1, dtype=torch.uint8), pixels.reshape(rows, -1)], 1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    data = zlib.compress(raw.contiguous().numpy().tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _curves(panels: list[tuple[str, torch.Tensor]]) -> str:
    finite = torch.cat([t for _, t in panels])
    finite = finite[finite.isfinite()]
    low, high = (finite.min().item(), finite.max().item()) if finite.numel() else (0.0, 1.0)
    lines = "".join(f'<polyline class="{label}" points="{_points(t, low, high)}"/>' for label, t in reversed(panels))
    text = f"curve of {len(panels[0][1])} entries from {low:.3g} to {high:.3g}"
    keys = "".join(f'<span class="key {label}">{label}</span>' for label, _ in panels)
    return (
        f'<div class="panel wide"><svg role="img" aria-label="{text}" viewBox="0 0 300 100" '
        f'preserveAspectRatio="none"><title>{text}</title>{lines}</svg>'
        f'<span class="label">{keys}<span class="scale">{low:.3g} … {high:.3g}</span></span></div>'
    )


def _points(curve: torch.Tensor, low: float, high: float) -> str:
    span = (high - low) or 1.0
    step = 300 / max(1, len(curve) - 1)
    return " ".join(
        f"{i * step:.1f},{97 - 94 * (v - low) / span:.1f}" for i, v in enumerate(curve.tolist()) if math.isfinite(v)
    )


# -- the same wrong output


def signature(outcomes: list[list[Outcome]]) -> str:
    """Equal for results that are equal up to float noise: a few rounded numbers of every part, hashed."""
    import hashlib

    parts: list[str] = []
    for outcome in (o for row in outcomes for o in row):
        parts.append(outcome.status)
        _sum_up(outcome.value, parts)
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def _sum_up(value: Any, parts: list[str]) -> None:
    if isinstance(value, torch.Tensor):
        flat = value.flatten().to(torch.complex128).abs() if value.is_complex() else value.flatten().double()
        weights = torch.cos(torch.arange(flat.numel(), dtype=torch.double))
        known = flat.nan_to_num(7.0, 1e9, -1e9)
        numbers = (known.mean(), known.abs().mean(), (known * weights).mean()) if flat.numel() else ()
        parts.append(f"{list(value.shape)}{value.dtype}" + ",".join(f"{float(n):.3g}" for n in numbers))
    elif isinstance(value, float):
        parts.append(f"{value:.3g}")
    elif isinstance(value, dict):
        for key, part in value.items():
            parts.append(str(key)[:50])
            _sum_up(part, parts)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _sum_up(part, parts)
    elif isinstance(value, (set, frozenset)):
        parts.append(str(sorted(map(str, value))))
    else:
        parts.append(str(value)[:200])
