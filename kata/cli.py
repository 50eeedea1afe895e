"""The command line: a thin roof. Everything heavy is imported inside the command that needs it."""

import importlib
import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from kata.project import KataError, Project

app = typer.Typer(
    name="kata",
    help="Small transformers, taken apart by your own code. `pytest checks` grades; these commands do the rest.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Sets = Annotated[
    list[str] | None, typer.Argument(help="problem sets; all of them if none is named", show_default=False)
]
OneSet = Annotated[str, typer.Argument(help="a problem set, such as sorted_list")]


def main() -> None:
    """Run the command line; a KataError is one line, never a traceback."""
    for module in ("learn", "classroom", "pictures"):  # commands grouped by who uses them; each module is light
        if importlib.util.find_spec(f"kata.cli_{module}"):
            importlib.import_module(f"kata.cli_{module}").register(app)
    try:
        app()
    except KataError as error:
        typer.secho(f"kata: {error}", fg="red", err=True)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _sets(project: Project, named: list[str] | None) -> list[str]:
    for name in named or []:
        if name not in project.sets:
            raise KataError(Project.near(name, project.sets, "problem set"))
    return named or project.sets


@app.command()
def train(
    set_name: OneSet,
    checkpoint: Annotated[list[str] | None, typer.Option(help="which checkpoint; all of the set by default")] = None,
    seed: Annotated[int | None, typer.Option(help="another seed than the one that config.json names")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for the weights; data/<set> by default")] = None,
    overwrite: Annotated[bool, typer.Option(help="replace weights that are there")] = False,
) -> None:
    """Train the checkpoints of a set by its recipe (data/<set>/train.py)."""
    import time

    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from kata import training

    project = Project.find()
    folder = out or project.data / set_name
    chosen = training.choose(project, set_name, checkpoint or [], seed)
    for each in chosen:
        path = folder / f"{each.name}.safetensors"
        if path.exists() and not overwrite:
            raise KataError(f"{path} is there already: name another folder with --out, or say --overwrite")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    for each in chosen:
        began = time.process_time()
        with Progress(*columns) as bar:
            task = bar.add_task(each.name)

            def tell(step: int, total: int, text: str, bar=bar, task=task, name=each.name) -> None:
                bar.update(task, completed=step, total=total, description=f"{name}  {text}")

            path = training.train(project, each, folder, tell)
        typer.echo(f"{path}: trained with seed {each.seed} in {time.process_time() - began:.0f} s of CPU time")
    if folder.resolve() == (project.data / set_name).resolve() and seed is None:
        training.sign(project, set_name)


@app.command()
def facts(
    sets: Sets = None,
    check: Annotated[
        bool, typer.Option("--check", help="write nothing; fail if facts.json is not what comes out")
    ] = False,
) -> None:
    """Recompute data/<set>/facts.json from the checkpoints; fails if a fact is outside its bounds."""
    import json

    from kata import facts as module
    from kata.course import Course

    project = Project.find()
    bad = []
    for set_name in _sets(project, sets):
        course = Course(project, set_name)
        fresh = module.compute(course, lambda text: typer.echo(f"  {text}", err=True))
        path = course.facts_file
        if check:
            there = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            bad += [f"{path}: {line}" for line in module.differences(there, fresh)]
        else:
            path.write_text(module.text(fresh), encoding="utf-8")
            typer.echo(f"{path}: {len(fresh['facts'])} facts on {len(fresh['checkpoints'])} checkpoints")
        bad += [f"{set_name}: {line}" for line in module.broken(fresh)]
    for line in bad:
        typer.secho(line, fg="red", err=True)
    raise typer.Exit(1 if bad else 0)


@app.command()
def stubs(
    sets: Sets = None,
    check: Annotated[bool, typer.Option("--check", help="write nothing; fail if a stub is not what comes out")] = False,
    force: Annotated[bool, typer.Option(help="also where a learner's work is; a copy of it is kept beside")] = False,
) -> None:
    """Make exercises/ from solutions/. A file that holds a learner's work is left alone."""
    from kata import stubs as module

    project = Project.find()
    changes = module.plan(project, _sets(project, sets))
    if check:
        stale = [str(c.path) for c in changes if c.action != "same"]
        for path in stale:
            typer.secho(f"{path} is not the stub of its solution: run `kata stubs`", fg="red", err=True)
        raise typer.Exit(1 if stale else 0)
    lines = module.write(changes, force)
    typer.echo("\n".join(lines) if lines else "every stub is up to date")


@app.command()
def audit(
    sets: Sets = None,
    exercise: Annotated[str | None, typer.Option("-e", "--exercise", help="only this exercise")] = None,
) -> None:
    """Grade the grader: every known mistake must fail under its own name, every right answer must pass."""
    from kata.audit import audit_set
    from kata.audit_report import table

    project = Project.find()
    only = project.exercise(exercise) if exercise else None
    bad = 0
    for set_name in [only.set] if only else _sets(project, sets):
        rows = audit_set(project, set_name, only.name if only else None)
        for line in table(rows):
            typer.echo(line)
        bad += sum(len(row.problems) for row in rows)
    raise typer.Exit(1 if bad else 0)


if __name__ == "__main__":
    main()
