"""Fresh checkpoints for a class: trained with other seeds, and every fact's threshold looked at on them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from kata import facts, training
from kata.checkpoints import sha256
from kata.course import Course
from kata.project import KataError, Project


def data_of(project: Project, folder: Path) -> Project:
    """The course with another data folder; sets that it lacks come from the course's own."""
    if not any(folder.glob("*/config.json")):
        raise KataError(f"{folder} holds no set's data: `kata cohort` makes it")
    return replace(project, data=folder.resolve())


def fresh_seed(seed: int, place: int) -> int:
    """The seed of a set's checkpoint number `place` in the class of `seed`."""
    return (seed * 1009 + 7919 * (place + 1)) % 2**31


def make(
    project: Project,
    set_name: str,
    seed: int,
    out: Path,
    names: list[str],
    say: Callable[[str], Any],
    train: Callable[..., Path] = training.train,
) -> list[str]:
    """Train the checkpoints of a set anew into `out/<set>`; returns a line for every fact that does not hold there.

    Args:
        names: checkpoints to train; the others keep their weights. All where none is named.
    """
    chosen = training.choose(project, set_name, names, None)
    folder = out / set_name
    if folder.exists():
        raise KataError(f"{folder} is there already: name another folder with --out")
    config = project.config(set_name)
    shutil.copytree(project.data / set_name, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for checkpoint in chosen:
        place = list(config["checkpoints"]).index(checkpoint.name)
        mine = replace(checkpoint, seed=fresh_seed(seed, place))
        _trained(project, mine, folder, say, train)
        config["checkpoints"][mine.name] |= {"seed": mine.seed, "sha256": sha256(folder / f"{mine.name}.safetensors")}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    course = Course(data_of(project, out), set_name)
    (folder / "facts.json").unlink(missing_ok=True)  # of the old weights
    fresh = facts.compute(course, lambda text: say(f"  fact {text}"))
    (folder / "facts.json").write_text(facts.text(fresh), encoding="utf-8")
    broken = facts.broken(fresh)
    held = sum(1 for f in fresh["facts"].values() if f["bounds"])
    for line in broken:
        say(f"does not hold: {line}")
    if not broken:
        say(f"all {held} facts with a threshold hold on the fresh checkpoints")
    say(f"{folder}: grade with it by `kata grade ... --data {out}`; hand the folder out as data/{set_name}")
    return broken


def _trained(project: Project, checkpoint: Any, folder: Path, say: Callable[[str], Any], train: Any) -> None:
    import torch
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    torch.set_num_threads(1)  # as the shipped ones were: the models are small, and the same seed gives the same again
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeRemainingColumn()) as bar:
        task = bar.add_task(checkpoint.name)

        def tell(step: int, total: int, text: str) -> None:
            bar.update(task, completed=step, total=total, description=f"{checkpoint.name}  {text}")

        train(project, checkpoint, folder, tell)
    say(f"{checkpoint.name}: trained with seed {checkpoint.seed}")
