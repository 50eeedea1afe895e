"""What every figure starts from: a figure in the house style, values as arrays, tick labels that fit."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

from kata.plots_style import template

TICKS = 34  # tick labels that fit side by side on one axis

Labels = Sequence[Any] | None


def figure(*traces: Any, title: str = "", x: str = "", y: str = "", height: int = 420, **layout: Any) -> go.Figure:
    """An empty figure in the house style with these traces; the base of all others."""
    made = go.Figure(list(traces))
    made.update_layout(template=template("neutral"), title_text=title, height=height, **layout)
    if x:
        made.update_xaxes(title_text=x)
    if y:
        made.update_yaxes(title_text=y)
    return made


def array(values: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.real if values.is_complex() else values
        return values.double().numpy()
    return np.asarray(values, dtype=float)


def ticks(labels: Labels, size: int) -> dict[str, Any]:
    """Tick labels at their places, thinned out until they fit; whole numbers where there are none."""
    if labels is None or len(labels) != size:
        return {"tickmode": "linear", "tick0": 0, "dtick": 1} if size <= 14 else {"tickformat": "d"}
    step = max(1, math.ceil(size / TICKS))
    places = [i for i in range(size) if i % step == 0 or (step > 1 and not str(labels[i]).isdigit())]
    if len(places) > 2 * TICKS:
        places = list(range(0, size, step))
    return {"tickmode": "array", "tickvals": places, "ticktext": [str(labels[i]) for i in places]}


def note(made: go.Figure, text: str) -> go.Figure:
    """Write a number or a remark above the upper left corner."""
    return made.add_annotation(
        text=text, x=0, y=1.02, xref="paper", yref="paper", xanchor="left", yanchor="bottom", showarrow=False
    )
