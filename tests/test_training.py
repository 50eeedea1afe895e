"""`kata train` by the recipes of the sets, shortened."""

import subprocess
import sys

import pytest
import torch
from conftest import PROJECT

from kata import training
from kata.checkpoints import checkpoints, load_model
from kata.project import KataError


class Enough(Exception):
    pass


@pytest.mark.parametrize("set_name", PROJECT.sets)
def test_a_recipe_starts_to_learn_and_leaves_the_global_generator_alone(set_name):
    """The first steps of each recipe: progress is told, and the loss it tells goes down."""
    checkpoint = checkpoints(PROJECT, set_name)[-1]
    told: list[tuple[int, int, str]] = []

    def progress(step: int, total: int, text: str) -> None:
        told.append((step, total, text))
        if len(told) >= 3:
            raise Enough

    torch.manual_seed(11)
    before = torch.get_rng_state()
    entry = {"role": checkpoint.role, "variant": checkpoint.variant, "seed": 5, "recipe": checkpoint.recipe}
    if not checkpoint.recipe:
        del entry["recipe"]
    with pytest.raises(Enough):
        training.recipe(PROJECT, set_name).train(dict(checkpoint.architecture), entry, progress)
    assert torch.equal(torch.get_rng_state(), before)
    assert told[0][0] < told[-1][0] <= told[-1][1]
    assert all(text for *_, text in told)


def test_names_and_existing_files(tmp_path):
    with pytest.raises(KataError, match="did you mean `sibling`"):
        training.choose(PROJECT, "sorted_list", ["siblin"], None)
    assert training.choose(PROJECT, "sorted_list", ["shown"], 7)[0].seed == 7
    command = [sys.executable, "-m", "kata.cli", "train", "sorted_list"]
    done = subprocess.run(command, cwd=PROJECT.root, capture_output=True, text=True)
    assert done.returncode == 2 and "say --overwrite" in done.stderr and "Traceback" not in done.stderr


def test_what_is_trained_loads(tmp_path, monkeypatch):
    """The path from a recipe to a file, with a recipe that takes no time."""
    checkpoint = checkpoints(PROJECT, "sorted_list")[0]
    state = load_model(checkpoint).state_dict()
    recipe = type("recipe", (), {"train": staticmethod(lambda architecture, entry, progress: state)})
    monkeypatch.setattr(training, "recipe", lambda project, set_name: recipe)
    path = training.train(PROJECT, checkpoint, tmp_path, lambda *a: None)
    assert path == tmp_path / "shown.safetensors"
    state["embed.weight"] = state["embed.weight"][:4]
    with pytest.raises(KataError, match=r"embed\.weight"):
        training.train(PROJECT, checkpoint, tmp_path, lambda *a: None)
