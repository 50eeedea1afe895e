"""Pictures of what an exercise computes, on plotly, in one house style.

    beside(got, expected)   the learner's result, the reference and their difference; what is wrong is marked
    heat, panels            one matrix, or several in a row: colours centred at zero, rows from the top
    lines, bars, dots       curves, bars (grouped or stacked), points
    spread                  histograms
    join                    curves, bars or points side by side
    attention               attention patterns over tokens (circuitsvis, offline), for notebooks and pages
    describe                what a figure shows, in a sentence or two, for screen readers

All take torch tensors, arrays or lists and return a `plotly.graph_objects.Figure`; none has side effects, and none
refuses a value of an odd shape. Import this module inside the function that draws: it needs plotly and torch.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

from kata.compare import Tolerance, compare, kind
from kata.plots_base import Labels, array, figure, note, ticks
from kata.plots_curves import bars, dots, join, lines, spread
from kata.plots_style import PALETTE, WRONG, scale, template
from kata.plots_text import describe

__all__ = [
    "attention",
    "bars",
    "beside",
    "describe",
    "dots",
    "figure",
    "heat",
    "join",
    "lines",
    "note",
    "panels",
    "spread",
]

CELLS = 240  # rows and columns that a heat map draws; larger matrices are drawn in blocks
CROSSES = 400  # NaN entries that get a mark of their own


# -- matrices ---------------------------------------------------------------------------------------------------------


def heat(values: Any, *, title: str = "", height: int = 460, **options: Any) -> go.Figure:
    """A heat map of one matrix. Options as in `panels`."""
    made = panels({"": values}, title=title, height=height, **options)
    made.update_layout(margin_t=64)
    return made


def panels(
    parts: Mapping[str, Any],
    *,
    title: str = "",
    rows: str = "",
    columns: str = "",
    row_labels: Labels = None,
    column_labels: Labels = None,
    unit: str = "",
    shared: bool = True,
    bound: float | None = None,
    marks: Iterable[tuple[int, int]] = (),
    mark_name: str = "marked",
    across: int = 0,
    height: int = 420,
) -> go.Figure:
    """Heat maps side by side, one for each entry of `parts`.

    Args:
        rows, columns: what the axes hold, such as "source token".
        row_labels, column_labels: tokens or positions; the index where there are none.
        unit: what the colours count, such as "logits".
        shared: one colour scale for all, or one for each panel.
        bound: the value of the strongest colour; the largest finite |entry| by default.
        marks: (row, column) cells to mark in every panel.
        across: panels in one row; all of them by default.
    """
    names = list(parts)
    grids = [_grid(parts[name]) for name in names]
    across = across or max(1, len(names))
    down = math.ceil(len(names) / across)
    made = _subplots(names, across, down, title, height * down if down > 1 else height, wide=not shared)
    marks = list(marks)
    for i, (grid, block) in enumerate(grids):
        row, col = i // across + 1, i % across + 1
        axis = "coloraxis" if shared or i == 0 else f"coloraxis{i + 1}"
        shown = np.where(np.isfinite(grid), grid, np.nan)
        y0 = x0 = (block - 1) / 2
        made.add_trace(
            go.Heatmap(z=shown, coloraxis=axis, y0=y0, x0=x0, dx=block, dy=block, hovertemplate=_hover(rows, columns)),
            row=row,
            col=col,
        )
        cells = [(r * block, c * block) for r, c in np.argwhere(~np.isfinite(grid)).tolist()[:CROSSES]]
        _crosses(made, row, col, cells, "NaN or infinite", "x", WRONG, bool(len(cells)))
        _crosses(made, row, col, marks, mark_name, "circle", "#ffffff", bool(marks) and i == 0)
        height_, width_ = grid.shape[0] * block, grid.shape[1] * block
        made.update_yaxes(range=[height_ - 0.5, -0.5], showgrid=False, zeroline=False, row=row, col=col)
        made.update_xaxes(range=[-0.5, width_ - 0.5], showgrid=False, zeroline=False, row=row, col=col)
        made.update_yaxes(**ticks(row_labels, height_), row=row, col=col)
        made.update_xaxes(**ticks(column_labels, width_), row=row, col=col)
        alike = len({g.shape[0] * b for g, b in grids}) == 1
        made.update_yaxes(showticklabels=col == 1 or not alike, row=row, col=col)
        if col == 1:
            made.update_yaxes(title_text=rows, row=row, col=col)
        if row == down:
            made.update_xaxes(title_text=columns, row=row, col=col)
    _colours(made, [g for g, _ in grids], shared, bound, unit, across, down)
    return made


def _subplots(names: list[str], across: int, down: int, title: str, height: int, wide: bool) -> go.Figure:
    from plotly.subplots import make_subplots

    made = make_subplots(
        rows=down,
        cols=across,
        subplot_titles=names,
        horizontal_spacing=(0.14 if wide else 0.07) if across > 1 else 0,
        vertical_spacing=0.28 / down if down > 1 else 0,
    )
    made.update_layout(template=template("neutral"), title_text=title, height=height, margin_t=92)
    made.update_annotations(font_size=13)
    return made


def _colours(
    made: go.Figure, grids: list[np.ndarray], shared: bool, bound: float | None, unit: str, across: int, down: int
) -> None:
    """Colour axes that are symmetric about zero, or begin there, so that zero has the colour of the paper."""
    tops = [bound or _top(grid) for grid in grids]
    signed = [bool((grid[np.isfinite(grid)] < 0).any()) for grid in grids]
    if shared:
        tops, signed = [max(tops, default=1.0)], [any(signed)]
    for i, (top, both) in enumerate(zip(tops, signed, strict=True)):
        axis = "coloraxis" if i == 0 else f"coloraxis{i + 1}"
        bar: dict[str, Any] = {"title": {"text": unit}}
        if not shared and across > 1:
            place = made.layout["xaxis" if i == 0 else f"xaxis{i + 1}"].domain
            level = made.layout["yaxis" if i == 0 else f"yaxis{i + 1}"].domain
            bar |= {"x": place[1] + 0.005, "y": sum(level) / 2, "len": 0.95 * (level[1] - level[0])}
            bar["title"] = {"text": unit if i == len(tops) - 1 else ""}
        colours: dict[str, Any] = {"cmin": -top if both else 0, "cmax": top, "colorbar": bar}
        if not both:
            colours["colorscale"] = scale("neutral", positive=True)
        made.update_layout({axis: colours})


def _grid(values: Any) -> tuple[np.ndarray, int]:
    """Any value as a matrix of floats that is not too large to draw, and how many cells one block stands for."""
    matrix = array(values)
    while matrix.ndim > 2:
        matrix = matrix[0]
    matrix = np.atleast_2d(matrix)
    block = max(1, math.ceil(max(matrix.shape) / CELLS))
    if block == 1:
        return matrix, 1
    room = [-(-n // block) * block for n in matrix.shape]
    padded = np.zeros(room)
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    split = padded.reshape(room[0] // block, block, room[1] // block, block).swapaxes(1, 2)
    blocks = split.reshape(split.shape[0], split.shape[1], -1)
    strongest = np.where(np.isnan(blocks), math.inf, np.abs(blocks)).argmax(-1)
    return np.take_along_axis(blocks, strongest[..., None], -1)[..., 0], block


def _top(grid: np.ndarray) -> float:
    finite = np.abs(grid[np.isfinite(grid)])
    return float(finite.max()) if finite.size and finite.max() > 0 else 1.0


def _crosses(
    made: go.Figure, row: int, col: int, cells: Sequence[tuple], name: str, symbol: str, colour: str, legend: bool
) -> None:
    if not cells:
        return
    edge = "#20242c" if colour == "#ffffff" else colour
    marker = {"symbol": symbol, "color": colour, "size": 7, "line": {"width": 1.5, "color": edge}}
    ys, xs = zip(*cells, strict=True)
    made.add_trace(
        go.Scatter(x=xs, y=ys, mode="markers", marker=marker, name=name, showlegend=legend, hoverinfo="name"),
        row=row,
        col=col,
    )


def _hover(rows: str, columns: str) -> str:
    return f"{rows or 'row'} %{{y}}<br>{columns or 'column'} %{{x}}<br>%{{z:.4g}}<extra></extra>"


# -- the learner's result beside the reference ------------------------------------------------------------------------


def beside(got: Any, expected: Any, *, title: str = "", rows: str = "", columns: str = "") -> go.Figure:
    """The learner's value, the reference's and their difference, in whatever form they can be drawn.

    Of a tuple or dict the part that differs most is drawn, of a tensor with many axes the last two at the place of
    the largest difference. A wrong shape, a wrong type, NaN and infinities are marked, never refused.
    """
    if _numbers(got) and _numbers(expected) and len(got) == len(expected):
        names = list(expected) if isinstance(expected, dict) else list(range(len(expected)))
        values = [list(v.values()) if isinstance(v, dict) else list(v) for v in (got, expected)]
        return bars({"yours": values[0], "reference": values[1]}, names, title=title)
    gap = compare(got, expected, Tolerance())
    part = f" {gap.path}" if gap.path else ""
    title = f"{title}{part}"
    a, b = gap.got, gap.expected
    if not (_drawable(a) and _drawable(b)):
        return _words(title, {"yours": a, "expected": b}, gap.reason)
    one, two = array(a), array(b)
    if one.shape != two.shape:
        return _unlike(title, one, two, f"your shape is {list(one.shape)}, expected {list(two.shape)}")
    one, two, where = _slice(one, two)
    title += where
    if one.ndim == 0:
        return bars({"yours": [one], "reference": [two]}, [title or "value"], title=title)
    if one.ndim == 1:
        return lines({"yours": one, "reference": two, "yours - reference": one - two}, title=title, x=columns,
                     markers=len(one) <= 60)  # fmt: skip
    parts = {"yours": one, "reference": two, "yours - reference": one - two}
    bad = int((~np.isfinite(one)).sum())
    if bad:
        title += f" ({bad} NaN or infinite)"
    return panels(parts, title=title, rows=rows, columns=columns, bound=_top(two))


def _numbers(value: Any) -> bool:
    """Whether a value is a few named or listed numbers."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return 0 < len(parts) <= 40 and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in parts)


def _drawable(value: Any) -> bool:
    return isinstance(value, (torch.Tensor, int, float)) and not isinstance(value, bool)


def _slice(one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """The last two axes of both, at the place where they differ most, and the words that say which place."""
    if one.ndim <= 2 or not one.size:
        return one, two, ""
    gap = np.nan_to_num(np.abs(one - two), nan=np.inf)
    at = np.unravel_index(gap.argmax(), gap.shape)[: one.ndim - 2]
    return one[at], two[at], f" at [{', '.join(str(int(i)) for i in at)}, :, :]"


def _unlike(title: str, one: np.ndarray, two: np.ndarray, reason: str) -> go.Figure:
    made = panels({f"yours {list(one.shape)}": one, f"reference {list(two.shape)}": two}, title=title, shared=False)
    made.add_annotation(text=f"✗ {reason}", xref="paper", yref="paper", x=0, y=1.16, showarrow=False,
                        xanchor="left", font={"color": WRONG, "size": 14})  # fmt: skip
    return made


def _words(title: str, values: dict[str, Any], reason: str) -> go.Figure:
    """Values that cannot be drawn, written out."""
    from kata.compare import show

    made = figure(title=title, height=220)
    made.update_xaxes(visible=False, range=[0, 1])
    made.update_yaxes(visible=False, range=[0, 1])
    texts = [f"{name}: {show(v) if not isinstance(v, torch.Tensor) else kind(v)}" for name, v in values.items()]
    for i, text in enumerate([f"✗ {reason}", *texts] if reason else texts):
        made.add_annotation(text=text, x=0, y=0.9 - 0.25 * i, showarrow=False, xanchor="left",
                            font_color=WRONG if reason and i == 0 else None)  # fmt: skip
    return made


# -- attention over tokens --------------------------------------------------------------------------------------------


def attention(patterns: Any, tokens: Sequence[str], names: Sequence[str] | None = None) -> "Page":
    """Attention patterns [head, destination, source] over the tokens, to hover and click through (circuitsvis).

    circuitsvis asks the network whether to load its code from a CDN. It carries the same code along, so this takes
    that copy, and nothing is fetched. It knows no dark mode: the picture brings its own light paper.
    """
    from circuitsvis.attention import attention_heads

    shown = torch.as_tensor(array(patterns)).float().nan_to_num(0.0)
    shown = shown[None] if shown.ndim == 2 else shown
    labels = [f"{token} " for token in tokens]
    colours = {"positive_color": PALETTE[0], "negative_color": PALETTE[1]}
    made = attention_heads(shown, labels, list(names) if names else None, max_value=1.0, min_value=-1.0, **colours)
    words = f"Attention patterns of {len(shown)} head(s) over {len(labels)} tokens, destination by source."
    paper = "background:#fff;color:#20242c;padding:8px;border-radius:6px"
    return Page(f'<div role="group" aria-label="{words}" style="{paper}">{made.local_src}</div></div>')


class Page:
    """A piece of HTML that a notebook shows."""

    def __init__(self, html: str):
        self.html = html

    def _repr_html_(self) -> str:
        return self.html
