"""What a figure shows, in words: the text alternative for people who do not see it."""

from typing import Any

import numpy as np


def describe(made: Any) -> str:
    """One sentence for each trace of a plotly figure: what it is, its size, its range, where its extremes are."""
    heading = made.layout.title.text or ""
    titles = [a.text for a in made.layout.annotations if a.text and a.yref == "paper"]
    parts = [f"{heading}." if heading else ""]
    heats = 0
    for trace in made.data:
        name = trace.name or ""
        if trace.type == "heatmap":
            name = titles[heats] if heats < len(titles) else ""
            heats += 1
            parts.append(_heat(name, np.asarray(trace.z, dtype=float), made))
        elif trace.type == "bar":
            parts.append(_bars(name, trace))
        elif trace.type in ("scatter", "scatter3d"):
            parts.append(_curve(name, trace))
    return " ".join(part for part in parts if part)


def _heat(name: str, z: np.ndarray, made: Any) -> str:
    rows, columns = made.layout.yaxis.title.text or "row", made.layout.xaxis.title.text or "column"
    text = f"Heat map {name}: {z.shape[0]} by {z.shape[1]}, {rows} by {columns}".replace(" :", ":")
    finite = np.isfinite(z)
    if not finite.any():
        return f"{text}; no entry is a number."
    low, high = (np.unravel_index(f(np.where(finite, z, other)), z.shape) for f, other in
                 ((np.argmin, np.inf), (np.argmax, -np.inf)))  # fmt: skip
    text += f"; lowest {z[low]:.3g} at {low[0]}, {low[1]}; highest {z[high]:.3g} at {high[0]}, {high[1]}"
    bad = int((~finite).sum())
    return text + (f"; {bad} entries are left out or not numbers." if bad else ".")


def _bars(name: str, trace: Any) -> str:
    y = np.asarray(trace.y, dtype=float)
    if len(y) > 16:
        return f"Bars {name}: {len(y)}, from {np.nanmin(y):.3g} to {np.nanmax(y):.3g}."
    pairs = ", ".join(f"{label} {value:.3g}" for label, value in zip(trace.x, y, strict=False))
    return f"Bars {name}: {pairs}.".replace(" :", ":")


def _curve(name: str, trace: Any) -> str:
    y = np.asarray(trace.y, dtype=float)
    y = y[np.isfinite(y)]
    what = "Points" if trace.mode and "lines" not in trace.mode else "Line"
    if not len(y):
        return f"{what} {name}: nothing."
    ends = f"first {y[0]:.3g}, last {y[-1]:.3g}, " if what == "Line" else ""
    return f"{what} {name}: {len(y)} values, {ends}from {y.min():.3g} to {y.max():.3g}.".replace(" :", ":")
