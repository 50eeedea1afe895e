"""Adding a problem set touches no line of the engine: a small one is made here and graded."""

import json
import os
import subprocess
import sys

FILES = {
    "pyproject.toml": """[tool.kata]
solutions = "answers"
[tool.pytest.ini_options]
addopts = "-p kata.pytest_plugin"
""",
    "answers/parity/dataset.py": '''"""Parity."""

import torch
from jaxtyping import Int
from torch import Tensor

from kata import exercise


@exercise(difficulty=1, importance=1, minutes=2)
def parity(bits: Int[Tensor, "batch n"]) -> Int[Tensor, "batch"]:
    """Whether each row holds an odd number of ones."""
    return bits.sum(1) % 2
''',
    "checks/test_parity.py": """import torch

from kata.checking import call, check


@check(on="one", shown="An odd number of ones gives 1.")
def parity(at):
    yield call(bits=torch.randint(0, 2, (20, 5), generator=at.generator()))
    yield call(bits=torch.randint(0, 2, (9, 3), generator=at.generator("other")))
""",
    "checks/mistakes/parity.py": """from kata.checking import mistake


@mistake("parity", "You counted the zeros")
def zeros(bits):
    return (1 - bits).sum(1) % 2
""",
    "exercises/parity/README.md": "# Parity\n\n### 1. parity\n",
}


def pytest_checks(root, *arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "checks", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_a_set_of_ones_own(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    config = {
        "title": "Parity",
        "variants": {"main": {"architecture": {}}},
        "checkpoints": {"shown": {"role": "shown", "variant": "main", "seed": 0}},
    }
    (tmp_path / "data" / "parity").mkdir(parents=True)
    (tmp_path / "data" / "parity" / "config.json").write_text(json.dumps(config))
    stubs = subprocess.run([sys.executable, "-m", "kata.cli", "stubs"], cwd=tmp_path, capture_output=True, text=True)
    assert stubs.returncode == 0, stubs.stderr
    path = tmp_path / "exercises" / "parity" / "dataset.py"

    code, text = pytest_checks(tmp_path)
    assert code == 0 and "start here: 1. parity" in text, text
    path.write_text(path.read_text().replace("raise NotImplementedError", "return (bits == 0).sum(1) % 2"))
    code, text = pytest_checks(tmp_path)
    assert code == 1 and "You counted the zeros" in text and "exercises/parity/README.md:3" in text, text
    code, text = pytest_checks(tmp_path, "--submission=answers")
    assert code == 0 and "An odd number of ones gives 1." in text, text
