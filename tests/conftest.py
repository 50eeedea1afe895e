"""What the kit's own tests share: the project, its courses, and a way to write a small submission."""

import textwrap
from pathlib import Path

import pytest

from kata.project import Project
from kata.verdict import Verdict

PROJECT = Project.find(Path(__file__).parent)


@pytest.fixture(scope="session")
def project() -> Project:
    return PROJECT


@pytest.fixture(scope="session")
def course_of():
    """Courses by set, made once: benches, calls and references are kept between tests."""
    from kata.course import Course

    made: dict[str, Course] = {}

    def get(set_name: str) -> Course:
        if set_name not in made:
            made[set_name] = Course(PROJECT, set_name)
        return made[set_name]

    return get


@pytest.fixture
def submit(tmp_path, course_of):
    """Write files of a submission (the stub for those not given) and grade exercises of it."""
    from kata.grade import Grader
    from kata.stubs import stub
    from kata.submission import Submission

    def run(set_name: str, **functions: str) -> dict[str, Verdict]:
        """`functions`: for each exercise the source of its body, or a whole `def`/replacement text."""
        folder = tmp_path / "submission"
        exercises = {e.name: e for e in PROJECT.catalog(set_name)}
        for file in {e.file for e in exercises.values()}:
            text = stub((PROJECT.solutions / set_name / file).read_text(encoding="utf-8"))
            for name, body in functions.items():
                if exercises[name].file == file:
                    text = put(text, name, body)
            path = folder / set_name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        grader = Grader(PROJECT, Submission(folder))
        grader._courses[set_name] = course_of(set_name)
        return {name: grader.verdict(exercises[name]) for name in functions}

    return run


def put(text: str, name: str, body: str) -> str:
    """Replace the stub body of one function."""
    import ast

    lines = text.splitlines(keepends=True)
    node = next(n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == name)
    last = node.body[-1]
    lines[last.lineno - 1 : last.end_lineno] = [textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") + "\n"]
    return "".join(lines)
