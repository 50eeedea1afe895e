"""The learner's commands: watch, list, next, hint, show, reset, diff, doctor."""

from typing import TYPE_CHECKING, Annotated

import typer

from kata.project import Exercise, KataError, Project

if TYPE_CHECKING:
    from kata.progress import Progress

Name = Annotated[str | None, typer.Argument(help="an exercise: its name, or set.name; the current one by default")]
Sets = Annotated[list[str] | None, typer.Argument(help="problem sets; all of them by default", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands; `kata` alone is `kata watch`."""

    @app.callback(invoke_without_command=True)
    def home(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            watch()

    for command in (watch, listing, next_, hint, show, reset, diff, doctor):
        app.command({"listing": "list", "next_": "next"}.get(command.__name__))(command)


def watch(
    exercise: Name = None,
    once: Annotated[bool, typer.Option("--once", help="judge it once and exit: 0 if it passes, else 1")] = False,
    cold: Annotated[bool, typer.Option("--cold", help="keep nothing ready: start Python anew for each save")] = False,
) -> None:
    """Judge an exercise whenever you save its file. Also `kata` alone."""
    from kata import watch_run

    project = Project.find()
    wanted = project.exercise(exercise) if exercise else None
    if once:
        raise typer.Exit(watch_run.once(project, wanted, "cold" if cold else None))
    raise typer.Exit(watch_run.watch(project, wanted, "cold" if cold else None))


def listing(
    sets: Sets = None,
    status: Annotated[
        str | None, typer.Option(help="only these: passed, open, todo, failed, broken, timed-out, changed")
    ] = None,
) -> None:
    """List the exercises and how they stand."""
    from kata.progress import everything
    from kata.watch_pages import listing as rows_of

    project = Project.find()
    for name in sets or []:
        if name not in project.sets:
            raise KataError(Project.near(name, project.sets, "problem set"))
    exercises = everything(project, sets)
    progress, stands = _stands(project, exercises)
    listed = [e for e in exercises if _fits(stands[e.id], status)]
    console = _console()
    for row in rows_of(listed, stands, {e.id: progress.entry(e).hints for e in listed}, progress.current)[0]:
        console.print(row)
    passed = list(stands.values()).count("passed")
    console.print(f" {passed} of {len(exercises)} passed" + (f", {len(listed)} listed" if status else ""))


def _fits(stands: str, status: str | None) -> bool:
    from kata.progress import CHANGED
    from kata.verdict import STATUSES

    wanted = (status or "").replace("-", " ").replace("_", " ")
    known = [*STATUSES, CHANGED, "open"]
    if wanted and wanted not in known:
        raise KataError(Project.near(wanted, known, "status"))
    return not wanted or stands == wanted or (wanted == "open" and stands != "passed")


def next_(
    skip: Annotated[bool, typer.Option("--skip", help="pass over the current exercise")] = False,
) -> None:
    """Say which exercise is next, and make it the current one."""
    from kata.progress import everything, next_open

    project = Project.find()
    exercises = everything(project)
    progress, stands = _stands(project, exercises)
    following = next_open(exercises, stands, progress.current, skip)
    if following is None:
        typer.echo("all of it passed")
        return
    progress.set_current(following)
    _show(project, following)


def hint(
    exercise: Name = None,
    rung: Annotated[int | None, typer.Option(min=1, help="show this one instead of the next")] = None,
) -> None:
    """Show a hint; the next one each time."""
    from kata import learner
    from kata import watch_screen as screen

    project = Project.find()
    progress, wanted = _wanted(project, exercise)
    rungs = learner.hints(project, wanted)
    if not rungs:
        raise KataError(f"{project.readme_heading(wanted)[0]} has no hints for {wanted.name}")
    number = min(rung, len(rungs)) if rung else progress.open_hint(wanted, len(rungs))
    title, text = rungs[number - 1]
    console = _console()
    console.print(f" {wanted.id}", style="bold")
    if console.is_terminal:
        for part in screen.markdown(title, text):
            console.print(part)
    else:
        console.file.write(f"{title}\n\n{text}\n")
    last = number == len(rungs)
    after = f"kata diff {wanted.name} --spoil shows the solution" if last else "once more for the next one"
    console.print(f"\n ({number} of {len(rungs)}; {after})", style="dim")


def show(exercise: Name = None) -> None:
    """Show an exercise: its task, signature, rating, file and line."""
    project = Project.find()
    _show(project, _wanted(project, exercise)[1])


def _show(project: Project, exercise: Exercise) -> None:
    from kata import watch_screen as screen
    from kata.submission import Submission

    console = _console()
    readme, line = project.readme_heading(exercise)
    for part in screen.headline(exercise, Submission(project.exercises).shown(exercise), console.width):
        console.print(part)
    for part in screen.task(exercise):
        console.print(part)
    if readme.is_file():
        console.print(f"\n the question and the hints: {readme.relative_to(project.root)}:{line}", style="dim")


def reset(
    exercise: Annotated[str, typer.Argument(help="an exercise: its name, or set.name")],
    whole: Annotated[bool, typer.Option("--file", help="put back the whole file, not only this function")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
) -> None:
    """Put an exercise back as it was handed out; a copy of your file is kept beside it."""
    from kata import learner

    project = Project.find()
    wanted = project.exercise(exercise)
    plan = learner.plan_reset(project, wanted, whole)
    if plan.text is None:
        typer.echo(f"{plan.path}: {wanted.name} is as it was handed out")
        return
    if plan.work and not yes:
        typer.confirm(f"{plan.path}: {plan.what}, and a copy of your file is kept beside it. Do it?", abort=True)
    copy = learner.reset(plan)
    typer.echo(f"{plan.path}: {plan.what}" + (f"; your version is {copy.name}" if copy else ""))


def diff(
    exercise: Name = None,
    spoil: Annotated[bool, typer.Option("--spoil", help="also before a pass")] = False,
) -> None:
    """Show your function beside the solution's, after a pass."""
    from kata.watch_pages import comparison

    project = Project.find()
    progress, wanted = _wanted(project, exercise)
    if not spoil and not progress.entry(wanted).passed:
        raise KataError(f"{wanted.id} has not passed yet: pass it first, or say --spoil")
    console = _console()
    for part in comparison(project, wanted).body(console.width):
        console.print(part)


def doctor() -> None:
    """Look at this machine and this checkout, and say what to do about what is wrong."""
    from rich.text import Text

    from kata.doctor import examine

    console = _console()
    wrong = 0
    for finding in examine(Project.find()):
        wrong += finding.good is False
        sign, style = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("·", "dim")}[finding.good]
        console.print(Text.assemble((f" {sign} ", style), (f"{finding.what:<18} ", "bold"), finding.said))
        if finding.good is False and finding.advice:
            console.print(Text(f"   {'':<18} do this: {finding.advice}", style="cyan"))
    console.print(" all is well" if not wrong else f" {wrong} to mend")
    raise typer.Exit(1 if wrong else 0)


def _console():  # type: ignore[no-untyped-def]
    from kata.watch_screen import console_for

    return console_for()


def _stands(project: Project, exercises: list[Exercise]) -> "tuple[Progress, dict[str, str]]":
    from kata.progress import Progress, standings
    from kata.submission import Submission

    progress = Progress(project)
    if progress.trouble:
        typer.secho(f"kata: {progress.trouble}", fg="yellow", err=True)
    return progress, standings(progress, Submission(project.exercises), exercises)


def _wanted(project: Project, name: str | None) -> "tuple[Progress, Exercise]":
    """The exercise that is named, else the current one."""
    from kata.progress import everything, starting_point

    exercises = everything(project)
    progress, stands = _stands(project, exercises)
    return progress, project.exercise(name) if name else starting_point(exercises, progress, stands)
