"""Facts: known properties of the checkpoints, computed and written down."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kata.checking import Bench, Check, Fact
from kata.checkpoints import Checkpoint, brought
from kata.course import Course
from kata.project import Project

FACT_SEED = 777  # facts are computed on inputs of their own, whatever a class is graded with
DIGITS = 5


def compute(course: Course, tell: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Everything that facts.json holds: the definitions, and the values on every checkpoint."""
    definitions = {
        f.name: {
            "text": f.text,
            "bounds": list(f.bounds) if f.bounds else None,
            "published": f.published,
            "source": f.source,
            "uses": list(f.uses),
        }
        for f in course.facts.values()
    }
    values: dict[str, dict[str, Any]] = {}
    for checkpoint in course.checkpoints:
        bench = Bench(checkpoint, FACT_SEED, course._fact)
        values[checkpoint.name] = {}
        for item in course.facts.values():
            if applies(item, checkpoint):
                tell(f"{checkpoint.name}: {item.name}")
                values[checkpoint.name][item.name] = rounded(item.compute(bench))
    return {"set": course.set, "seed": FACT_SEED, "facts": definitions, "checkpoints": values}


def of_file(project: Project, set_name: str, file: Path) -> list[str]:
    """The facts of a checkpoint that the user brought, as lines: value here, value published, what it says."""
    own = brought(project, set_name, file)
    course = Course(project, set_name, brought=own)
    bench = Bench(own, FACT_SEED, course._fact)
    lines = [f"{'fact':<34} {'here':>22} {'published':>12}"]
    for item in course.facts.values():
        if applies(item, own):
            published = "-" if item.published is None else str(item.published)
            lines.append(f"{item.name:<34} {rounded(item.compute(bench))!s:>22} {published:>12}  {item.text}")
    return lines


def applies(item: Fact, checkpoint: Checkpoint) -> bool:
    return bool(Check("", lambda b: [], on=item.on).chooses([checkpoint]))


def rounded(value: Any) -> Any:
    """Numbers to five significant digits: what float noise of another machine leaves alone, nearly always."""
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def text(facts: dict[str, Any]) -> str:
    return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"


def broken(facts: dict[str, Any]) -> list[str]:
    """One line for every fact that is outside its bounds on some checkpoint."""
    lines = []
    for name, definition in facts["facts"].items():
        if not definition["bounds"]:
            continue
        low, high = definition["bounds"]
        for checkpoint, values in facts["checkpoints"].items():
            value = values.get(name)
            for number in value if isinstance(value, list) else [value]:
                if number is not None and not low <= number <= high:
                    lines.append(f"{checkpoint}: {name} is {number}, outside {low} .. {high} ({definition['text']})")
    return lines


def differences(old: Any, new: Any, path: str = "", tolerance: float = 2e-3) -> list[str]:
    """Where two fact files differ by more than float noise between machines (relative `tolerance`)."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines = [f"{path}/{k}: only in one of them" for k in sorted(set(old) ^ set(new))]
        return lines + [line for k in old if k in new for line in differences(old[k], new[k], f"{path}/{k}", tolerance)]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line
            for i, (a, b) in enumerate(zip(old, new, strict=True))
            for line in differences(a, b, f"{path}/{i}", tolerance)
        ]
    numbers = isinstance(old, (int, float)) and isinstance(new, (int, float))
    if numbers and math.isclose(old, new, rel_tol=tolerance, abs_tol=1e-6):
        return []
    return [] if old == new else [f"{path}: {old} there, {new} computed now"]
