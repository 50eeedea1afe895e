"""The commands that draw: plot, gallery and guide."""

import os
from pathlib import Path
from typing import Annotated

import typer

from kata.plots_style import FORMATS
from kata.project import KataError, Project

Sets = Annotated[list[str] | None, typer.Argument(help="problem sets; all if none is named", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(plot)
    app.command()(gallery)
    app.command()(guide)


def plot(
    exercise: Annotated[str, typer.Argument(help="an exercise, such as ov_tables or sorted_list.ov_tables")],
    save: Annotated[
        Path | None, typer.Option(help="write FILE.html, .png or .svg instead of opening a browser")
    ] = None,
    figure: Annotated[str | None, typer.Option(help="only this figure of the exercise")] = None,
    on: Annotated[str | None, typer.Option(help="a checkpoint of the set, such as sibling")] = None,
    submission: Annotated[Path | None, typer.Option(help="a folder laid out like exercises/")] = None,
    reference: Annotated[bool, typer.Option("--reference", help="draw the solution's result alone")] = False,
) -> None:
    """Draw what your function computes, beside the reference."""
    project = Project.find()
    found = project.exercise(exercise)
    if save and save.suffix not in FORMATS:
        raise KataError(f"--save {save}: the name must end in {', '.join(FORMATS)}")
    from kata import pictures
    from kata.course import Course
    from kata.submission import Submission

    chosen = None if reference else Submission(submission or _submission(project))
    if chosen and chosen.todo(found):
        where = chosen.shown(found)
        raise KataError(f"{found.name} is not written yet: {where} (--reference draws the solution's result)")
    artist = pictures.Artist(Course(project, found.set), chosen)
    drawn = artist.draw(artist.named(figure), on) if figure else artist.pictures(found.name, on)
    intro = "" if reference else _agreement(drawn)
    path = save or pictures.scratch(found.id)
    files = pictures.save(drawn, path, found.id, intro)
    if intro:
        typer.echo(intro)
    if save or not pictures.show(path):
        typer.echo("written: " + ", ".join(map(str, files)))


def gallery(
    sets: Sets = None,
    out: Annotated[Path, typer.Option(help="the page to write")] = Path("docs/gallery.html"),
    browse: Annotated[bool, typer.Option("--open", help="open it in the browser")] = False,
) -> None:
    """Make the page that shows the figures of all sets, with what to notice in each."""
    from kata import pictures

    project = Project.find()
    for name in sets or []:
        project.config(name)
    path = out if out.is_absolute() else project.root / out
    path.parent.mkdir(parents=True, exist_ok=True)
    text, number = pictures.gallery(project, sets or project.sets)
    path.write_text(text, encoding="utf-8")
    if not (browse and pictures.show(path)):
        typer.echo(f"{path}: {number} figures, {len(text) / 1e6:.0f} MB")


def guide(
    set_name: Annotated[str, typer.Argument(help="a problem set, such as sorted_list")],
    out: Annotated[Path | None, typer.Option(help="the notebook to write; guides/<set>.ipynb by default")] = None,
    run: Annotated[
        bool, typer.Option("--run", help="run it from top to bottom, so that it opens with figures")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="replace a notebook that is there")] = False,
) -> None:
    """Make the guided tour of a set as a notebook, from guides/<set>.py."""
    from kata import guide as module

    project = Project.find()
    path = out or project.root / "guides" / f"{set_name}.ipynb"
    seconds = module.notebook(project, set_name, path, run=run, overwrite=overwrite)
    typer.echo(f"{path}: " + (f"ran in {seconds:.0f} s" if run else "open it in Jupyter or VS Code"))


def _submission(project: Project) -> Path:
    """The folder that SUBMISSION names, else exercises/."""
    named = os.environ.get("SUBMISSION")
    if not named:
        return project.exercises
    for base in (Path.cwd(), project.root):
        if (base / named).is_dir():
            return base / named
    raise KataError(f"SUBMISSION={named}: there is no such folder")


def _agreement(drawn: list) -> str:
    if any(p.remark for p in drawn):
        return next(p.remark for p in drawn if p.remark)
    if any(p.differs for p in drawn):
        return f"Yours is not what the reference gives: `pytest checks -k {drawn[0].exercise.name}` says why."
    return "Yours gives what the reference gives."
