"""The house style of all figures: two templates, one colour scale centred at zero, one palette.

Colours of lines and bars are middle tones that stand out on white and on near-black alike, so only text, grid and
the centre of the colour scale differ between light and dark. A page picks the template when it is opened; a
notebook, which cannot know, gets `NEUTRAL`: no background, and text that can be read on both.
"""

from typing import Any

FORMATS = (".html", ".png", ".svg")  # what a figure can be saved as
PALETTE = ("#3b82d6", "#d9631e", "#2a9462", "#9a62cf", "#d14d8b", "#1f93a6", "#a8801a", "#7d8590")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")
SYMBOLS = ("circle", "diamond", "square", "cross", "triangle-up", "star", "hexagon", "triangle-down")
RAMP = ("#d9631e", "#7d8590", "#3b82d6")  # curves that have an order, first to last
WRONG = "#d81b60"  # marks NaN and wrong shapes
MUTED = "#7d8590"
PAPER = {"light": "#ffffff", "dark": "#16181d"}
TEXT = {"light": "#20242c", "dark": "#e4e6ea", "neutral": "#737982"}
_GRID = {"light": "#e3e6ea", "dark": "#33373f", "neutral": "rgba(125,133,144,0.28)"}
_SCALE = {  # below zero orange, above zero blue; zero is the colour of the paper
    "light": ["#7a2c02", "#d96a22", "#f6b98a", "#fbfbfa", "#93c1ea", "#2f78c4", "#0a2f66"],
    "dark": ["#ffc9a0", "#e07a34", "#7d3a12", "#1c1f26", "#1d4a7d", "#3f8ede", "#bfe0ff"],
}
_STOPS = (0.0, 0.2, 0.38, 0.5, 0.62, 0.8, 1.0)


def scale(mode: str, positive: bool = False) -> list[list[Any]]:
    """The colour scale as plotly wants it: [[0, colour], ..., [1, colour]].

    Zero is in the middle; of values that are never negative only the upper half is drawn, so zero comes first.
    """
    pairs = list(zip(_STOPS, _SCALE.get(mode, _SCALE["light"]), strict=True))
    if positive:
        pairs = [((stop - 0.5) * 2, colour) for stop, colour in pairs if stop >= 0.5]
    return [[stop, colour] for stop, colour in pairs]


def restyle(made: Any, mode: str) -> Any:
    """A copy of a plotly figure in the "light" or "dark" style."""
    copy = type(made)(made).update_layout(template=template(mode))
    for name in [n for n in copy.layout if n.startswith("coloraxis")]:
        if copy.layout[name].cmin == 0:
            copy.update_layout({name: {"colorscale": scale(mode, positive=True)}})
    return copy


def ramp(number: int) -> list[str]:
    """As many colours as there are curves, along RAMP."""
    from plotly.colors import sample_colorscale

    return sample_colorscale(list(RAMP), [i / max(1, number - 1) for i in range(number)])


def template(mode: str) -> dict[str, Any]:
    """The plotly template "light", "dark" or "neutral", as plain data."""
    text, grid = TEXT[mode], _GRID[mode]
    paper = PAPER.get(mode, "rgba(0,0,0,0)")
    axis = {
        "gridcolor": grid,
        "linecolor": grid,
        "zerolinecolor": grid,
        "zerolinewidth": 1,
        "automargin": True,
        "title": {"standoff": 6, "font": {"size": 13}},
        "tickfont": {"size": 11},
    }
    bar = {"thickness": 12, "outlinewidth": 0, "len": 0.9, "tickfont": {"size": 11}, "title": {"side": "right"}}
    scene = {"backgroundcolor": "rgba(0,0,0,0)", "gridcolor": grid, "zerolinecolor": grid}
    return {
        "layout": {
            "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13, "color": text},
            "title": {"x": 0.01, "xanchor": "left", "font": {"size": 16}},
            "paper_bgcolor": paper,
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": list(PALETTE),
            "coloraxis": {"colorscale": scale(mode), "colorbar": bar},
            "xaxis": axis,
            "yaxis": axis,
            "scene": {"xaxis": scene, "yaxis": scene, "zaxis": scene},
            "margin": {"l": 56, "r": 24, "t": 64, "b": 52},
            "legend": {
                "orientation": "h",
                "yref": "container",
                "y": 0,
                "yanchor": "bottom",
                "x": 0,
                "font": {"size": 12},
            },
            "hoverlabel": {"font": {"size": 12}},
            "annotationdefaults": {"font": {"size": 13, "color": text}},
        }
    }
