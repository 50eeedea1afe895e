"""A page of figures: one HTML file that carries everything along, readable in light and dark, and by ear."""

import html
import json
from dataclasses import dataclass, field
from typing import Any

from kata.plots_style import scale, template
from kata.plots_text import describe

_STYLE = """
:root { color-scheme: light dark; --text: #20242c; --soft: #5b626d; --line: #e3e6ea; --paper: #fff; --wrong: #b3124c; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e6ea; --soft: #a3aab5; --line: #33373f; --paper: #16181d; --wrong: #ff7aa8; }
}
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--text);
  background: var(--paper); max-width: 1240px; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.3rem; margin: 2.6rem 0 .4rem; }
h3 { font-size: 1.08rem; margin: 0 0 .1rem; } p { max-width: 76ch; margin: .2rem 0 .6rem; }
nav { margin: .8rem 0; } nav a { margin-right: 1.2rem; } a { color: inherit; }
.soft { color: var(--soft); } .wrong { color: var(--wrong); font-weight: 600; }
section.picture { border-top: 1px solid var(--line); padding: 1.2rem 0 .6rem; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; } figure { flex: 1 1 520px; min-width: 0; margin: 0; }
figcaption { font-weight: 600; } .alt { position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); white-space: normal; }
"""

_SCRIPT = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const boxes = [...document.querySelectorAll("div[data-figure]")];
function draw(box) {
  const mode = dark.matches ? "dark" : "light";
  const made = JSON.parse(document.getElementById(box.dataset.figure).textContent);
  const layout = {...made.layout, template: TEMPLATES[mode]};
  for (const name of Object.keys(layout).filter(name => name.startsWith("coloraxis")))
    if (layout[name].cmin === 0) layout[name].colorscale = POSITIVE[mode];
  Plotly.react(box, made.data, layout,
    {responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"]});
}
const drawn = box => box.classList.contains("js-plotly-plot");
const near = new IntersectionObserver(seen => seen.forEach(({isIntersecting, target}) => {
  if (isIntersecting) { near.unobserve(target); draw(target); }
}), {rootMargin: "1500px"});  // a long page is drawn as it is read
boxes.forEach(box => near.observe(box));
dark.addEventListener("change", () => boxes.filter(drawn).forEach(draw));
addEventListener("beforeprint", () => boxes.filter(box => !drawn(box)).forEach(draw));
"""


@dataclass
class Shown:
    """One figure on a page: its label ("yours", "reference" or nothing) and the plotly figure, or a remark instead."""

    label: str
    figure: Any = None
    remark: str = ""


@dataclass
class Section:
    """One picture: heading, what to notice, and the figures that stand side by side."""

    heading: str
    notice: str
    shown: list[Shown]
    about: str = ""


@dataclass
class Chapter:
    """Several pictures under one heading; without a heading they simply follow one another."""

    heading: str
    sections: list[Section] = field(default_factory=list)
    text: str = ""

    @property
    def anchor(self) -> str:
        return "".join(c if c.isalnum() else "-" for c in self.heading.lower())


def page(title: str, chapters: list[Chapter], intro: str = "") -> str:
    """The whole page as HTML. It loads nothing: plotly's code is in it, once."""
    from plotly.offline import get_plotlyjs

    body = [f"<h1>{html.escape(title)}</h1>"]
    if intro:
        body.append(f'<p class="soft">{html.escape(intro)}</p>')
    if len(chapters) > 1:
        links = "".join(f'<a href="#{c.anchor}">{html.escape(c.heading)}</a>' for c in chapters)
        body.append(f"<nav>{links}</nav>")
    counter = 0
    for chapter in chapters:
        if chapter.heading:
            body.append(f'<h2 id="{chapter.anchor}">{html.escape(chapter.heading)}</h2>')
        if chapter.text:
            body.append(f"<p>{html.escape(chapter.text)}</p>")
        for section in chapter.sections:
            body.append(_section(section, counter))
            counter += len(section.shown)
    templates = json.dumps({mode: template(mode) for mode in ("light", "dark")})
    positive = json.dumps({mode: scale(mode, positive=True) for mode in ("light", "dark")})
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n<script>{get_plotlyjs()}</script>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + f"\n</main>\n<script>\nconst TEMPLATES = {templates}, POSITIVE = {positive};\n{_SCRIPT}</script>\n"
        + "</body>\n</html>\n"
    )


def _section(section: Section, first: int) -> str:
    figures = "\n".join(_figure(shown, first + i, section.heading) for i, shown in enumerate(section.shown))
    about = f' <span class="soft">{html.escape(section.about)}</span>' if section.about else ""
    return (
        f'<section class="picture">\n<h3>{html.escape(section.heading)}{about}</h3>\n'
        f'<p class="soft">{html.escape(section.notice)}</p>\n<div class="row">\n{figures}\n</div>\n</section>'
    )


def _figure(shown: Shown, number: int, heading: str) -> str:
    label = f"<figcaption>{html.escape(shown.label)}</figcaption>" if shown.label else ""
    remark = f'<p class="wrong">{html.escape(shown.remark)}</p>' if shown.remark else ""
    if shown.figure is None:
        return f"<figure>{label}{remark}</figure>"
    alt = html.escape(f"{heading}. {describe(shown.figure)}")
    made = json.loads(shown.figure.to_json())
    made["layout"].pop("template", None)
    if made["layout"].get("title", {}).get("text", "") in ("", heading):
        made["layout"].pop("title", None)  # the page has it as a heading
        made["layout"].setdefault("margin", {})["t"] = max(30, made["layout"].get("margin", {}).get("t", 64) - 40)
    data = json.dumps({"data": made["data"], "layout": made["layout"]}).replace("</", "<\\/")
    height = made["layout"].get("height", 420)
    return (
        f"<figure>{label}{remark}"
        f'<div data-figure="f{number}" style="height:{height}px" aria-hidden="true"></div>'
        f'<p class="alt">{alt}</p><script type="application/json" id="f{number}">{data}</script></figure>'
    )
