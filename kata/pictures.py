"""Draw what an exercise computes: the learner's result beside the reference's, and save or show it."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kata.calls import Call, Outcome, run
from kata.checking import Bench, Figure, Tolerance
from kata.compare import compare
from kata.course import Course, model_for
from kata.grade import Runner
from kata.plots_page import Chapter, Section, Shown, page
from kata.plots_style import FORMATS
from kata.project import Exercise, KataError, Project
from kata.submission import CodeError, Submission

SECONDS = 20.0  # what the learner's function may take for one figure


@dataclass
class Picture:
    """One figure of an exercise on one checkpoint.

    Attributes:
        yours: the plotly figure of the learner's result; None where there is none.
        reference: the same of the solution's result.
        remark: one line that says what is wrong with the learner's result, or why there is none.
        todo: whether the learner's function is not written yet.
        differs: whether the learner's result is not what the reference gives (unknown where many are right).
        values: the learner's result and the reference's, of the call where they differ most.
    """

    exercise: Exercise
    title: str
    notice: str
    about: str
    yours: Any = None
    reference: Any = None
    remark: str = ""
    todo: bool = False
    differs: bool = False
    values: tuple[Any, Any] | None = None

    def shown(self, labelled: bool = True) -> list[Shown]:
        """The learner's figure and the reference's, each under its label."""
        both = []
        labelled = labelled and self.title != "Entry by entry"
        if self.yours is not None or self.remark:
            both.append(
                Shown(", ".join(filter(None, ["yours" if labelled else "", self.about])), self.yours, self.remark)
            )
        if self.reference is not None:
            name = "reference" if labelled and (both or self.yours is not None) else ""
            both.append(Shown(", ".join(filter(None, [name, self.about])), self.reference))
        return both


def sections(pictures: list[Picture], labelled: bool = True) -> list[Section]:
    """Pictures as sections of a page; those of one figure on several checkpoints stand in one section."""
    made: list[Section] = []
    for picture in pictures:
        if not made or made[-1].heading != picture.title:
            made.append(Section(picture.title, picture.notice, [], "" if labelled else picture.exercise.name))
        made[-1].shown += picture.shown(labelled)
    return made


class Artist:
    """Draws the figures of one set, for one submission or for the reference alone."""

    def __init__(self, course: Course, submission: Submission | None = None):
        self.course = course
        self.submission = submission
        self.runner = Runner(submission) if submission else None
        self._expected: dict[tuple[str, str], list[Any]] = {}

    def declared(self, exercise: str) -> list[Figure]:
        return self.course.figures.get(exercise, [])

    def named(self, name: str) -> Figure:
        everything = {f.name: f for figures in self.course.figures.values() for f in figures}
        if name not in everything:
            raise KataError(f"{self.course.set}: {Project.near(name, list(everything), 'figure')}")
        return everything[name]

    def pictures(self, exercise: str, on: str | None = None, reference: bool = True) -> list[Picture]:
        """All figures of an exercise; its plain values where it has no figure of its own."""
        specs = self.declared(exercise)
        if not specs:
            return [self._values(exercise, on)]
        drawn = [p for spec in specs for p in self._each(spec, on, reference, fallback=False)]
        wrong = next((p for p in drawn if p.values and (p.differs or p.yours is None)), None)
        return [*drawn, _entry_by_entry(wrong)] if wrong else drawn

    def draw(self, spec: Figure, on: str | None = None, reference: bool = True) -> list[Picture]:
        """One figure, on each checkpoint that it is meant for (or on the one named)."""
        return self._each(spec, on, reference, fallback=True)

    def _each(self, spec: Figure, on: str | None, reference: bool, fallback: bool) -> list[Picture]:
        benches = [self.course.bench_of(name) for name in ([on] if on else spec.on)] or [self._shown(spec.exercise)]
        tell = len(benches) > 1 or bool(on)
        return [self._draw(spec, bench, reference, tell, fallback) for bench in benches]

    def _shown(self, exercise: str) -> Bench:
        check = self.course.checks.get(exercise)
        chosen = check.chooses(self.course.checkpoints) if check else self.course.checkpoints
        return self.course.bench(chosen[0])

    def _calls(self, spec: Figure | None, exercise: str, bench: Bench) -> list[Call]:
        if spec and spec.calls:
            return list(spec.calls(bench))
        check = self.course.checks.get(exercise)
        if check is None:
            raise KataError(f"{self.course.set}.{exercise} has neither a figure nor a check: there is nothing to draw")
        return [next(iter(check.calls(bench)))]

    def _draw(self, spec: Figure, bench: Bench, reference: bool, tell: bool, fallback: bool) -> Picture:
        exercise = self.course.exercise(spec.exercise)
        calls = self._calls(spec, spec.exercise, bench)
        about = f"on {bench.checkpoint.described}" if tell else ""
        picture = Picture(exercise, spec.title, spec.notice, about)
        expected = self._reference(spec.name, exercise, bench, calls)
        if reference or self.runner is None:
            picture.reference = _figure(spec, bench, calls, expected)
        if self.runner is None:
            return picture
        got = self._yours(picture, bench, calls)
        if got is None:
            return picture
        self._judge(picture, got, expected)
        if not picture.remark or picture.remark.endswith("NaN or infinite"):
            with contextlib.suppress(Exception):  # a value that fits in shape only may still not be drawable
                picture.yours = _figure(spec, bench, calls, got)
                _same_colours(picture.yours, picture.reference)
        if picture.yours is None and fallback:
            picture.yours = _entry_by_entry(picture).yours
        return picture

    def _values(self, name: str, on: str | None) -> Picture:
        """The result of the first call, the reference and the difference: for exercises without a figure."""
        exercise = self.course.exercise(name)
        bench = self.course.bench_of(on) if on else self._shown(name)
        calls = self._calls(None, name, bench)
        notice = f"{calls[0].describe() or 'its first check'}, on {bench.checkpoint.described}"
        picture = Picture(exercise, name, notice, "")
        expected = self._reference(name, exercise, bench, calls)
        if self.runner is None:
            picture.reference = _beside(expected[0], expected[0], name)
            return picture
        got = self._yours(picture, bench, calls)
        if got is not None:
            self._judge(picture, got, expected)
            picture.yours = _entry_by_entry(picture).yours
        return picture

    def _reference(self, key: str, exercise: Exercise, bench: Bench, calls: list[Call]) -> list[Any]:
        there = (key, bench.checkpoint.name)
        if there not in self._expected:
            function = self.course.reference(exercise.name)
            outcomes = [run(function, call, model_for(bench, call)) for call in calls]
            for outcome in outcomes:
                if outcome.status != "ok":
                    raise KataError(f"the reference {exercise.id} fails: {outcome.error or outcome.status}")
            self._expected[there] = [o.value for o in outcomes]
        return self._expected[there]

    def _yours(self, picture: Picture, bench: Bench, calls: list[Call]) -> list[Any] | None:
        """The learner's values; None, with the reason in the picture, where there are none."""
        assert self.runner and self.submission
        exercise = picture.exercise
        problem = self.submission.problem(exercise)
        where = self.submission.shown(exercise)
        if problem:
            picture.remark = problem.message or problem.kind
        elif self.submission.todo(exercise):
            picture.todo = True
            picture.remark = f"{exercise.name} is not written yet: {where}"
        if picture.remark:
            return None
        rows = self.runner.outcomes(exercise, [(bench, calls)], SECONDS)
        if isinstance(rows, CodeError):
            picture.remark = f"{where}: {rows.kind}: {_first_line(rows.message)}"
            return None
        broken = next((o for o in rows[0] if o.status != "ok"), None)
        if broken:
            picture.remark = _why(exercise.name, broken)
            return None
        return [o.value for o in rows[0]]

    def _judge(self, picture: Picture, got: list[Any], expected: list[Any]) -> None:
        check = self.course.checks.get(picture.exercise.name)
        judged = check is not None and check.judge is not None
        tolerance = check.tolerance if check else Tolerance()
        worst = -1.0
        for one, two in zip(got, expected, strict=True):
            gap = compare(one, two, tolerance)
            if gap.reason and not judged:
                picture.remark = f"{gap.reason}{' in ' + gap.path if gap.path else ''}"
            bad = _not_numbers(one) - _not_numbers(two)
            if bad > 0 and not picture.remark:
                picture.remark = f"{bad} of your numbers are NaN or infinite"
            picture.differs = picture.differs or (not judged and not gap.equal)
            if gap.excess > worst:
                worst, picture.values = gap.excess, (one, two)


def _figure(spec: Figure, bench: Bench, calls: list[Call], values: list[Any]) -> Any:
    made = spec.draw(bench, calls, values) if spec.calls else spec.draw(bench, calls[0], values[0])
    if not made.layout.title.text:
        made.update_layout(title_text=spec.title)
    return made


def _beside(got: Any, expected: Any, title: str) -> Any:
    from kata.plots import beside

    return beside(got, expected, title=title)


def _entry_by_entry(picture: Picture) -> Picture:
    """The learner's values, the reference's and their difference, where they differ most."""
    assert picture.values
    name = picture.exercise.name
    made = Picture(picture.exercise, "Entry by entry", f"What {name} gives where it differs most.", "")
    made.yours = _beside(*picture.values, name)
    return made


def _same_colours(yours: Any, reference: Any) -> None:
    """Give the learner's figure the colour scales of the reference, so that a wrong size is seen."""
    if reference is None:
        return
    for name in [n for n in reference.layout if n.startswith("coloraxis") and n in yours.layout]:
        mine, theirs = yours.layout[name], reference.layout[name]
        signed = theirs.cmin < 0 or mine.cmin < 0
        mine.update(cmin=-theirs.cmax if signed else 0, cmax=theirs.cmax)
        mine.colorscale = None if signed else theirs.colorscale


def _not_numbers(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return int((~value.isfinite()).sum()) if value.is_floating_point() else 0
    parts: Iterable[Any] = (
        value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    )
    return sum(_not_numbers(part) for part in parts)


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""


def _why(name: str, outcome: Outcome) -> str:
    if outcome.status == "timeout":
        return f"{name} was stopped after {SECONDS:.0f} s"
    error = outcome.error
    if error is None:
        return f"{name} gave nothing"
    place = f" ({error.where}: {error.text})" if error.where else ""
    return f"{name} stopped with {error.kind}: {_first_line(error.message)}{place}"


# -- saving and showing --------------------------------------------------------------------------------


def save(pictures: list[Picture], path: Path, title: str, intro: str = "") -> list[Path]:
    """Write pictures as one HTML page, or as images: `x.png`, and beside it `x-reference.png` and so on."""
    if path.suffix not in FORMATS:
        raise KataError(f"{path.name}: a figure is saved as {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise KataError(f"there is no folder {path.parent}: make it first, or save elsewhere")
    if path.suffix == ".html":
        path.write_text(page(title, [Chapter("", sections(pictures))], intro), encoding="utf-8")
        return [path]
    figures: list[tuple[Path, Any]] = []
    for number, picture in enumerate(pictures, 1):
        stem = path.stem if len(pictures) == 1 else f"{path.stem}-{number}"
        both = [("", picture.yours), ("-reference", picture.reference)]
        both = [b for b in both if b[1] is not None]
        if len(both) == 1:
            both = [("", both[0][1])]
        figures += [(path.with_name(f"{stem}{end}{path.suffix}"), figure) for end, figure in both]
    if not figures:
        raise KataError(pictures[0].remark if pictures else "there is nothing to draw")
    write_images(figures)
    return [file for file, _ in figures]


def write_images(figures: list[tuple[Path, Any]], width: int = 900) -> None:
    """Write plotly figures as PNG or SVG, in the light style."""
    import plotly.io

    from kata.plots_style import restyle

    need = "needs kaleido and Chrome or Chromium (`pip install -e '.[export]'`, then `plotly_get_chrome`)"
    copies = [restyle(figure, "light") for _, figure in figures]
    try:
        for (file, _), figure in zip(figures, copies, strict=True):
            plotly.io.write_image(figure, file, width=figure.layout.width or width, height=figure.layout.height or 420)
    except Exception as error:  # kaleido's own errors have no common type
        first = _first_line(str(error).strip()) or type(error).__name__
        raise KataError(f"a PNG or SVG {need}; --save FILE.html works without. ({first[:120]})") from None


def show(path: Path) -> bool:
    """Open a page in the browser; False where there is none that a person would see."""
    import webbrowser

    seen = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if not seen:
        return False
    try:
        return webbrowser.open(path.resolve().as_uri())
    except (webbrowser.Error, OSError):
        return False


def scratch(name: str) -> Path:
    """Where a page goes that nobody asked to keep."""
    folder = Path(tempfile.gettempdir()) / f"kata-{os.getuid() if hasattr(os, 'getuid') else 'figures'}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{name}.html"


def gallery(project: Project, sets: list[str]) -> tuple[str, int]:
    """The page with all figures of these sets, from the shown checkpoints and the solutions; and their number."""
    chapters = []
    for set_name in sets:
        course = Course(project, set_name)
        artist = Artist(course)
        drawn = [p for e in course.exercises for spec in artist.declared(e.name) for p in artist.draw(spec)]
        if drawn:
            title = project.config(set_name).get("title", set_name)
            chapters.append(Chapter(title, sections(drawn, labelled=False)))
    number = sum(len(c.sections) for c in chapters)
    if not number:
        raise KataError(f"no figure is declared for {', '.join(sets)}: they stand in checks/figures/")
    intro = "Every figure of the course, drawn from the trained models that it ships, and what to notice in it. "
    intro += "If you are still solving the exercises: predict first, then look."
    return page("What the small models do", chapters, intro), number
