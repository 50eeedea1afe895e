"""The instructor's commands: grade, review, cohort, autograder."""

from pathlib import Path
from typing import Annotated

import typer

from kata.project import KataError, Project

Out = Annotated[Path, typer.Option(help="folder for the results")]


def register(app: typer.Typer) -> None:
    """Put the commands on the command line."""
    for command in (grade, review, cohort, autograder):
        app.command()(command)


def grade(
    submissions: Annotated[list[Path], typer.Argument(help="folders, archives, or one folder that holds a class")],
    out: Out = Path("results"),
    sets: Annotated[list[str] | None, typer.Option("--set", help="grade this set only; can be repeated")] = None,
    rubric: Annotated[Path | None, typer.Option(help="points: a TOML file; by default from the ratings")] = None,
    seed: Annotated[int | None, typer.Option(help="of the inputs; random, and recorded, by default")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="judges at work; one per core by default")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="for one exercise at most")] = 20.0,
    total_seconds: Annotated[float, typer.Option(min=1, help="for a whole submission")] = 120.0,
    memory: Annotated[int, typer.Option(min=64, help="MB that a submission may take")] = 2048,
    title: Annotated[str, typer.Option(help="heading of the class's page")] = "The class",
    merge: Annotated[bool, typer.Option("--merge", help="collect results.json files from elsewhere")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="grade again what another run has graded in OUT")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="refuse to grade where a fence cannot be put up")] = False,
    data: Annotated[Path | None, typer.Option(help="a folder that `kata cohort` made", show_default=False)] = None,
    gradescope: Annotated[
        Path | None, typer.Option(help="also write the one submission's results.json here", show_default=False)
    ] = None,
    github: Annotated[
        Path | None, typer.Option(help="also add it to this file, as GitHub Classroom reads it", show_default=False)
    ] = None,
) -> None:
    """Grade submissions: marks, reports and a page for the class. Interrupted, it resumes."""
    project = Project.find()
    if merge:
        from kata.classroom.book import merge as collect

        book = collect(submissions, out, project, title)
        typer.echo(f"{len(book.results)} results: {out / 'index.html'}, {out / 'class.csv'}")
        return
    from kata.classroom import grading

    if data:
        from kata.classroom.cohort import data_of

        project = data_of(project, data)
    for name in sets or []:
        if name not in project.sets:
            raise KataError(Project.near(name, project.sets, "problem set"))
    limits = {"seconds": seconds, "total": total_seconds, "memory": memory << 20}
    errors = grading.run(
        project,
        submissions,
        out,
        sets=sets or project.sets,
        rubric=rubric,
        seed=seed,
        workers=workers,
        limits=limits,
        title=title,
        fresh=fresh,
        strict=strict,
        gradescope=gradescope,
        github=github,
        say=typer.echo,
    )
    raise typer.Exit(1 if errors else 0)


def review(
    sets: Annotated[list[str] | None, typer.Argument(help="problem sets; all by default", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="the HTML file to write")] = Path("review.html"),
) -> None:
    """Write the solutions with their facts, ratings, mistakes and figures as one page for an instructor."""
    project = Project.find()
    from kata.classroom.review import write

    size = write(project, sets or project.sets, out)
    typer.echo(f"{out}: {size / 2**20:.1f} MB; it shows the answers")


def cohort(
    set_name: Annotated[str, typer.Argument(help="a problem set")],
    seed: Annotated[int, typer.Option(help="of this year's class")],
    out: Annotated[Path | None, typer.Option(help="folder for the data; cohort-SEED by default")] = None,
    checkpoint: Annotated[list[str] | None, typer.Option(help="train this one only; can be repeated")] = None,
) -> None:
    """Train fresh checkpoints for a class, and check that every fact still holds on them."""
    project = Project.find()
    from kata.classroom.cohort import make

    broken = make(project, set_name, seed, out or Path(f"cohort-{seed}"), checkpoint or [], typer.echo)
    raise typer.Exit(1 if broken else 0)


def autograder(
    out: Annotated[Path, typer.Option(help="the zip to write")] = Path("autograder.zip"),
    sets: Annotated[list[str] | None, typer.Option("--set", help="only this set; can be repeated")] = None,
    rubric: Annotated[Path | None, typer.Option(help="points: a TOML file")] = None,
) -> None:
    """Make the zip that Gradescope's "Configure Autograder" takes."""
    project = Project.find()
    from kata.classroom.autograder import write

    typer.echo(write(project, out, sets or [], rubric))
