"""The learner's own page: `pytest checks --report FILE.html`. One page, so it can afford plotly's own figures."""

import re
from pathlib import Path
from typing import Any

from kata.calls import Outcome
from kata.classroom import pages
from kata.classroom.results import Mark
from kata.classroom.text import clean
from kata.course import Course
from kata.grade import Runner
from kata.project import Exercise, Project
from kata.verdict import Verdict


class Recorder(Runner):
    """A runner that keeps what came back, so that it can be drawn."""

    def __init__(self, runner: Runner):
        super().__init__(runner.submission)
        self._models = runner._models
        self.kept: dict[str, list[list[Outcome]]] = {}

    def outcomes(self, exercise: Exercise, plan: Any, seconds: float) -> Any:
        found = super().outcomes(exercise, plan, seconds)
        if isinstance(found, list):
            self.kept[exercise.id] = found
        return found


def write(
    project: Project, verdicts: list[Verdict], recorder: Recorder | None, courses: dict[str, Course], out: Path
) -> None:
    """Write the page: verdicts, figures of the results beside the reference, hints. It loads nothing."""
    drawn = []
    for verdict in verdicts:
        outcomes = recorder.kept.get(verdict.id) if recorder else None
        ran = outcomes and verdict.status in ("passed", "failed")
        drawn.append(_figure(courses[verdict.set], verdict, outcomes) if outcomes and ran else None)
    pieces, head, end = figures([d for d in drawn if d])
    rest = iter(pieces)
    marks = [Mark(_shown(v), 0, 0, False, "", [next(rest)] if d else []) for v, d in zip(verdicts, drawn, strict=True)]
    text = pages.verdict_page(
        project, marks, head=head, end=end, script=bool(pieces), title="My exercises", heading="My exercises"
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")


def _shown(verdict: Verdict) -> Verdict:
    told: dict[str, Any] = {k: clean(v) if isinstance(v, str) else v for k, v in verdict.to_dict().items()}
    told |= {k: [clean(line) for line in told[k]] for k in ("evidence", "notes")}
    return Verdict(**told)


def _figure(course: Course, verdict: Verdict, outcomes: list[list[Outcome]]) -> tuple[str, Any] | None:
    """Title and plotly figure of the part of a result that says most, if there is one to draw."""
    from kata.classroom.pictures import figure
    from kata.plots import beside, heat, lines

    try:
        found = figure(course, verdict.exercise, outcomes)
        if found is None:
            return None
        if found.expected is not None and not verdict.passed:
            return found.title, beside(found.got, found.expected, title=found.title)
        return found.title, heat(found.got) if found.got.ndim == 2 else lines({"yours": found.got})
    except Exception:  # a picture is never worth a verdict
        return None


def figures(drawn: list[tuple[str, Any]]) -> tuple[list[str], str, str]:
    """Each figure as HTML, and what the page needs in its head and at its end: plotly's code, once."""
    if not drawn:
        return [], "", ""
    from kata.plots_page import Chapter, Section, Shown, page

    whole = page("", [Chapter("", [Section(title, "", [Shown("", made)]) for title, made in drawn])])
    opening, _, body = whole.partition("</head>")
    pieces = re.findall(r'<section class="picture">.*?</section>', body, flags=re.S)
    head = opening[opening.index("<script>") :]
    end = body[body.rindex("<script>") : body.rindex("</script>")]
    again = """
for (const block of document.querySelectorAll("details")) block.addEventListener("toggle", () => {
  for (const box of block.querySelectorAll("div[data-figure]")) Plotly.Plots.resize(box);  // it had no width
});
</script>"""
    return pieces, head, end + again
