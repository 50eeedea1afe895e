"""What a guide is written with: the learner's functions, reloaded when saved, and the figures of a set.

from kata.guide import Guide
guide = Guide("my_set")               # or set SUBMISSION, or Guide("my_set", "solutions")
your = guide.functions                # your.ov_tables is your function; save the file, call it again
guide.draw("two_scales")              # the figure of that name, drawn from what your function gives
with guide.attempt():                 # one line, not a traceback, where a function is not written yet
    print(your.make_sorting_tokens(lists))
"""

import contextlib
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kata.project import Exercise, KataError, Project
from kata.submission import CodeError, Submission

CELL_SECONDS = 120  # a cell that takes longer stops `kata guide --run`


class NotYet(Exception):
    """The learner's function cannot be called yet; the text says why in one line."""


class Functions:
    """The functions of a learner's set by name. A call always runs what was saved last."""

    def __init__(self, project: Project, set_name: str, root: Path):
        self._project, self._set, self._root = project, set_name, root
        self._stamp: tuple | None = None
        self._submission: Submission | None = None

    def _current(self) -> Submission:
        """The submission as it is on disk now; loaded anew when a file has changed."""
        files = sorted((self._root / self._set).glob("*.py"))
        stamp = tuple((file.name, file.stat().st_mtime_ns) for file in files)
        if self._submission is None or stamp != self._stamp:
            self._submission, self._stamp = Submission(self._root), stamp
        return self._submission

    def __dir__(self) -> list[str]:
        return [e.name for e in self._project.catalog(self._set)]

    def __getattr__(self, name: str) -> Callable:
        if name.startswith("_"):
            raise AttributeError(name)
        known = {e.name: e for e in self._project.catalog(self._set)}
        if name in known:
            exercise = known[name]

            def function(*args: Any, **kwargs: Any) -> Any:
                return self._function(exercise)(*args, **kwargs)

            function.__name__, function.__doc__ = name, exercise.docstring
            return function
        return self._given(name, known)

    def _function(self, exercise: Exercise) -> Callable:
        submission = self._current()
        problem = submission.problem(exercise)
        if problem:
            raise NotYet(f"{submission.shown(exercise)}: {problem.message or problem.kind}")
        if submission.todo(exercise):
            raise NotYet(f"{exercise.name} is not written yet: {submission.shown(exercise)} ({exercise.rating})")
        found = submission.load(exercise)
        if isinstance(found, CodeError):
            raise NotYet(f"{submission.shown(exercise)}: {found.kind}: {_first_line(found.message)}")
        return found

    def _given(self, name: str, known: dict[str, Exercise]) -> Any:
        """A helper that the set's files give, or a constant of theirs."""
        submission = self._current()
        for file in dict.fromkeys(e.file for e in known.values()):
            first = next(e for e in known.values() if e.file == file)
            loaded = submission.load(first)
            module = sys.modules.get(f"{submission.package}.{self._set}.{Path(file).stem}")
            if hasattr(module, name):
                return getattr(module, name)
            path = submission.path(first)
            text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
            if isinstance(loaded, CodeError) and re.search(rf"^(def )?{name}\b", text, re.M):
                where = loaded.where or submission.shown(first)
                raise NotYet(f"{where}: {loaded.kind}: {_first_line(loaded.message)}")
        raise AttributeError(Project.near(name, sorted(known), "function"))


class Guide:
    """A walk through one set: its models, the learner's functions, its figures."""

    def __init__(self, set_name: str, submission: str | None = None):
        warnings.filterwarnings("ignore", message="IProgress not found")  # a wish of tqdm's, not an error
        from kata.course import Course
        from kata.pictures import Artist

        self.project = Project.find()
        self.set = set_name
        named = submission or os.environ.get("SUBMISSION") or str(self.project.exercises)
        root = Path(named) if Path(named).is_absolute() else self.project.root / named
        if not root.is_dir():
            raise KataError(f"there is no folder {named}: name one with the layout of exercises/")
        self.functions = Functions(self.project, set_name, root)
        self.course = Course(self.project, set_name)
        self._artist = Artist(self.course)
        self._models: dict[str, Any] = {}

    @property
    def model(self) -> Any:
        """The set's first shown model, for you to run and change as you like."""
        return self.load(self.course.checkpoints[0].name)

    def load(self, checkpoint: str) -> Any:
        """The model of a checkpoint by its name, such as "sibling"."""
        from kata.checkpoints import load_model

        if checkpoint not in self._models:
            self._models[checkpoint] = load_model(self.course.bench_of(checkpoint).checkpoint)
        return self._models[checkpoint]

    def fact(self, name: str, on: str = "") -> Any:
        """A figure of facts.json, of the first shown checkpoint or of the one named."""
        bench = self.course.bench_of(on or self.course.checkpoints[0].name)
        return bench.fact(name)

    def draw(self, name: str, on: str | None = None) -> None:
        """Show a figure of the set, drawn from what your function gives; what to notice stands below it."""
        from IPython.display import Markdown, display

        from kata.pictures import Artist
        from kata.plots import describe

        spec = self._artist.named(name)
        submission = self.functions._current()
        if self._artist.submission is not submission:
            artist = Artist(self.course, submission)
            assert artist.runner
            if self._artist.runner:
                artist.runner._models = self._artist.runner._models
            artist._expected, self._artist = self._artist._expected, artist
        for picture in self._artist.draw(spec, on, reference=False):
            if picture.yours is None:
                display(Markdown(f"*{picture.remark}*"))
                continue
            _display(picture.yours, describe(picture.yours))
            said = f"**{picture.title}** {picture.about} — {picture.notice}"
            if picture.remark or picture.differs:
                said = picture.remark or "Your function does not give what the reference gives."
                said = f"⚠ {said} `pytest checks -k {picture.exercise.name}` says why."
            words = f"<details><summary>In words</summary>\n\n{describe(picture.yours)}\n\n</details>"
            display(Markdown(f"{said}\n\n{words}"))

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Run a block that needs your functions: what stops it is told in one line, and the guide goes on."""
        try:
            yield
        except NotYet as why:
            print(why)
        except Exception as error:
            told = CodeError.of(error, self.functions._root)
            if not told.file:
                raise  # not in your files: the guide's own mistake, or one that you made in the cell
            print(f"{told.where}: {told.kind}: {_first_line(told.message)}\n    {told.text}")


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""


def _display(figure: Any, words: str) -> None:
    """Show a plotly figure; where a front end cannot draw it, and to a screen reader, its words."""
    from IPython.display import display

    bundle = figure._repr_mimebundle_()
    if bundle:
        display({**bundle, "text/plain": words}, raw=True)
    else:
        display(figure)


def notebook(project: Project, set_name: str, path: Path, *, run: bool = False, overwrite: bool = False) -> float:
    """Write the notebook of a set's guide; returns the seconds that running it took.

    Raises:
        KataError: there is no guide, jupytext or nbclient is missing, or `path` is there already.
    """
    source = project.root / "guides" / f"{set_name}.py"
    if not source.is_file():
        raise KataError(Project.near(set_name, sorted(p.stem for p in source.parent.glob("*.py")), "guide for"))
    if path.exists() and not overwrite:
        raise KataError(f"{path} is there already: name another with --out, or say --overwrite")
    try:
        import jupytext
    except ImportError:
        raise KataError("a guide needs jupytext: pip install -e '.[guide]'") from None
    made = jupytext.read(source)
    made.metadata.pop("jupytext", None)  # one way only: the notebook does not write back
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    began = time.perf_counter()
    if run:
        execute(made, project)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.replace(path.with_suffix(".before.ipynb"))  # a reader's guesses may stand in it
    jupytext.write(made, path, fmt="ipynb")
    return time.perf_counter() - began


def execute(made: Any, project: Project) -> None:
    """Run a notebook's cells in a fresh kernel, in the course's folder."""
    try:
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
    except ImportError:
        raise KataError("running a guide needs nbclient and ipykernel: pip install -e '.[guide]'") from None
    client = NotebookClient(
        made,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(project.root)}},
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise KataError(f"a cell of the guide stopped with {error.ename}: {error.evalue}") from None
