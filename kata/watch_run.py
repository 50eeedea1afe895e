"""The learner's loop in a terminal, in a pipe, and once."""

import contextlib
import os
import queue
import signal
import sys
import threading
from typing import Any

from rich.console import Console

from kata import watch_screen as show
from kata.progress import Progress, everything, look, standings, starting_point
from kata.project import Exercise, Project
from kata.submission import Submission
from kata.verdict import PASSED, Verdict
from kata.watch import Session, order
from kata.watch_files import Files
from kata.watch_judge import Judge
from kata.watch_keys import Terminal

CLOCK = 0.25  # s between pictures while something is going on
INTERRUPTED = 130


def once(project: Project, exercise: Exercise | None, mode: str | None) -> int:
    """Judge one exercise in a process started for it, say so, and return 0 for a pass, 1 for anything else."""
    submission, progress = Submission(project.exercises), Progress(project)
    exercises = everything(project)
    wanted = exercise or starting_point(exercises, progress, standings(progress, submission, exercises))
    judge = Judge(project, project.exercises, [wanted.set], lambda *news: None, mode or "cold")
    try:
        verdict = judge.verdict(wanted)
    finally:
        judge.close()
    assert verdict
    progress.set_current(wanted)
    progress.record(verdict, look(submission, [wanted])[wanted.id].code)
    _say(show.console_for(), verdict, None)
    return 0 if verdict.status == PASSED else 1


def watch(project: Project, exercise: Exercise | None, mode: str | None) -> int:
    """Watch until the learner leaves; returns the exit code."""
    events: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()

    def post(*news: Any) -> None:
        events.put(news)

    files = Files(project, post)
    exercises, progress = everything(project), Progress(project)
    stands = standings(progress, Submission(project.exercises), exercises)
    start = exercise or starting_point(exercises, progress, stands)
    judge = Judge(project, project.exercises, order(project, start), post, mode)
    console = show.console_for()
    try:
        judge.start()
        files.start()
        session = Session(project, judge, start)
        session.progress.trouble = session.progress.trouble or progress.trouble
        session.begin()
        with _signals(post):
            if console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows:
                _in_terminal(session, events, post, console)
            else:
                _in_pipe(session, events, console)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        files.close()
        judge.close()
    return 0


def _wait(events: queue.SimpleQueue[tuple[Any, ...]], seconds: float | None) -> list[tuple[Any, ...]]:
    """The events that are there, after waiting for the first one; none where time is up."""
    news = []
    with contextlib.suppress(queue.Empty):
        news.append(events.get(timeout=seconds))
        while True:
            news.append(events.get_nowait())
    return news


def _in_terminal(session: Session, events: queue.SimpleQueue, post: Any, console: Console) -> None:
    try:
        with Terminal(post) as terminal:
            shown = ""
            while not session.over:
                shown = _draw(session, console, shown)
                waiting = CLOCK if session.busy else 30.0
                for kind, *news in _wait(events, waiting) or [("tick",)]:
                    if kind in ("suspend", "resize"):
                        shown = ""
                    if kind == "suspend":
                        _suspend(terminal)
                    else:
                        session.on(kind, *news)
                session.on("tick")
    finally:
        if session.verdict:
            _say(console, session.verdict, session.seconds)
        passed, _, total = session.counts
        console.print(f"{session.current.set}: {passed} of {total} passed")


def _draw(session: Session, console: Console, shown: str) -> str:
    """Write the picture unless it is the one that is shown; returns it."""
    width, height = console.size
    text = show.compose(session.screen(width), console, width, height)
    if text != shown:
        rows = "\x1b[K\r\n".join(text.split("\n"))
        console.file.write(f"\x1b[H{rows}\x1b[K\x1b[J")
        console.file.flush()
    return text


def _in_pipe(session: Session, events: queue.SimpleQueue, console: Console) -> None:
    """No terminal: lines, one verdict after the other; ended by a signal or by a reader that goes away."""
    said: Verdict | None = None
    state = ""
    try:
        print(f"watching {session.current.id}  {session.submission.shown(session.current)}", flush=True)
        while not session.over:
            for kind, *news in _wait(events, CLOCK if session.busy else 30.0) or [("tick",)]:
                session.on(kind, *news)
            session.on("tick")
            line = session.state_line().split(", ")[0].rstrip(" …s0123456789")
            if line and line != state:
                print(line, flush=True)
            state = line
            if session.verdict is not said and not line:
                said = session.verdict
                assert said
                _say(console, said, session.seconds)
    except BrokenPipeError:
        with contextlib.suppress(OSError):  # what is left in the buffer has no reader
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(console: Console, verdict: Verdict, seconds: float | None) -> None:
    """A verdict as lines of a log; not wrapped where nobody's screen is meant."""
    if console.is_terminal:
        console.print(f"{verdict.id}  {verdict.where}", style="dim")
        for part in show.verdict_body(verdict, seconds):
            console.print(part)
        return
    verdict, sign = show.harmless(verdict), show.SIGNS[verdict.status]
    spent = f" ({seconds:.2f} s)" if seconds is not None else ""
    lines = [f"{sign} {verdict.status}  {verdict.id}  {verdict.where}{spent}", *(f"  {x}" for x in verdict.lines())]
    console.file.write("\n".join(lines) + "\n")
    console.file.flush()


@contextlib.contextmanager
def _signals(post: Any) -> Any:
    """A terminal that is resized, stopped or closed; put back as it was afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = {"SIGWINCH": ("resize",), "SIGTSTP": ("suspend",), "SIGTERM": ("key", "quit"), "SIGHUP": ("key", "quit")}
    before = {}
    for name, news in wanted.items():
        number = getattr(signal, name, None)
        if number is not None:
            before[number] = signal.signal(number, lambda *_, news=news: post(*news))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _suspend(terminal: Terminal) -> None:
    """Ctrl-Z: give the terminal back while we are stopped."""
    terminal.give_back()
    handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, handler)
    terminal.take()
