"""`pytest checks`: one test per exercise, collected without importing torch, told as verdicts."""

import importlib.util
from collections.abc import Generator, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from kata.project import Exercise, KataError, Project
from kata.report import summary
from kata.sight import at_sight
from kata.submission import Submission
from kata.verdict import PASSED, TODO, Verdict

STATE = pytest.StashKey["State"]()
VERDICT = "kata_verdict"


class State:
    """What a pytest run shares: the project, the grader (made when first needed) and the verdicts."""

    def __init__(self, config: pytest.Config):
        self.config = config
        self.project = Project.find(config.rootpath)
        self.verdicts: list[Verdict] = []
        self._grader: Any = None

    @cached_property
    def submission(self) -> Submission:
        named = self.config.getoption("submission")
        if not named:
            return Submission(self.project.exercises)
        for base in (self.config.invocation_params.dir, self.project.root):
            if (base / named).is_dir():
                return Submission(base / named)
        raise KataError(f"--submission {named}: there is no such folder")

    @property
    def judging(self) -> bool:
        """Whether the grader was made: something ran."""
        return self._grader is not None

    @property
    def grader(self) -> Any:
        if self._grader is None:
            from kata.grade import Grader

            seed = self.config.getoption("kata_seed")
            self._grader = Grader(self.project, self.submission, seed, self._brought())
            if self.config.getoption("report"):
                from kata.classroom.learner_page import Recorder

                self._grader.runner = Recorder(self._grader.runner)
        return self._grader

    def _brought(self) -> dict[str, Any]:
        file = self.config.getoption("checkpoint")
        if not file:
            return {}
        from kata.checkpoints import brought

        name, _, path = file.rpartition("=")
        problems = []
        for set_name in [name] if name else self.project.sets:
            try:
                return {set_name: brought(self.project, set_name, Path(path))}
            except KataError as error:
                problems.append(str(error))
        raise KataError(f"--checkpoint {file} fits no set: {problems[0]}")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("circuit-kata")
    group.addoption("--submission", help="grade this folder, laid out like exercises/, instead of exercises/")
    group.addoption(
        "--checkpoint",
        metavar="[SET=]FILE",
        help="use this checkpoint (safetensors or torch file, new or old format) as the shown one",
    )
    group.addoption("--report", metavar="FILE.html", help="write a page of your own: verdicts, pictures, hints")
    group.addoption("--kata-seed", type=int, default=0, help="seed of the inputs that the checks make up")


def state(config: pytest.Config) -> State:
    if STATE not in config.stash:
        try:
            made = State(config)
            assert made.submission
            config.stash[STATE] = made
            if config.getoption("report") and importlib.util.find_spec("jinja2") is None:
                raise KataError("--report needs jinja2: pip install -e '.[classroom]'")
        except KataError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[STATE]


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("submission") or config.getoption("report"):
        state(config)  # a wrong option is told before anything is collected


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.File | None:
    """Take the check files out of pytest's own hands: their tests are known without importing them."""
    try:
        project = state(parent.config).project
    except pytest.UsageError:
        if module_path.parent.name != "checks":
            return None  # the kit's own tests need no course around them
        raise
    if module_path.parent == project.checks and module_path.name.startswith("test_"):
        return CheckFile.from_parent(parent, path=module_path)
    return None


class CheckFile(pytest.File):
    """checks/test_<set>.py."""

    def collect(self) -> Iterable[pytest.Item]:
        set_name = self.path.stem.removeprefix("test_")
        try:
            exercises = state(self.config).project.catalog(set_name)
        except KataError as error:
            raise self.CollectError(str(error)) from None
        for exercise in exercises:
            yield CheckItem.from_parent(self, name=exercise.name, exercise=exercise)


class CheckItem(pytest.Item):
    """One exercise."""

    def __init__(self, *, exercise: Exercise, **kwargs: Any):
        super().__init__(**kwargs)
        self.exercise = exercise

    def runtest(self) -> None:
        try:
            shared = state(self.config)
            verdict = at_sight(shared.submission, self.exercise) or shared.grader.verdict(self.exercise)
        except KataError as error:
            pytest.exit(str(error), returncode=4)
        self.user_properties.append((VERDICT, verdict.to_dict()))
        if verdict.status == TODO:
            pytest.skip("todo")
        if not verdict.passed:
            raise Stumble(verdict)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, Stumble):
            return "\n".join(_told(self.config, excinfo.value.verdict))
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.exercise.id


class Stumble(Exception):
    """Carries a verdict that is not a pass through pytest's reporting."""

    def __init__(self, verdict: Verdict):
        super().__init__(verdict.headline)
        self.verdict = verdict


TOLD = pytest.StashKey[set[str]]()


def _told(config: pytest.Config, verdict: Verdict) -> list[str]:
    """A failure's text; what breaks a whole file is told once and then only named."""
    told = config.stash.setdefault(TOLD, set())
    if "cannot be imported" in verdict.headline:
        key = f"{verdict.set}:{verdict.headline}"
        if key in told:
            return [f"{verdict.headline.split(':')[0]} (see above)"]
        told.add(key)
    return [*verdict.lines(), f"  file: {verdict.where} ({verdict.status})"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    report = yield
    if isinstance(item, CheckItem) and report.failed and call.excinfo and isinstance(call.excinfo.value, Stumble):
        report.sections = []  # what a learner's code prints is in the verdict, not on the screen
    return report


def _verdict(report: Any) -> Verdict | None:
    data = dict(getattr(report, "user_properties", ())).get(VERDICT)
    return Verdict.from_dict(data) if data and getattr(report, "when", "") == "call" else None


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: Any) -> tuple[str, str, Any] | None:
    verdict = _verdict(report)
    if verdict is None:
        return None
    if verdict.status == PASSED:
        return "passed", ".", ("PASSED", {"green": True})
    if verdict.status == TODO:
        return "todo", "t", ("TODO", {"yellow": True})
    return "failed", "F", (verdict.status.upper(), {"red": True})


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    reports = [r for group in terminalreporter.stats.values() for r in group if hasattr(r, "user_properties")]
    verdicts = [v for v in map(_verdict, reports) if v]
    if not verdicts:
        return
    project = state(config).project
    place = {e.id: (s, e.number) for s, name in enumerate(project.sets) for e in project.catalog(name)}
    verdicts.sort(key=lambda v: place.get(v.id, (99, 0)))
    terminalreporter.section("circuit-kata")
    markup = {"passed": {"green": True}, "failed": {"red": True}, "next": {"bold": True}, "plain": {}}
    for style, line in summary(project, verdicts):
        terminalreporter.write_line(line, **markup[style])
    report = config.getoption("report")
    if report:
        from kata.classroom.learner_page import write

        grader = state(config).grader if state(config).judging else None  # None: all was told at sight
        out = config.invocation_params.dir / report
        try:
            write(project, verdicts, grader and grader.runner, grader._courses if grader else {}, out)
        except OSError as error:
            terminalreporter.write_line(f"--report: {out} cannot be written: {error.strerror}", red=True)
        else:
            terminalreporter.write_line(f"your page: {out}")
