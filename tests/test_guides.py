"""The guides run from top to bottom: in a fresh kernel with the solutions, and with every function still to write."""

import os
import re
import time
from pathlib import Path

import pytest
from conftest import PROJECT

from kata import guide as module
from kata.guide import Functions, Guide, NotYet
from kata.project import KataError

SECONDS = 60  # of processor time for one guide
OFFLINE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "OMP_NUM_THREADS": "1"}
GUIDES = PROJECT.root / "guides"
STAMP = "import time; print('processor', time.process_time())"


def cells(set_name):
    import jupytext

    return jupytext.read(GUIDES / f"{set_name}.py").cells


@pytest.mark.parametrize("set_name", PROJECT.sets)
def test_guide_has_every_figure_and_asks_before_each(set_name, course_of):
    drawn, before = [], ""
    for cell in cells(set_name):
        if cell.cell_type == "code" and "guide.draw(" in cell.source:
            assert "**Predict.**" in before, f"no question before {cell.source}"
            drawn += re.findall(r'guide\.draw\("(\w+)"', cell.source)
        before = cell.source if cell.cell_type == "markdown" else ""
    declared = [f.name for figures in course_of(set_name).figures.values() for f in figures]
    assert sorted(drawn) == sorted(declared)
    assert "Colab:" in cells(set_name)[0].source and "VS Code" in cells(set_name)[0].source


@pytest.mark.parametrize("set_name", PROJECT.sets)
def test_guide_runs_in_a_kernel_against_the_solutions(set_name, monkeypatch, course_of):
    pytest.importorskip("nbclient")
    import jupytext
    from nbformat.v4 import new_code_cell

    for name, value in {**OFFLINE, "SUBMISSION": "solutions"}.items():
        monkeypatch.setenv(name, value)
    made = jupytext.read(GUIDES / f"{set_name}.py")
    made.cells.append(new_code_cell(STAMP))
    module.execute(made, PROJECT)
    outputs = [o for c in made.cells if c.cell_type == "code" for o in c.outputs]
    figures = [o for o in outputs if "application/vnd.plotly.v1+json" in o.get("data", {})]
    number = sum(max(1, len(f.on)) for fs in course_of(set_name).figures.values() for f in fs)
    assert len(figures) >= number
    for output in outputs:
        assert output.output_type != "error"
        data = output.get("data", {})
        assert "⚠" not in data.get("text/markdown", ""), data["text/markdown"]
        assert "unpkg.com" not in data.get("text/html", "") and "cdn.plot.ly" not in data.get("text/html", "")
        assert "written yet" not in output.get("text", "")
        assert len(data.get("text/plain", "...")) > 2
    seconds = float(re.search(r"processor ([\d.]+)", outputs[-1]["text"])[1])
    assert seconds < SECONDS


@pytest.mark.parametrize("set_name", PROJECT.sets)
def test_guide_goes_on_where_functions_are_not_written(set_name, tmp_path, monkeypatch, capsys):
    """Every cell is run in this process, with stubs: it says which function is missing, and does not stop."""
    shown, printed = walk(set_name, stubs(set_name, tmp_path), monkeypatch, capsys)
    told = [line for line in shown if re.fullmatch(r"\*\w+ is not written yet: .*:\d+\*", line)]
    draws = sum(cell.source.count("guide.draw(") for cell in cells(set_name))
    assert len(told) >= draws and len(shown) == len(told)
    assert "is not written yet: " in printed and "Traceback" not in printed


@pytest.mark.parametrize("set_name", PROJECT.sets)
def test_guide_goes_on_where_files_are_broken(set_name, tmp_path, monkeypatch, capsys):
    folder = stubs(set_name, tmp_path)
    for file in (folder / set_name).glob("*.py"):
        file.write_text(file.read_text(encoding="utf-8") + "\ndef half(:\n", encoding="utf-8")
    shown, printed = walk(set_name, folder, monkeypatch, capsys)
    assert shown and all(line == "*invalid syntax*" for line in shown)
    assert "invalid syntax" in printed and "Traceback" not in printed


def stubs(set_name, tmp_path):
    """A submission in which nothing is written yet."""
    from kata.stubs import stub

    for file in (PROJECT.solutions / set_name).glob("*.py"):
        target = tmp_path / "stubs" / set_name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(stub(file.read_text(encoding="utf-8")), encoding="utf-8")
    return tmp_path / "stubs"


def walk(set_name, folder, monkeypatch, capsys):
    """Run a guide's cells one after the other; returns the texts that it showed, and what it printed."""
    monkeypatch.setenv("SUBMISSION", str(folder))
    shown: list = []
    monkeypatch.setattr("IPython.display.display", lambda *things, **_: shown.extend(things))
    names: dict = {}
    for cell in cells(set_name):
        if cell.cell_type == "code":
            exec(compile(cell.source, "cell", "exec"), names)
    return [s.data for s in shown if isinstance(getattr(s, "data", None), str)], capsys.readouterr().out


# -- the learner's functions


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine" / "sorted_list" / "circuits.py"
    path.parent.mkdir(parents=True)

    def write(body):
        text = f"LIMIT = 7\n\ndef successor_fraction(tok_tok):\n    {body}\n"
        path.write_text(text, encoding="utf-8")
        later = time.time_ns() + len(text)  # two saves within a tick of the clock must differ
        os.utime(path, ns=(later, later))

    write("return 0.25")
    functions = Functions(PROJECT, "sorted_list", tmp_path / "mine")
    return functions, write


def test_a_saved_file_is_used_at_the_next_call(mine):
    functions, write = mine
    held = functions.successor_fraction
    assert held(None) == 0.25
    write("return 0.75")
    assert held(None) == 0.75 == functions.successor_fraction(None)


def test_what_is_missing_is_said_in_one_line(mine):
    functions, write = mine
    with pytest.raises(NotYet, match=r"has no function `ov_tables`"):
        functions.ov_tables(None)
    write("return 0.25 +")
    with pytest.raises(NotYet, match="invalid syntax"):
        functions.successor_fraction(None)
    write("raise NotImplementedError")
    with pytest.raises(NotYet, match=r"successor_fraction is not written yet: .*circuits.py:3"):
        functions.successor_fraction(None)
    with pytest.raises(AttributeError, match="did you mean `successor_fraction`"):
        _ = functions.successor_fractions


def test_helpers_and_names_of_the_files_are_there():
    functions = Functions(PROJECT, "sorted_list", PROJECT.solutions)
    assert functions.BOS == 50 and callable(functions.predict_with_smooth_table)
    assert "ov_tables" in dir(functions)


def test_an_error_in_the_learners_file_is_told_and_one_in_the_cell_is_not_hidden(mine, tmp_path, capsys):
    _, write = mine
    write("return tok_tok.nonsense")
    guide = Guide("sorted_list", str(tmp_path / "mine"))
    with guide.attempt():
        guide.functions.successor_fraction(3)
    out = capsys.readouterr().out
    assert "circuits.py:4: AttributeError: 'int' object has no attribute 'nonsense'" in out
    assert "return tok_tok.nonsense" in out
    with pytest.raises(ZeroDivisionError), guide.attempt():
        _ = 1 / 0


def test_a_guide_for_a_folder_that_is_not_there():
    with pytest.raises(KataError, match="there is no folder nowhere"):
        Guide("sorted_list", "nowhere")


# -- the notebook


def test_notebook_is_made_one_way_and_never_lost(tmp_path):
    import json

    path = tmp_path / "new" / "sorted_list.ipynb"
    module.notebook(PROJECT, "sorted_list", path)
    made = json.loads(path.read_text(encoding="utf-8"))
    assert made["metadata"]["kernelspec"]["name"] == "python3" and "jupytext" not in made["metadata"]
    assert all(not c.get("outputs") for c in made["cells"])
    with pytest.raises(KataError, match="is there already"):
        module.notebook(PROJECT, "sorted_list", path)
    path.write_text(path.read_text(encoding="utf-8").replace("**Predict.**", "**My guess: 3.**"), encoding="utf-8")
    module.notebook(PROJECT, "sorted_list", path, overwrite=True)
    assert "My guess" in path.with_suffix(".before.ipynb").read_text(encoding="utf-8")
    assert "My guess" not in path.read_text(encoding="utf-8")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jupytext", None)
    with pytest.raises(KataError, match=r"pip install -e '\.\[guide\]'"):
        module.notebook(PROJECT, "sorted_list", Path(tmp_path / "x.ipynb"))


def test_no_notebook_is_committed():
    assert not [p for p in PROJECT.root.glob("**/*.ipynb") if "guides" not in p.parts and ".venv" not in p.parts]
    ignored = (PROJECT.root / ".gitignore").read_text(encoding="utf-8").split()
    assert "guides/*.ipynb" in ignored and "docs/gallery.html" in ignored
