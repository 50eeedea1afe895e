"""Train what `data/<set>/` ships, by the recipe that stands there."""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from kata.checkpoints import Checkpoint, checkpoints, load_model, sha256
from kata.project import KataError, Project

Progress = Callable[[int, int, str], None]


def recipe(project: Project, set_name: str) -> ModuleType:
    """The module `data/<set>/train.py`."""
    path = project.data / set_name / "train.py"
    spec = importlib.util.spec_from_file_location(f"kata_recipe_{set_name}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise KataError(f"{path} is missing: it holds the recipe")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def choose(project: Project, set_name: str, names: list[str], seed: int | None) -> list[Checkpoint]:
    """The checkpoints that a command line names, all of the set by default."""
    listed = {c.name: c for c in checkpoints(project, set_name)}
    for name in names:
        if name not in listed:
            raise KataError(Project.near(name, list(listed), "checkpoint"))
    chosen = [listed[n] for n in names] if names else list(listed.values())
    return [c if seed is None else replace(c, seed=seed) for c in chosen]


def train(project: Project, checkpoint: Checkpoint, out: Path, progress: Progress) -> Path:
    """Train one checkpoint and write its weights; they are loaded once to prove that every key matches.

    Args:
        out: folder that gets `<checkpoint>.safetensors`.
    """
    import torch
    from safetensors.torch import save_file

    entry = {"role": checkpoint.role, "variant": checkpoint.variant, "seed": checkpoint.seed}
    if checkpoint.recipe:
        entry["recipe"] = checkpoint.recipe
    with torch.random.fork_rng(devices=[]):
        state = recipe(project, checkpoint.set).train(dict(checkpoint.architecture), entry, progress)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{checkpoint.name}.safetensors"
    fresh = path.with_name(f".new-{path.name}")
    try:
        save_file({k: v.detach().cpu().float().contiguous() for k, v in state.items()}, fresh)
        load_model(replace(checkpoint, path=fresh))
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return path


def sign(project: Project, set_name: str) -> None:
    """Write the hash of every weights file of a set into its config.json."""
    path = project.data / set_name / "config.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for name, entry in config["checkpoints"].items():
        weights = project.data / set_name / f"{name}.safetensors"
        if weights.is_file():
            entry["sha256"] = sha256(weights)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
