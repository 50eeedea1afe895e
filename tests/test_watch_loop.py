"""The loop's decisions, fed with events by hand; nothing is judged here and no terminal is needed."""

import io
import time

import pytest
from learner_helpers import course_copy, save
from rich.console import Console

from kata import watch_screen
from kata.verdict import BROKEN, FAILED, GRADER_ERROR, PASSED, TIMED_OUT, TODO, Verdict
from kata.warm import Result
from kata.watch import QUIET, Session
from kata.watch_judge import told
from kata.watch_keys import split


class FakeJudge:
    """Remembers what it is asked for."""

    def __init__(self):
        self.asked, self.serial, self.restarts = [], 0, []
        self.warm = self
        self.mode = "fork"

    def ask(self, exercise):
        self.serial += 1
        self.asked.append(exercise.name)

    def ask_all(self, exercises):
        self.serial += 1
        self.asked.append([e.name for e in exercises])

    def cancel(self):
        self.ask_all([])

    def restart(self, sets):
        self.restarts.append(sets)

    def prefer(self, sets):
        self.preferred = sets


@pytest.fixture
def session(project, tmp_path):
    made = Session(course_copy(project, tmp_path), FakeJudge())
    made.begin()
    made.on("note", {"ready": True})
    return made


def answer(session, status=PASSED, headline="this was shown", **more):
    verdict = Verdict(session.current.set, session.current.name, status, headline, **more)
    session.on("verdict", session.current, verdict, 0.1, session.judge.serial)


def picture(session, width=80, height=24, **options):
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, highlight=False, **options)
    text = watch_screen.compose(session.screen(width), console, width, height)
    return text.replace("\xa0", " ")


def plain(session, width=80, height=24):
    return picture(session, width, height, color_system=None)


def test_the_state_is_said_at_once_and_the_old_answer_pales(session):
    assert "checking …" in plain(session)
    answer(session, FAILED, "wrong by a factor of 2")
    assert "checking" not in plain(session) and "(0.10 s)" in plain(session)
    session.on("saved", {(session.current.set, session.current.file)})
    assert "checking …" in plain(session) and "wrong by a factor of 2" in plain(session)
    session.checking = time.monotonic() - 3.2
    assert "checking … 3 s" in plain(session)


def test_an_answer_to_an_earlier_save_is_not_believed(session):
    stale = session.judge.serial
    session.on("saved", {(session.current.set, session.current.file)})
    session.on("verdict", session.current, Verdict("sorted_list", session.current.name, PASSED, "old"), 0.1, stale)
    assert session.verdict is None and session.checking is not None
    assert not session.progress.entry(session.current).status


def test_a_pass_advances_nothing_and_offers_the_comparison(session):
    first = session.current
    answer(session)
    assert session.current is first and session.judge.asked == [first.name]
    assert "this was shown" in plain(session) and "d diff" in plain(session)
    session.on("key", "n")
    assert session.current.number == 2 and session.judge.asked[-1] == session.current.name
    assert session.progress.current == session.current.id


def test_another_file_is_not_judged(session):
    session.on("saved", {("sorted_list", "explain.py"), ("gone", "x.py")})
    assert len(session.judge.asked) == 1


def test_check_all_leaves_out_what_is_not_written_and_can_be_left(session):
    path = session.project.exercises / "sorted_list" / "circuits.py"
    save(path, path.read_text().replace("raise NotImplementedError", "return 1", 1))
    session.on("saved", {("sorted_list", "circuits.py")})
    session.on("key", "a")
    assert session.judge.asked[-1] == ["ov_tables"] and "checking all: 14 of 15" in plain(session)
    session.on("key", "escape")
    assert session.judge.asked[-1] == [] and "checking" not in plain(session)
    session.on("key", "a")
    exercise = session.project.exercise("ov_tables")
    verdict = Verdict("sorted_list", "ov_tables", FAILED, "a wrong table")
    session.on("verdict", exercise, verdict, 0.1, session.judge.serial)
    session.on("all", [])
    shown = plain(session)
    assert "a wrong table" in shown and "0/15" in shown and "next: sorted_list.make_sorting_tokens" in shown
    session.on("key", "escape")
    assert "a wrong table" not in plain(session)


def test_a_changed_course_is_loaded_anew_once_it_is_quiet(session, monkeypatch):
    session.on("course")
    session.on("tick")
    assert not session.judge.restarts and session.busy
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + QUIET + 0.1)
    session.on("tick")
    session.on("tick")
    assert session.judge.restarts == [["sorted_list"]]
    assert "the course has changed" in plain(session)


def test_a_course_that_cannot_be_loaded_is_said(session):
    session.on("note", {"stage": "sorted_list", "error": "check file\nline 3 is wrong", "ready": True})
    assert "! line 3 is wrong" in plain(session)
    session.on("unwatched", "inotify limit reached")
    assert "files cannot be watched: inotify limit reached" in plain(session)


def test_an_error_of_another_set_is_not_shown(session):
    session.on("note", {"stage": "another_set", "error": "not mine"})
    assert "not mine" not in plain(session)


def test_terminal_codes_in_a_learners_text_do_not_reach_the_screen(session):
    answer(session, FAILED, "\x1b[2J\x1b]0;title\x07 gone [bold]?", evidence=["it printed \x1b[31mred\x1b[0m \x9b5m"])
    shown = plain(session)
    assert "gone [bold]?" in shown, "markup is not interpreted"
    assert "\x1b" not in shown and "\x07" not in shown and "\x9b" not in shown


@pytest.mark.parametrize("width", [20, 33, 60, 80, 200])
@pytest.mark.parametrize("height", [1, 5, 12, 24, 60])
def test_any_size_is_kept(session, width, height):
    long = "a headline without end " * 30
    answer(session, FAILED, long, evidence=["x" * 500, "short"], next_step="look", notes=["漢字" * 60])
    for key in ("", "l", "escape", "r", "n", "j", "j"):
        session.on("key", key)
        rows = plain(session, width, height).split("\n")
        assert len(rows) == height
        assert all(watch_screen.Text(row).cell_len <= width for row in rows)


def test_a_long_answer_can_be_scrolled(session):
    answer(session, FAILED, "headline", evidence=[f"line {n}" for n in range(40)])
    assert "line 0" in plain(session) and "line 39" not in plain(session) and "more rows" in plain(session)
    for _ in range(60):
        session.on("key", "down")
        plain(session)
    assert "line 39" in plain(session) and "line 0\n" not in plain(session)
    session.on("key", "home")
    assert "line 0" in plain(session)


def test_no_colour_is_heeded(session, monkeypatch):
    answer(session)
    assert "\x1b[1;32m" in picture(session, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "32m" not in picture(session, color_system="standard")


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("nq", ["n", "q"]),
        ("N", ["n"]),
        ("\x1b[A\x1b[B\x1bOA", ["up", "down", "up"]),
        ("\x1b", ["escape"]),
        ("\x1b[5~j", ["page up", "j"]),
        ("\x1b[1;5Cq", ["q"]),
        ("\x1b[200~", []),
        ("\r \x7f", ["enter", "space", "escape"]),
        ("\x1bq", ["escape", "q"]),
    ],
)
def test_keys(sent, keys):
    assert split(sent) == keys


def test_unknown_keys_do_nothing(session):
    before = plain(session)
    for key in ("", "x", "ß", "\x00", "漢"):
        session.on("key", key)
    assert plain(session) == before and not session.over


@pytest.mark.parametrize(
    ("result", "status", "says"),
    [
        (Result("timeout"), TIMED_OUT, "stopped after 60 s"),
        (Result("memory"), BROKEN, "GB of memory"),
        (Result("died", detail="exit code 3"), BROKEN, "ended its whole process (exit code 3)"),
        (Result("died", detail="signal SIGSEGV"), BROKEN, "crashed Python itself (signal SIGSEGV)"),
        (Result("lost"), GRADER_ERROR, "not your mistake"),
        (Result("size"), GRADER_ERROR, "not your mistake"),
        (Result("error", detail="Traceback\nKeyError: 'x'"), GRADER_ERROR, "KeyError: 'x'"),
    ],
)
def test_every_end_of_a_run_is_a_verdict(project, result, status, says):
    verdict = told(project.exercise("sorted_list.qk_tables"), result, 60)
    assert verdict.status == status and says in "\n".join(verdict.lines())
    assert (verdict.status == TODO) is False


def test_reflow_joins_prose_and_leaves_tables():
    prose = "A first line that is long enough to have been broken at the end of the page\nby its author."
    table = "    a  b\n    c  d"
    assert watch_screen.reflow(f"{prose}\n\n{table}") == f"{prose.replace(chr(10), ' ')}\n\n{table}"


def test_a_hint_is_in_sight_whatever_the_answer_says(session):
    readme = session.project.exercises / "sorted_list" / "README.md"
    blocks = "".join(
        f"<details><summary>{rung}</summary>\n\nthe text of rung {n}\n</details>\n"
        for n, rung in enumerate(("Hint 1: the idea", "Hint 2: the place", "Hint 3: nearly the code"), 1)
    )
    readme.write_text(f"# Set\n\n### 1. make_sorting_tokens\nrating\n\nquestion\n{blocks}")
    session.on("key", "h")
    assert "the text of rung 1" in plain(session, 60), "before any answer"
    answer(session, FAILED, "headline", evidence=[f"line {n}" for n in range(40)])
    session.on("key", "h")
    shown = plain(session, 60)
    assert shown.index("headline") < shown.index("the text of rung 2") < shown.index("line 0")
    session.on("key", "escape")
    assert "rung" not in plain(session, 60)
    for _ in range(3):
        session.on("key", "h")
    assert "rung 3" in plain(session, 60) and "the last one" in plain(session, 60)
    session.on("key", "n")
    assert "rung" not in plain(session, 60)
    session.on("key", "h")
    assert "has no hints for sorting_metrics" in plain(session)


def test_a_used_standby_process_warms_up_again_and_says_so(session):
    session.judge.mode = "standby"
    answer(session, FAILED)
    assert "warming" not in plain(session), "an answer stands"
    session.on("saved", {(session.current.set, session.current.file)})
    assert "warming up, 0 s: a standby process imports torch" in plain(session)
    session.on("note", {"ready": True})
    assert "checking …" in plain(session)
