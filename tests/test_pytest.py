"""`pytest checks` as a learner runs it, in a process of its own."""

import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from conftest import PROJECT, put

from kata.stubs import stub


def run(*args, cwd=PROJECT.root):
    environment = {**os.environ, "COLUMNS": "120", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    environment.pop("PYTEST_CURRENT_TEST", None)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *args]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def fresh(tmp_path):
    """A submission as a fresh clone has it: stubs only."""
    for set_name in PROJECT.sets:
        for file in PROJECT.files(set_name):
            source = PROJECT.solutions / set_name / f"{file}.py"
            if source.is_file():
                path = tmp_path / "mine" / set_name / source.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(stub(source.read_text(encoding="utf-8")), encoding="utf-8")
    return tmp_path / "mine"


def test_a_fresh_clone_is_all_todo_and_says_where_to_start(fresh):
    began = time.monotonic()
    code, text = run("checks", f"--submission={fresh}")
    assert code == 0, text
    assert "failed, " in text and " 0 failed" in text
    assert "start here: 1. make_sorting_tokens" in text
    assert re.search(r"dataset\.py:\d+", text)
    for set_name in PROJECT.sets:
        assert re.search(rf"{set_name}\s+·+  0 passed, 0 failed, {len(PROJECT.catalog(set_name))} todo", text)
    assert time.monotonic() - began < 20, "nothing heavy is imported to say todo"


def test_nothing_heavy_is_imported_for_stubs(fresh):
    code = (
        "import sys, pytest;"
        "code = pytest.main(['checks', '-q', '--submission', sys.argv[1], '-p', 'no:cacheprovider']);"
        "print('heavy:', 'torch' in sys.modules); sys.exit(code)"
    )
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(fresh)], cwd=PROJECT.root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and "heavy: False" in done.stdout, done.stdout + done.stderr


def test_selection_works_as_pytest_users_expect(fresh):
    code, text = run("checks/test_sorted_list.py", "-k", "ov_tables or qk_tables", f"--submission={fresh}")
    assert code == 0 and "2 todo" in text
    code, text = run("checks/test_sorted_list.py::ov_tables", f"--submission={fresh}")
    assert code == 0 and "1 todo" in text
    code, text = run("checks", "--collect-only", "-q")
    assert "checks/test_sorted_list.py::make_sorting_tokens" in text


def test_a_pass_a_failure_and_a_broken_file(fresh):
    circuits = fresh / "sorted_list" / "circuits.py"
    text = put(
        circuits.read_text(),
        "ov_tables",
        """
        ovu = model.W_V[0, 0] @ model.W_O[0, 0] @ model.W_U
        return model.W_E @ ovu, model.W_pos @ ovu
    """,
    )
    text = put(
        text,
        "qk_tables",
        """
        parts = {"tok": model.W_E, "pos": model.W_pos}
        return {f"{a}_{b}": parts[a] @ model.W_Q[0, 0] @ model.W_K[0, 0].T @ parts[b].T for a in parts for b in parts}
    """,
    )
    circuits.write_text(text)
    (fresh / "sorted_list" / "ablation.py").write_text("def broken(:\n")
    code, said = run("checks/test_sorted_list.py", f"--submission={fresh}")
    assert code == 1
    assert re.search(r"✓ sorted_list.ov_tables: .*\d+%", said)
    failure = said[said.index("sorted_list.qk_tables ___") :]
    headline, evidence, following = (failure.index(x) for x in ("11.3 times too large", "got", "hints under"))
    assert headline < evidence < following, "headline, evidence, next step, in this order"
    failures = said[said.index("= FAILURES =") : said.index("= circuit-kata =")]
    assert failures.count("SyntaxError: invalid syntax") == 1, "one message for a file"
    assert "(see above)" in said
    assert "kata/" not in said and "Traceback" not in said
    assert "▒" in said and "█" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["checks", "--submission", "no_such_folder"], "there is no such folder"),
        (["checks", "--checkpoint", "no_such_file.pt", "--submission=solutions"], "there is no checkpoint at"),
    ],
)
def test_bad_options_get_one_line(arguments, says):
    code, text = run(*arguments, "-k", "make_sorting_tokens")
    assert code == 4 and says in text and "Traceback" not in text


def test_an_instructors_checkpoint_takes_the_place_of_the_shown_one(tmp_path):
    shutil.copy(PROJECT.data / "sorted_list" / "sibling.safetensors", tmp_path / "mine.safetensors")
    code, text = run(
        "checks/test_sorted_list.py", "--submission=solutions", f"--checkpoint=sorted_list={tmp_path}/mine.safetensors",
        "-k", "ov_tables or successor",
    )  # fmt: skip
    assert code == 0, text
    import json

    known = json.loads((PROJECT.data / "sorted_list" / "facts.json").read_text())["checkpoints"]["sibling"]
    assert f"{known['successor_fraction']:.0%} of the numbers" in text, "the figures are those of the file"


def test_the_solutions_pass():
    code, text = run("checks", "--submission", "solutions")
    assert code == 0, text[-3000:]
    assert "all of it passed" in text
