"""Stubs are made from solutions, and a learner's work is never lost."""

import subprocess
import sys
from pathlib import Path

from kata import stubs
from kata.project import Project

SOURCE = '''"""Module text."""

import torch
from kata import exercise

SIZE = 3  # given


def helper(x):
    """Given."""
    return x + SIZE


@exercise(difficulty=1, importance=2, minutes=3)
@torch.no_grad()
def task(
    x: int,
) -> int:
    """What to do.

    More of it.
    """
    y = helper(x)  # the answer

    def inner():
        return y

    return inner()


@exercise(difficulty=1, importance=1, minutes=1)
def bare(x): return x


# after
'''


def test_bodies_go_and_all_else_stays():
    made = stubs.stub(SOURCE)
    assert "the answer" not in made and "inner" not in made
    assert made.count("raise NotImplementedError") == 2
    for kept in ("SIZE = 3  # given", "return x + SIZE", "More of it.", "minutes=3", "@torch.no_grad()", "# after"):
        assert kept in made
    compile(made, "stub", "exec")
    assert stubs.stub(made) == made


def course(tmp_path: Path) -> Project:
    (tmp_path / "solutions" / "demo").mkdir(parents=True)
    (tmp_path / "data" / "demo").mkdir(parents=True)
    (tmp_path / "data" / "demo" / "config.json").write_text('{"title": "x", "checkpoints": {}}')
    (tmp_path / "solutions" / "demo" / "dataset.py").write_text(
        SOURCE.replace("def bare(x): return x", "def bare(x):\n    return x")
    )
    (tmp_path / "pyproject.toml").write_text("[tool.kata]\n")
    return Project.find(tmp_path)


def test_a_learners_work_is_left_alone_and_kept_with_force(tmp_path):
    project = course(tmp_path)
    assert "written" in stubs.write(stubs.plan(project, ["demo"]))[0]
    path = project.exercises / "demo" / "dataset.py"
    assert stubs.write(stubs.plan(project, ["demo"])) == []

    mine = path.read_text().replace("raise NotImplementedError", "return 4", 1)
    path.write_text(mine)
    told = stubs.write(stubs.plan(project, ["demo"]))
    assert "left as it is" in told[0] and path.read_text() == mine

    for _ in range(2):  # two copies in one second get two names
        path.write_text(mine)
        stubs.write(stubs.plan(project, ["demo"]), force=True)
    copies = list(path.parent.glob("*.bak"))
    assert len(copies) == 2 and all(c.read_text() == mine for c in copies)
    assert path.read_text() == stubs.stub((project.solutions / "demo" / "dataset.py").read_text())


def test_half_typed_work_is_work(tmp_path):
    project = course(tmp_path)
    stubs.write(stubs.plan(project, ["demo"]))
    path = project.exercises / "demo" / "dataset.py"
    path.write_text("def task(x:\n   retu")
    stubs.write(stubs.plan(project, ["demo"]))
    assert path.read_text() == "def task(x:\n   retu"


def test_the_command_says_what_is_stale(tmp_path):
    project = course(tmp_path)
    command = [sys.executable, "-m", "kata.cli", "stubs"]
    check = subprocess.run([*command, "--check"], cwd=tmp_path, capture_output=True, text=True)
    assert check.returncode == 1 and "run `kata stubs`" in check.stderr
    assert subprocess.run(command, cwd=tmp_path).returncode == 0
    assert subprocess.run([*command, "--check"], cwd=tmp_path).returncode == 0
    assert (project.exercises / "demo" / "dataset.py").exists()
