"""A problem set as the judge sees it: checks, references, mistakes and facts on its checkpoints."""

import importlib
import json
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from kata.calls import MODEL, Call, Outcome, run
from kata.checking import Bench, Check, Fact, Figure, Mistake, Variant
from kata.checkpoints import Checkpoint, checkpoints
from kata.project import Exercise, KataError, Project

SEED = 0  # of the inputs in self-grading; a class is graded with another

Plan = list[tuple[Bench, list[Call]]]


class Course:
    """One problem set, with everything that judging needs. Its files are imported when first asked for."""

    def __init__(self, project: Project, set_name: str, seed: int = SEED, brought: Checkpoint | None = None):
        self.project = project
        self.set = set_name
        self.exercises = project.catalog(set_name)
        listed = checkpoints(project, set_name)
        if brought:  # it takes the place of its variant's shown checkpoint; the siblings stay
            listed = [brought, *(c for c in listed if not (c.role == "shown" and c.variant == brought.variant))]
        self.checkpoints = listed
        self.brought = brought
        self.seed = seed
        self._benches: dict[str, Bench] = {}
        self._plans: dict[str, Plan] = {}
        self._expected: dict[str, list[list[Any]]] = {}
        self._mistaken: dict[tuple[str, str, int], Outcome] = {}

    # -- the course's files -------------------------------------------------------------------------------------

    def _import(self, path: Path) -> ModuleType:
        """Import a course file under its dotted path from the project's root."""
        if not path.is_file():
            raise KataError(f"{path.relative_to(self.project.root)} is missing")
        if str(self.project.root) not in sys.path:
            sys.path.insert(0, str(self.project.root))
        return importlib.import_module(".".join(path.relative_to(self.project.root).with_suffix("").parts))

    def _declared(self, path: Path, kind: type) -> list[Any]:
        return [v for v in vars(self._import(path)).values() if isinstance(v, kind)] if path.is_file() else []

    @cached_property
    def checks(self) -> dict[str, Check]:
        found = self._declared(self.project.checks / f"test_{self.set}.py", Check)
        known = {e.name for e in self.exercises}
        for check in found:
            if check.exercise not in known:
                raise KataError(f"test_{self.set}.py: {Project.near(check.exercise, sorted(known), 'exercise')}")
        return {check.exercise: check for check in found}

    @cached_property
    def mistakes(self) -> dict[str, list[Mistake]]:
        return self._by_exercise(self._declared(self.project.checks / "mistakes" / f"{self.set}.py", Mistake))

    @cached_property
    def variants(self) -> dict[str, list[Variant]]:
        return self._by_exercise(self._declared(self.project.checks / "variants" / f"{self.set}.py", Variant))

    @cached_property
    def facts(self) -> dict[str, Fact]:
        return {f.name: f for f in self._declared(self.project.checks / "facts" / f"{self.set}.py", Fact)}

    @cached_property
    def figures(self) -> dict[str, list[Figure]]:
        return self._by_exercise(self._declared(self.project.checks / "figures" / f"{self.set}.py", Figure))

    def _by_exercise(self, declared: list[Any]) -> dict[str, list[Any]]:
        known = {e.name for e in self.exercises}
        grouped: dict[str, list[Any]] = {}
        for item in declared:
            if item.exercise not in known:
                raise KataError(f"{self.set}: {item.name}: {Project.near(item.exercise, sorted(known), 'exercise')}")
            grouped.setdefault(item.exercise, []).append(item)
        return grouped

    def exercise(self, name: str) -> Exercise:
        for exercise in self.exercises:
            if exercise.name == name:
                return exercise
        raise KataError(Project.near(name, [e.name for e in self.exercises], "exercise"))

    def reference(self, name: str) -> Callable:
        """The solution's function."""
        exercise = self.exercise(name)
        return getattr(self._import(self.project.solutions / self.set / exercise.file), name)

    # -- benches, calls and what they should give ----------------------------------------------------------------

    def bench(self, checkpoint: Checkpoint) -> Bench:
        if checkpoint.name not in self._benches:
            self._benches[checkpoint.name] = Bench(checkpoint, self.seed, self._fact)
        return self._benches[checkpoint.name]

    def bench_of(self, where: str) -> Bench:
        """The bench of a checkpoint by its name, or of the first (the shown) one of a variant."""
        for checkpoint in self.checkpoints:
            if where in (checkpoint.name, checkpoint.variant):
                return self.bench(checkpoint)
        raise KataError(f"{self.set}: " + Project.near(where, [c.name for c in self.checkpoints], "checkpoint"))

    def shown(self, name: str) -> Bench:
        """The bench that the pass message of an exercise talks about."""
        return self.plan(name)[0][0]

    def plan(self, name: str) -> Plan:
        """The calls of an exercise on every bench of its check; made once."""
        if name not in self._plans:
            check = self.checks.get(name)
            if check is None:
                raise KataError(f"checks/test_{self.set}.py has no check for {name}")
            benches = [self.bench(c) for c in check.chooses(self.checkpoints)]
            self._plans[name] = [(bench, list(check.calls(bench))) for bench in benches]
        return self._plans[name]

    def expected(self, name: str) -> list[list[Any]]:
        """What the reference gives on every call, in the order of the plan; computed once."""
        if name not in self._expected:
            outcomes = self.outcomes(name, self.reference(name))
            for (bench, calls), row in zip(self.plan(name), outcomes, strict=True):
                for request, outcome in zip(calls, row, strict=True):
                    if not outcome.clean:
                        why = outcome.error or outcome.status if outcome.status != "ok" else outcome.changed
                        raise KataError(
                            f"the reference {self.set}.{name} fails on {bench.checkpoint.name} "
                            f"({request.describe()}): {why}"
                        )
            self._expected[name] = [[o.value for o in row] for row in outcomes]
        return self._expected[name]

    def outcomes(self, name: str, function: Callable) -> list[list[Outcome]]:
        """Run any function of ours (reference, mistake, variant) through the calls of an exercise."""
        return [
            [run(function, request, model_for(bench, request)) for request in calls] for bench, calls in self.plan(name)
        ]

    def mistaken(self, mistake: Mistake, bench: Bench, request: Call) -> Outcome:
        """What a known mistake gives on a call of the plan; run once, for a class makes the same ones again."""
        key = (mistake.exercise, mistake.name, id(request))
        if key not in self._mistaken:
            seconds = self.checks[mistake.exercise].seconds
            self._mistaken[key] = run(mistake.function, request, model_for(bench, request), seconds=seconds)
        return self._mistaken[key]

    # -- facts ---------------------------------------------------------------------------------------------------

    @property
    def facts_file(self) -> Path:
        return self.project.data / self.set / "facts.json"

    @cached_property
    def known_facts(self) -> dict[str, dict[str, Any]]:
        """facts.json: for each checkpoint its facts by name."""
        try:
            return json.loads(self.facts_file.read_text(encoding="utf-8"))["checkpoints"]
        except FileNotFoundError:
            return {}
        except (json.JSONDecodeError, KeyError) as error:
            raise KataError(f"{self.facts_file} is damaged ({error}): `kata facts {self.set}` makes it again") from None

    def _fact(self, bench: Bench, name: str) -> Any:
        listed = self.known_facts.get(bench.checkpoint.name, {}) if bench.checkpoint != self.brought else {}
        if name in listed:
            return listed[name]
        if name not in self.facts:
            raise LookupError(Project.near(name, sorted(self.facts), "fact"))
        return self.facts[name].compute(bench)


def model_for(bench: Bench, request: Call) -> Any:
    return bench.model if request.needs_model or any(v is MODEL for v in request.args.values()) else None
