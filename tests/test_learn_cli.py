"""The learner's commands that need no loop, and what they remember."""

import hashlib
import json
import os
import subprocess
import sys
import time

import pytest
from learner_helpers import RIGHT, course_copy, save, write_function
from typer.testing import CliRunner

from kata.progress import NOTE, Progress, everything, next_open, standings
from kata.project import KataError
from kata.submission import Submission
from kata.verdict import Verdict


@pytest.fixture
def course(project, tmp_path, monkeypatch):
    made = course_copy(project, tmp_path)
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def kata(course):
    """Run `kata ...` in the course; its exit code and output, errors of ours included."""
    import typer

    from kata import cli_learn

    app = typer.Typer(pretty_exceptions_enable=False)
    cli_learn.register(app)

    def run(*arguments, answer=None):
        result = CliRunner().invoke(app, list(arguments), input=answer, env={"COLUMNS": "100"})
        if isinstance(result.exception, KataError):
            return 2, str(result.exception)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return run


def file_of(course, exercise="make_sorting_tokens"):
    found = course.exercise(exercise)
    return course.exercises / found.set / found.file


def remember(course, exercise, status="passed"):
    """As if the exercise had been judged as it is now."""
    from kata.progress import look

    found = course.exercise(exercise)
    progress = Progress(course)
    code = look(Submission(course.exercises), [found])[found.id].code
    progress.record(Verdict(found.set, found.name, status, ""), code)


# -- list, next, show


def test_list_shows_all_and_filters(course, kata):
    code, text = kata("list")
    assert code == 0 and text.count("todo") == 15 and "0 of 15 passed" in text
    write_function(file_of(course), "make_sorting_tokens", RIGHT)
    assert "~  1. make_sorting_tokens        changed" in kata("list")[1]
    remember(course, "make_sorting_tokens")
    remember(course, "sorting_metrics", "failed")
    assert "✓  1. make_sorting_tokens        passed" in kata("list")[1]
    assert "·  2. sorting_metrics            todo" in kata("list")[1], "the stub is todo, whatever is remembered"
    code, text = kata("list", "sorted_list", "--status", "passed")
    assert "make_sorting_tokens" in text and "sorting_metrics" not in text and "1 of 15 passed, 1 listed" in text
    assert "14 listed" in kata("list", "--status", "open")[1]
    assert "did you mean `failed`" in kata("list", "--status", "faild")[1]
    assert "did you mean `sorted_list`" in kata("list", "sorted_lists")[1]


def test_a_function_that_is_edited_after_its_pass_is_no_longer_passed(course, kata):
    write_function(file_of(course), "make_sorting_tokens", RIGHT)
    remember(course, "make_sorting_tokens")
    text = file_of(course).read_text()
    save(file_of(course), text.replace("bos = ", "bos =  ").replace("    mid = ", "    # middle\n    mid = "))
    assert "1 of 15 passed" in kata("list")[1], "layout and comments are not an edit"
    save(file_of(course), text.replace("dim=1).values", "dim=-1).values"))
    assert "0 of 15 passed" in kata("list")[1]


def test_next_stays_until_the_current_one_passes(course, kata):
    assert "1. make_sorting_tokens" in kata("next")[1]
    assert "1. make_sorting_tokens" in kata("next")[1]
    write_function(file_of(course), "make_sorting_tokens", RIGHT)
    remember(course, "make_sorting_tokens")
    assert "2. sorting_metrics" in kata("next")[1]
    assert "3. ov_tables" in kata("next", "--skip")[1]
    assert Progress(course).current == "sorted_list.ov_tables"
    assert "3. ov_tables" in kata("show")[1]


def test_next_open_goes_round():
    class E:
        def __init__(self, id):
            self.id = id

    a, _, c = exercises = [E("a"), E("b"), E("c")]
    stands = {"a": "todo", "b": "passed", "c": "failed"}
    assert next_open(exercises, stands) is a
    assert next_open(exercises, stands, "b") is c
    assert next_open(exercises, stands, "c", skip=True) is a
    assert next_open(exercises, {"a": "passed", "b": "passed", "c": "todo"}, "c", skip=True) is c
    assert next_open(exercises, dict.fromkeys("abc", "passed"), "b") is None


def test_show_says_task_signature_rating_file_and_line(course, kata):
    code, text = kata("show", "qk_tables")
    line = next(i for i, t in enumerate(file_of(course, "qk_tables").read_text().splitlines(), 1) if "def qk_" in t)
    assert code == 0
    for part in (
        f"exercises/sorted_list/circuits.py:{line}",
        "difficulty 3/5",
        "importance 5/5",
        "def qk_tables(model",
    ):
        assert part in text
    assert "destinations as rows and sources as columns" in text
    assert "did you mean `qk_tables`" in kata("show", "qk_tabels")[1]


# -- hint, diff


def test_hints_come_rung_by_rung(course, kata):
    readme = course.exercises / "sorted_list" / "README.md"
    readme.write_text(
        "# Set\n\n#### 4. `qk_tables`\n`circuits.py` rating\n\nQuestion?\n"
        "<details><summary>Hint 1: the idea</summary>\n\nfirst **rung** 38<!-- fact --> wide\n</details>\n"
        "<details><summary>Hint 2: the place</summary>\n\nsecond rung\n</details>\n"
        "<details><summary>Hint 3: nearly the code</summary>\n\nthird rung\n</details>\n"
        "<details><summary>What you should have seen</summary>\n\nthe answer\n</details>\n"
    )
    texts = [kata("hint", "qk_tables")[1] for _ in range(4)]
    assert "first" in texts[0] and "second" not in texts[0] and "fact" not in texts[0] and "1 of 3" in texts[0]
    assert "second" in texts[1] and "third" in texts[2] and "third" in texts[3] and "--spoil" in texts[3]
    assert not any("the answer" in text for text in texts)
    assert "first" in kata("hint", "qk_tables", "--rung", "1")[1]
    assert Progress(course).entry(course.exercise("qk_tables")).hints == 3
    assert "has no hints for ov_tables" in kata("hint", "ov_tables")[1]


def test_diff_waits_for_a_pass(course, kata):
    code, text = kata("diff", "make_sorting_tokens")
    assert code == 2 and "--spoil" in text and "lists.sort" not in text
    code, text = kata("diff", "make_sorting_tokens", "--spoil")
    assert code == 0 and "raise NotImplementedError" in text and "the solution" in text
    write_function(file_of(course), "make_sorting_tokens", RIGHT)
    remember(course, "make_sorting_tokens")
    code, text = kata("diff", "make_sorting_tokens")
    assert code == 0 and "bos = torch.full" in text and "Lay each row out" not in text, "the docstring is known"
    save(file_of(course), "def broken(:\n")
    assert "has no `make_sorting_tokens` that can be read" in kata("diff", "make_sorting_tokens")[1]


# -- reset


def test_reset_asks_and_keeps_a_copy(course, kata):
    path = file_of(course)
    stub = path.read_text()
    assert "as it was handed out" in kata("reset", "make_sorting_tokens")[1]
    write_function(path, "make_sorting_tokens", RIGHT)
    write_function(path, "sorting_metrics", "    return {'mine': 1}")
    mine = path.read_bytes()
    code, text = kata("reset", "make_sorting_tokens", answer="n\n")
    assert code == 1 and path.read_bytes() == mine
    code, text = kata("reset", "make_sorting_tokens", answer="y\n")
    assert code == 0 and "only `make_sorting_tokens` is put back" in text
    assert "{'mine': 1}" in path.read_text() and "torch.full" not in path.read_text()
    copies = list(path.parent.glob("dataset.*.bak"))
    assert [c.read_bytes() for c in copies] == [mine]
    assert time.strftime("%Y-%m-%d") in copies[0].name
    kata("reset", "sorting_metrics", "--yes")
    assert path.read_text() == stub
    assert len(list(path.parent.glob("dataset.*.bak"))) == 2, "no copy goes over another one"


def test_reset_of_a_file_that_does_not_parse_needs_a_word_for_it(course, kata):
    path = file_of(course)
    stub = path.read_text()
    save(path, stub.replace("raise NotImplementedError", "return (", 1))
    code, text = kata("reset", "make_sorting_tokens", "--yes")
    assert code == 2 and "does not parse (line " in text and "--file" in text and "return (" in path.read_text()
    path.write_bytes(b"\xff\xfe broken")
    assert kata("reset", "make_sorting_tokens", "--yes")[0] == 2
    code, text = kata("reset", "make_sorting_tokens", "--file", "--yes")
    assert code == 0 and path.read_text() == stub
    assert b"\xff\xfe broken" in [c.read_bytes() for c in path.parent.glob("dataset.*.bak")]


def test_reset_brings_back_what_is_gone_and_keeps_line_ends(course, kata):
    path = file_of(course, "qk_tables")
    stub = path.read_text()
    path.unlink()
    assert kata("reset", "qk_tables")[0] == 0 and path.read_text() == stub, "nothing is lost, so nothing is asked"
    save(path, stub.replace("def qk_tables", "def my_tables"))
    kata("reset", "qk_tables", "--yes")
    assert "def my_tables" in path.read_text() and path.read_text().count("def qk_tables") == 1
    crlf = stub.replace("raise NotImplementedError", 'return "\f\u2028 odd"', 1).replace("\n", "\r\n")
    path.write_bytes(crlf.encode())
    first = min((e for e in everything(course) if e.file == path.name), key=lambda e: e.line)
    kata("reset", first.id, "--yes")
    assert path.read_bytes() == stub.replace("\n", "\r\n").encode()


# -- the state file


def test_the_state_file_is_readable_and_forgiving(course):
    progress = Progress(course)
    exercise = course.exercise("qk_tables")
    progress.set_current(exercise)
    progress.open_hint(exercise, 3)
    progress.record(Verdict("sorted_list", "qk_tables", "passed", ""), "abc")
    data = json.loads(progress.path.read_text())
    assert data["note"] == NOTE and data["current"] == "sorted_list.qk_tables"
    assert data["exercises"]["sorted_list.qk_tables"].keys() == {"hints", "status", "code", "passed"}
    data["exercises"] |= {
        "gone.exercise": {"status": "passed"},
        "sorted_list.ov_tables": {"status": "wow", "hints": "x"},
    }
    data["exercises"]["sorted_list.score_terms"] = "not a table"
    data["mine"] = "a note of the learner's"
    progress.path.write_text(json.dumps(data))
    again = Progress(course)
    assert again.trouble == "" and again.entry(exercise).hints == 1
    assert again.entry(course.exercise("ov_tables")).status == "" == again.entry(course.exercise("score_terms")).code
    again.record(Verdict("sorted_list", "score_terms", "failed", ""), "x")
    kept = json.loads(progress.path.read_text())
    assert kept["mine"] and kept["exercises"]["gone.exercise"], "what is not understood is not lost"
    again.record(Verdict("sorted_list", "qk_tables", "failed", ""), "new")
    assert again.entry(exercise).passed, "that it passed once is remembered"
    assert [p.name for p in progress.path.parent.iterdir()] == ["progress.json"]


@pytest.mark.parametrize("text", ["{", "[]", '{"exercises": []}', "\x00", '{"exercises"' + ":{" * 5000])
def test_a_broken_state_file_is_set_aside(course, kata, text):
    path = course.root / ".kata" / "progress.json"
    path.parent.mkdir()
    path.write_text(text)
    code, said = kata("list")
    assert code == 0 and "was damaged: it is now progress.damaged-" in said
    (aside,) = path.parent.glob("progress.damaged-*.json")
    assert aside.read_text() == text
    assert "damaged" not in kata("list")[1]


def test_two_commands_at_once_do_not_lose_each_others_news(course):
    one, two = Progress(course), Progress(course)
    one.open_hint(course.exercise("qk_tables"), 3)
    two.open_hint(course.exercise("ov_tables"), 3)
    fresh = Progress(course)
    assert [fresh.entry(course.exercise(n)).hints for n in ("qk_tables", "ov_tables")] == [1, 1]


def test_a_state_that_cannot_be_written_stops_nothing(course):
    (course.root / ".kata").write_text("a file where the folder should be")
    progress = Progress(course)
    progress.set_current(course.exercise("qk_tables"))
    assert "not remembered" in progress.trouble
    assert progress.current == "sorted_list.qk_tables", "for this session it is"


def test_a_current_exercise_that_is_gone_is_forgotten(course, kata):
    (course.root / ".kata").mkdir()
    (course.root / ".kata" / "progress.json").write_text('{"current": "gone.away", "exercises": {}}')
    assert "1. make_sorting_tokens" in kata("show")[1]


# -- doctor


def sign(course):
    """Write the hashes of the weights into config.json, as `kata train` does."""
    path = course.data / "sorted_list" / "config.json"
    config = json.loads(path.read_text())
    for name, entry in config["checkpoints"].items():
        entry["sha256"] = hashlib.sha256((path.parent / f"{name}.safetensors").read_bytes()).hexdigest()
    path.write_text(json.dumps(config))


def test_doctor_finds_what_is_wrong_and_says_what_to_do(course, kata, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    sign(course)
    code, text = kata("doctor")
    assert code == 0, text
    assert "all is well" in text and "torch " in text and "a saved file is noticed" in text
    weights = next((course.data / "sorted_list").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    file_of(course).unlink()
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    pyproject = course.root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('"torch>=2.6,<2.14"', '"torch>=99", "no-such-package>=1"'))
    code, text = kata("doctor")
    text = " ".join(text.split())
    assert code == 1 and "5 to mend" in text, text
    for part in (
        "is not the file that config.json describes do this: git checkout -- data/sorted_list/",
        "dataset.py is missing do this: kata stubs sorted_list",
        "set OMP_NUM_THREADS to a number from 1 to",
        "the course is made with >=99 do this: pip install -e .",
        "no-such-package is missing",
    ):
        assert part in text
    assert [p.name for p in (course.root / ".kata").iterdir()] == [], "the probe is gone"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_doctor_tells_of_folders_that_cannot_be_written(course, kata):
    course.exercises.chmod(0o555)
    try:
        assert "chmod u+rwx" in kata("doctor")[1]
    finally:
        course.exercises.chmod(0o755)


# -- once, help, start


def test_once_says_and_exits(course, project):
    def once(*more):
        command = [sys.executable, "-P", "-m", "kata.cli", "watch", "--once", *more]
        return subprocess.run(command, cwd=course.root, capture_output=True, text=True, timeout=120)

    done = once()
    assert done.returncode == 1 and done.stdout.startswith("· todo  sorted_list.make_sorting_tokens")
    write_function(file_of(course), "make_sorting_tokens", RIGHT)
    done = once("make_sorting_tokens", "--cold")
    assert done.returncode == 0 and done.stdout.startswith("✓ passed") and done.stderr == ""
    assert (
        standings(Progress(course), Submission(course.exercises), everything(course))["sorted_list.make_sorting_tokens"]
        == "passed"
    )
    done = once("no_such_exercise")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "there is no exercise" in done.stderr


def test_code_that_takes_the_process_with_it_is_broken_not_ours(course):
    write_function(file_of(course), "make_sorting_tokens", "    import os\n    os._exit(0)")
    command = [sys.executable, "-P", "-m", "kata.cli", "watch", "--once"]
    done = subprocess.run(command, cwd=course.root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "ended its whole process (exit code 0)" in done.stdout


def test_the_course_must_be_there(course, kata):
    import shutil

    shutil.rmtree(course.exercises)
    code, text = kata("watch")
    assert code == 2 and "kata stubs" in text


def test_commands_that_need_no_model_import_none(course):
    code = (
        "import sys; from kata import cli\n"
        "sys.argv = ['kata', *sys.argv[1:]]\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'transformer_lens', 'plotly', 'numpy') if m in sys.modules])"
    )
    for command in (["list"], ["next"], ["show"], ["--help"], ["diff", "qk_tables", "--spoil"]):
        done = subprocess.run([sys.executable, "-c", code, *command], cwd=course.root, capture_output=True, text=True)
        assert done.stdout.endswith("[]\n"), (command, done.stdout, done.stderr)
