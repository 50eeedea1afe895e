"""Curves, bars, points and histograms in the house style."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from kata.plots_base import Labels, array, figure, ticks
from kata.plots_style import DASHES, MUTED, PALETTE, SYMBOLS, WRONG, ramp

CROSSES = 400  # NaN entries that get a mark of their own


def lines(
    curves: Mapping[str, Any],
    over: Any = None,
    *,
    title: str = "",
    x: str = "",
    y: str = "",
    x_labels: Labels = None,
    level: float | None = None,
    level_name: str = "",
    markers: bool = False,
    ordered: bool = False,
    height: int = 420,
) -> go.Figure:
    """Curves by name over `over` (the index by default); `level` is a horizontal line to compare with.

    `ordered` curves, such as steps, run through one ramp of colours.
    """
    colours = ramp(len(curves)) if ordered else PALETTE
    made = figure(title=title, x=x, y=y, height=height)
    for i, (name, values) in enumerate(curves.items()):
        numbers = np.ravel(array(values))
        places = list(range(len(numbers))) if over is None else np.ravel(array(over))[: len(numbers)]
        style = {
            "dash": "solid" if ordered else DASHES[i % len(DASHES)],
            "width": 2,
            "color": colours[i % len(colours)],
        }
        dot = {"symbol": SYMBOLS[i % len(SYMBOLS)], "size": 7}
        mode = "lines+markers" if markers or len(numbers) < 2 else "lines"
        made.add_trace(go.Scatter(x=places, y=numbers, name=name, mode=mode, line=style, marker=dot))
        bad = [(float(places[j]), 0.0) for j in np.flatnonzero(~np.isfinite(numbers))[:CROSSES]]
        if bad:
            mark = {"symbol": "x", "color": WRONG, "size": 9}
            made.add_trace(go.Scatter(x=[b[0] for b in bad], y=[b[1] for b in bad], mode="markers", marker=mark,
                                      name=f"NaN in {name}" if name else "NaN"))  # fmt: skip
    if x_labels is not None:
        made.update_xaxes(**ticks(x_labels, len(x_labels)))
    _level(made, level, level_name)
    made.update_layout(showlegend=len(made.data) > 1)
    return made


def bars(
    groups: Mapping[str, Any],
    labels: Sequence[Any],
    *,
    title: str = "",
    x: str = "",
    y: str = "",
    stacked: bool = False,
    level: float | None = None,
    level_name: str = "",
    percent: bool = False,
    height: int = 420,
) -> go.Figure:
    """Bars by group over `labels`: beside one another, or stacked (negative parts downwards)."""
    made = figure(title=title, x=x, y=y, height=height, barmode="relative" if stacked else "group")
    names = [str(label) for label in labels]
    top = max((float(np.abs(v[np.isfinite(v)]).max(initial=0)) for v in map(array, groups.values())), default=0.0)
    for i, (name, values) in enumerate(groups.items()):
        numbers = np.ravel(array(values))
        colour = PALETTE[i % len(PALETTE)]
        text = [] if stacked or len(names) * len(groups) > 20 else [_number(v, percent, top) for v in numbers]
        made.add_trace(go.Bar(x=names[: len(numbers)], y=numbers, name=name, marker_color=colour, text=text or None,
                              textposition="outside", textangle=0, cliponaxis=False))  # fmt: skip
        for j in np.flatnonzero(~np.isfinite(numbers)):
            made.add_annotation(x=names[j], y=0, text="NaN", showarrow=False, font_color=WRONG, yshift=10)
    if percent:
        made.update_yaxes(tickformat=".0%")
    made.update_xaxes(type="category").update_layout(uniformtext={"minsize": 10, "mode": "hide"})
    _level(made, level, level_name)
    made.update_layout(showlegend=len(groups) > 1)
    return made


def dots(
    groups: Mapping[str, tuple[Any, Any]],
    *,
    title: str = "",
    x: str = "",
    y: str = "",
    labels: Mapping[str, Sequence[str]] | None = None,
    diagonal: bool = False,
    square: bool = False,
    size: int = 7,
    height: int = 460,
) -> go.Figure:
    """Points by group; `labels` writes a text at each point, `diagonal` draws the line x = y."""
    made = figure(title=title, x=x, y=y, height=height)
    for i, (name, (xs, ys)) in enumerate(groups.items()):
        texts = list(labels[name]) if labels and name in labels else None
        mark = {"symbol": SYMBOLS[i % len(SYMBOLS)], "size": size, "color": PALETTE[i % len(PALETTE)], "opacity": 0.85}
        made.add_trace(go.Scatter(x=np.ravel(array(xs)), y=np.ravel(array(ys)), name=name, marker=mark, text=texts,
                                  mode="markers+text" if texts else "markers", textposition="top center",
                                  cliponaxis=False))  # fmt: skip
    if diagonal:
        ends = np.concatenate([np.ravel(array(v)) for pair in groups.values() for v in pair])
        ends = ends[np.isfinite(ends)]
        low, high = (float(ends.min()), float(ends.max())) if ends.size else (0.0, 1.0)
        made.add_shape(type="line", x0=low, y0=low, x1=high, y1=high, line={"color": MUTED, "dash": "dot"})
    if square:
        made.update_yaxes(scaleanchor="x")
    made.update_layout(showlegend=len(groups) > 1)
    return made


def spread(
    groups: Mapping[str, Any],
    *,
    title: str = "",
    x: str = "",
    y: str = "how many",
    bins: int = 40,
    low: float | None = None,
    high: float | None = None,
    height: int = 380,
) -> go.Figure:
    """Histograms of the groups over the same bins, stacked."""
    arrays = {name: np.ravel(array(values)) for name, values in groups.items()}
    everything = np.concatenate([*arrays.values(), np.zeros(0)])
    everything = everything[np.isfinite(everything)]
    low = low if low is not None else float(everything.min()) if everything.size else 0.0
    high = high if high is not None else float(everything.max()) if everything.size else 1.0
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    made = figure(title=title, x=x, y=y, height=height, barmode="stack", bargap=0.04)
    for i, (name, numbers) in enumerate(arrays.items()):
        counts = np.histogram(numbers[np.isfinite(numbers)], edges)[0]
        made.add_trace(go.Bar(x=middles, y=counts, name=name, marker_color=PALETTE[i % len(PALETTE)]))
    made.update_layout(showlegend=len(arrays) > 1)
    return made


def join(figures: Mapping[str, go.Figure], *, title: str = "", across: int = 0, height: int = 400) -> go.Figure:
    """Figures of curves, bars or points side by side, each with its own axes and its name above it."""
    from plotly.subplots import make_subplots

    across = across or len(figures)
    down = math.ceil(len(figures) / across)
    made = make_subplots(
        rows=down,
        cols=across,
        subplot_titles=list(figures),
        horizontal_spacing=0.3 / across if across > 1 else 0,
        vertical_spacing=0.3 / down if down > 1 else 0,
    )
    legend: set[str] = set()
    for i, one in enumerate(figures.values()):
        row, col = i // across + 1, i % across + 1
        for trace in one.data:
            trace.showlegend = one.layout.showlegend is not False and trace.name not in legend
            legend.add(trace.name)
            made.add_trace(trace, row=row, col=col)
        for name, axis in (("x", one.layout.xaxis), ("y", one.layout.yaxis)):
            kept = {k: v for k, v in axis.to_plotly_json().items() if k not in ("anchor", "domain", "scaleanchor")}
            (made.update_xaxes if name == "x" else made.update_yaxes)(kept, row=row, col=col)
        for shape in one.layout.shapes:
            made.add_shape(
                shape.update(xref=None if shape.xref == "x domain" else shape.xref, yref=None), row=row, col=col
            )
    first = next(iter(figures.values()))
    made.update_layout(
        template=first.layout.template,
        title_text=title,
        height=height * down,
        margin_t=92,
        showlegend=len(legend - {"", None}) > 1,
        **{name: first.layout[name] for name in ("barmode", "bargap", "uniformtext")},
    )
    made.update_annotations(font_size=13)
    return made


def _level(made: go.Figure, level: float | None, name: str) -> None:
    if level is not None:
        made.add_hline(y=level, line={"color": MUTED, "dash": "dot", "width": 1.5}, annotation_text=name)


def _number(value: float, percent: bool, top: float) -> str:
    """A value on its bar; what is nothing beside the largest is 0."""
    if not math.isfinite(value):
        return ""
    return f"{value:.0%}" if percent else "0" if abs(value) < 1e-3 * top else f"{value:.3g}"
