"""What the READMEs tell a reader to type is what there is, and what the gate runs."""

import re

import pytest
from conftest import PROJECT

from kata import readme

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "exercises/README.md", "docs/learner.md", "docs/instructor.md"]
DOCUMENTS += [f"data/{s}/README.md" for s in PROJECT.sets] + [f"exercises/{s}/README.md" for s in PROJECT.sets]


def commands() -> set[str]:
    """The names of all commands, without importing anything heavy."""
    import importlib
    import importlib.util

    from kata.cli import app

    for module in ("learn", "classroom", "pictures"):
        importlib.import_module(f"kata.cli_{module}").register(app)
    return {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}


def test_the_gate_runs_what_the_readme_says():
    gate = (PROJECT.root / ".ci" / "run").read_text().replace("pip install -q ", "pip install ")
    text = (PROJECT.root / "README.md").read_text()
    told = re.findall(r"^pip install .* && pytest \w+$", text, re.M)
    assert len(told) == 2, "one command to grade, one to test the kit"
    for line in told:
        assert line in gate


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_that_is_named_exists(name):
    text = (PROJECT.root / name).read_text(encoding="utf-8")
    named = set(re.findall(r"^kata ([a-z]+)", text, re.M)) | set(re.findall(r"`kata ([a-z]+)", text))
    assert named <= commands(), named - commands()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name):
    path = PROJECT.root / name
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_a_comment_in_a_code_block_is_no_heading(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(
        "### 1. one\nrating\n\n```python\n# not a heading\nx = 1\n```\nafter\n\n## next\n\n### 2. two\nr\n\nbody\n"
    )
    first, second = readme.sections(file)
    assert "after" in first.body and "next" not in first.body and second.body == "body"


def test_a_readme_without_exercises(tmp_path):
    (tmp_path / "README.md").write_text("# Nothing\n")
    assert readme.sections(tmp_path / "README.md") == []
