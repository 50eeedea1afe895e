"""The instructor's desk: intake, marks, outputs, resuming, merging, pages."""

import csv
import functools
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
import zipfile

import pytest
import torch
from conftest import PROJECT
from test_classroom_hostile import FOLDER, LIMITS, NAMES, SET, lay, source, timeless

from kata.calls import MODEL, Call, Outcome, call, hooked
from kata.classroom import handover, intake, results, rubric
from kata.classroom.batch import course_digest as COURSE_DIGEST
from kata.classroom.text import clean
from kata.plain import Foreign, encode
from kata.project import KataError

LINUX = pytest.mark.skipif(os.uname().sysname != "Linux", reason="a class is graded on Linux")
FILES = {f"{SET}/dataset.py": b"x = 1\n", f"{SET}/circuits.py": b"y = 2\n"}


# -- intake


def names(paths):
    return [e.name for e in intake.find(paths, PROJECT)]


def taken(path, tmp_path):
    (entry,) = intake.find([path], PROJECT)
    got = intake.take(entry, tmp_path / "taken", PROJECT)
    return got, sorted(str(p.relative_to(tmp_path / "taken")) for p in (tmp_path / "taken").rglob("*.py"))


@pytest.mark.parametrize("where", ["", "exercises", "repository/exercises", "a/b/c/d", SET])
def test_a_folder_of_any_depth(tmp_path, where):
    files = {k.removeprefix(f"{SET}/"): v for k, v in FILES.items()} if where == SET else FILES
    path = lay(tmp_path / "anna" / where, files)
    got, copied = taken(path if where == SET else tmp_path / "anna", tmp_path)
    assert got.problem == "" and copied == sorted(FILES)


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
@pytest.mark.parametrize("where", ["", "submission_1/exercises/"])
def test_an_archive(tmp_path, ending, where):
    path = tmp_path / f"anna.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w") as z:
            for name, data in FILES.items():
                z.writestr(where + name, data)
    else:
        mode = "w:" + ending.partition(".")[2]
        with tarfile.open(path, mode) as t:
            for name, data in FILES.items():
                info = tarfile.TarInfo(where + name)
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
    got, copied = taken(path, tmp_path)
    assert got.problem == "" and copied == sorted(FILES)


def test_a_class_is_found_where_platforms_put_it(tmp_path):
    lay(tmp_path / "export" / "assignment_1" / "submission_7" / "exercises", FILES)
    lay(tmp_path / "export" / "assignment_1" / "submission_8", FILES)
    (tmp_path / "export" / "assignment_1" / "Zoë_9_file.zip").write_bytes(b"")
    found = names([tmp_path / "export"])
    assert [n for n in found if n.startswith("submission")] == ["submission_7", "submission_8"] and len(found) == 3
    assert names([tmp_path / "export/assignment_1/submission_7", tmp_path / "export/assignment_1/submission_8"]) == [
        "submission_7", "submission_8",
    ]  # fmt: skip


def test_a_repository_is_graded_by_its_exercises(tmp_path):
    lay(tmp_path / "anna" / "exercises", FILES)
    lay(tmp_path / "anna" / "solutions", {f"{SET}/dataset.py": b"answers = 1\n"})
    lay(tmp_path / "anna" / "backup" / "exercises", {f"{SET}/dataset.py": b"old = 1\n"})
    got, copied = taken(tmp_path / "anna", tmp_path)
    assert copied == sorted(FILES)
    assert (tmp_path / "taken" / SET / "dataset.py").read_bytes() == b"x = 1\n"
    assert "exercises was graded" in got.notes[0]


def test_names_are_safe_and_differ(tmp_path):
    for name in ("a/b", "Anna", "anna ", "a..", "x" * 200, "a?b", "a*b"):
        lay(tmp_path / "class" / name.replace("/", "_"), FILES)
    found = names([tmp_path / "class"])
    assert len({n.casefold() for n in found}) == len(found) == 7
    assert all(re.fullmatch(r"[\w.\- ]{1,90}", n) and not n.startswith(".") for n in found)


@pytest.mark.parametrize("make", ["missing", "a file", "nothing"])
def test_what_cannot_be_graded_is_one_line(tmp_path, make):
    path = tmp_path / "it"
    if make == "a file":
        path.write_text("x")
    elif make == "nothing":
        path.mkdir()
    with pytest.raises(KataError) as error:
        intake.find([path], PROJECT)
    assert "\n" not in str(error.value) and "it" in str(error.value)


# -- the hand-over


CALLS = [
    call("a label", model=MODEL, tokens=torch.arange(6).view(2, 3), n=2, name="x", keep=["a", "b"]),
    call(then=({"x": 1.5}, {"x": torch.ones(2)}), shape=(1, 2)),
    call(generator=torch.Generator().manual_seed(3), table={"a": torch.eye(2)}),
    hooked("blocks.0.z", "blocks.1.z", tokens=torch.zeros(1, 2).long(), forward={"return_type": "logits"}, h=1),
]


def test_calls_survive_the_crossing():
    blob = handover.write_calls({"seconds": 2.5}, [("set/shown", CALLS)])
    head, ((key, back),) = handover.read_calls(blob)
    assert head == {"seconds": 2.5} and key == "set/shown"
    for old, new in zip(CALLS, back, strict=True):
        assert repr(old.args.keys()) == repr(new.args.keys()) and new.label == old.label
        assert [v is MODEL for v in old.args.values()] == [v is MODEL for v in new.args.values()]
        assert len(old.then) == len(new.then) and old.describe() == new.describe()
    assert back[0].args["tokens"].equal(CALLS[0].args["tokens"]) and back[0].args["keep"] == ["a", "b"]
    assert back[1].args["shape"] == (1, 2) and back[1].then[0]["x"] == 1.5
    assert back[3].hook == type(back[3].hook)(CALLS[3].hook.points, back[3].hook.tokens, {"return_type": "logits"})
    generators = [c[2].args["generator"] for c in (CALLS, back)]
    assert torch.rand(3, generator=generators[0].clone_state()).equal(torch.rand(3, generator=generators[1]))


@pytest.mark.parametrize("set_name", PROJECT.sets)
def test_every_call_of_the_course_can_cross(set_name, course_of):
    course = course_of(set_name)
    for exercise in course.exercises:
        for _, calls in course.plan(exercise.name):
            _, ((_, back),) = handover.read_calls(handover.write_calls({}, [("k", calls)]))
            for old, new in zip(calls, back, strict=True):
                assert [type(v) for v in old.args.values()] == [type(v) for v in new.args.values()]
                assert (old.hook is None) == (new.hook is None)


def test_outcomes_survive_the_crossing():
    rows = [[Outcome("ok", {"a": torch.eye(3)}, seconds=0.5, printed="x")], [Outcome("error"), Outcome("skipped")]]
    back = handover.read_outcomes(handover.open_blob(handover.write_outcomes(rows)), [1, 2])
    assert back[0][0].value["a"].equal(torch.eye(3)) and back[0][0].printed == "x"
    assert [o.status for o in back[1]] == ["error", "skipped"]


def outcome(**changes):
    good = {"status": "ok", "value": 1, "error": None, "changed": [], "hooks_left": [], "reseeded": False}
    return [[{**good, "printed": "", "seconds": 0.1, **changes}]]


@pytest.mark.parametrize(
    "rows",
    [
        [], [[]], outcome() * 2, [outcome()[0] * 2], "ok", None, 7, {"cannot": 1}, [[None]], [["ok"]],
        outcome(status="passed"), outcome(status=["ok"]), outcome(status="skipped"), outcome(changed="model"),
        outcome(changed=[1]), outcome(hooks_left=None), outcome(error="no"), [[{}]],
    ],
)  # fmt: skip
def test_a_malformed_hand_over_is_refused(rows):
    with pytest.raises(handover.Malformed):
        handover.read_outcomes(handover.open_blob(encode(rows)), [1])


@pytest.mark.parametrize(
    "value",
    [torch.zeros(2).to(torch.float8_e4m3fn), [[0]] * 150_000, functools.reduce(lambda v, _: [v], range(18), 1)],
)  # fmt: skip
def test_values_beyond_the_limits_are_refused(value):
    with pytest.raises(handover.Malformed):
        handover.open_blob(encode(value))


def test_values_are_made_harmless():
    value = handover.open_blob(encode(["\x1b[31m\0\u202e", 10**30, Foreign("a\x1bb", "c")]))
    assert value == ["\ufffd[31m\ufffd\ufffd", Foreign("int", "too large"), Foreign("a\ufffdb", "c")]


@pytest.mark.parametrize("blob", [b"", b"x" * 100, (1 << 40).to_bytes(8, "little") + b"{}", b"\0" * 64])
def test_bytes_that_are_no_hand_over_are_refused(blob):
    with pytest.raises(handover.Malformed):
        handover.open_blob(blob)


def test_a_call_has_no_field_that_is_lost():
    """Whatever a Call may carry goes through `write_calls`."""
    blob = handover.write_calls({}, [("k", [Call({}, label="x")])])
    _, ((_, (back,)),) = handover.read_calls(blob)
    assert back == Call({}, label="x")


def test_text_is_clean():
    assert clean("a\x1b[1mb\x07\n<x> at 0x7f00aa11ee22") == "a\ufffd[1mb\ufffd\n<x> at 0x..."
    assert clean(7) == "" and len(clean("x" * 10**6)) <= 4000


# -- points


def write(tmp_path, text):
    path = tmp_path / "rubric.toml"
    path.write_text(text)
    return path


def verdict(status, score=0.0):
    from kata.verdict import Verdict

    return Verdict(SET, "qk_tables", status, "", score=score)


def test_points_come_from_the_ratings():
    marks = rubric.read(None, PROJECT)
    exercise = PROJECT.exercise(f"{SET}.qk_tables")
    assert marks.most(exercise) == exercise.difficulty * exercise.importance
    assert marks.earned(exercise, verdict("passed", 1.0)) == marks.most(exercise)
    assert marks.earned(exercise, verdict("passed", 0.5)) == marks.most(exercise) / 2
    for status in ("failed", "todo", "broken", "timed out", "grader error"):
        assert marks.earned(exercise, verdict(status)) == 0
    assert marks.earned(exercise, verdict("grader error", 1.0)) == 0
    assert marks.earned(exercise, verdict("passed", float("nan"))) == 0


def test_a_rubric(tmp_path):
    text = f'scale = 50\nrequired = ["{SET}"]\npartial = false\n[points]\ndefault = 1\n"{SET}.qk_tables" = 6\n'
    marks = rubric.read(write(tmp_path, text), PROJECT)
    exercises = PROJECT.catalog(SET) + PROJECT.catalog(PROJECT.sets[-1])
    exercise = PROJECT.exercise(f"{SET}.qk_tables")
    assert marks.earned(exercise, verdict("passed", 0.5)) == 6
    assert not marks.extra(exercise) and marks.extra(PROJECT.catalog(PROJECT.sets[-1])[0])
    assert marks.factor(exercises) == pytest.approx(50 / (len(PROJECT.catalog(SET)) - 1 + 6))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scale = ", "rubric"), ("scale = -1", "number of points"), ('scale = "a"', "number of points"),
        ("pionts = 1", "did you mean `points`"), (f'required = ["{SET}x"]', f"did you mean `{SET}`"),
        (f'[points]\n"{SET}.qk_table" = 1', "did you mean"), ("partial = 1", "true or false"),
        ("[points]\ndefault = true", "number"),
    ],
)  # fmt: skip
def test_a_bad_rubric_is_one_line(tmp_path, text, says):
    with pytest.raises(KataError) as error:
        rubric.read(write(tmp_path, text), PROJECT)
    assert says in str(error.value) and "\n" not in str(error.value)


# -- a small class, graded once


@pytest.fixture(scope="module", autouse=True)
def the_same_course():
    """Somebody may be at work on the course while its tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kata.classroom.batch.course_digest", lambda *_: "the course")
        yield


def test_the_course_digest_sees_a_changed_check(tmp_path):
    from dataclasses import replace

    checks = tmp_path / "checks"
    checks.mkdir()
    (checks / "test_x.py").write_text("a")
    project = replace(PROJECT, checks=checks)
    before = COURSE_DIGEST(project, [SET])
    (checks / "test_x.py").write_text("b")
    assert COURSE_DIGEST(project, [SET]) != before


@pytest.fixture(scope="module")
def class_(tmp_path_factory):
    from kata.classroom import grading

    top = tmp_path_factory.mktemp("small") / "class"
    lay(top / "anna", source(*NAMES))
    wrong = source("ov_tables")
    body = b"return torch.zeros(len(lists), 22, dtype=torch.long)"
    stub = wrong[f"{SET}/dataset.py"].replace(b"raise NotImplementedError", body, 1)
    for name in ("ben", "carl"):
        lay(top / name, {**wrong, f"{SET}/dataset.py": stub})
    lay(top / "dora", source())
    out = top.parent / "results"
    said = []
    errors = grading.run(PROJECT, [top], out, sets=[SET], seed=11, workers=2, limits=LIMITS, say=said.append)
    assert errors == 0
    return top, out, said


def tree(out):
    return {str(p.relative_to(out)): timeless(p.read_text()) for p in sorted(out.rglob("*")) if p.is_file()}


@LINUX
def test_marks(class_):
    _, out, _ = class_
    rows = list(csv.DictReader((out / "class.csv").open(encoding="utf-8")))
    assert [r["submission"] for r in rows] == ["anna", "ben", "carl", "dora"]
    e = {x.name: x.difficulty * x.importance for x in PROJECT.catalog(SET)}
    assert [float(r["points"]) for r in rows] == [e[NAMES[0]] + e[NAMES[1]], e[NAMES[1]], e[NAMES[1]], 0]
    assert all(float(r["out of"]) == sum(e.values()) for r in rows)
    assert rows[1][f"{SET}.make_sorting_tokens status"] == "failed"


@LINUX
def test_results_json_is_gradescopes(class_):
    data = json.loads((class_[1] / "submissions" / "ben" / "results.json").read_text())
    assert data["score"] == sum(t["score"] for t in data["tests"])
    assert all(t["status"] in ("passed", "failed") and t["max_score"] >= t["score"] >= 0 for t in data["tests"])
    assert data["extra_data"]["run"]["seed"] == 11
    known = {"name", "name_format", "number", "score", "max_score", "status", "output", "output_format", "tags",
             "visibility", "extra_data"}  # fmt: skip
    assert all(set(t) == known for t in data["tests"])


@LINUX
def test_junit(class_):
    root = ET.parse(class_[1] / "submissions" / "ben" / "junit.xml").getroot()
    (suite,) = root
    assert suite.get("tests") == str(len(PROJECT.catalog(SET))) and suite.get("failures") == "1"
    assert len(suite.findall("testcase/skipped")) == int(suite.get("skipped")) == len(PROJECT.catalog(SET)) - 2


@LINUX
def test_the_class_page(class_):
    page = (class_[1] / "index.html").read_text()
    for name in ("anna", "ben", "carl", "dora"):
        assert f'href="submissions/{name}/page.html"' in page
    assert "2 of 3 stumble" in page
    groups = page[page.index('id="groups"') :]
    assert "ben" in groups and "carl" in groups and "anna" not in groups


@LINUX
def test_the_submission_page_shows_the_difference(class_):
    page = (class_[1] / "submissions" / "ben" / "page.html").read_text()
    assert page.count("data:image/png;base64,") >= 3
    for label in ("yours", "reference", "difference"):
        assert f'title="{label}: ' in page
    assert len(page) < 400_000


@LINUX
def test_grading_twice_gives_the_same_and_resuming_grades_nothing(class_, tmp_path):
    from kata.classroom import grading

    top, out, _ = class_
    before = tree(out)
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("results.json")}
    said = []
    grading.run(PROJECT, [top], out, sets=[SET], limits=LIMITS, workers=1, say=said.append)
    assert sum("graded before" in s for s in said) == 4
    assert {p: p.stat().st_mtime_ns for p in out.rglob("results.json")} == stamps and tree(out) == before
    again = tmp_path / "again"
    shutil.copytree(out, again)
    shutil.rmtree(again / "submissions" / "ben")
    (again / "submissions" / "carl" / "results.json").write_text("{")
    said = []
    grading.run(PROJECT, [top], again, sets=[SET], limits=LIMITS, workers=2, say=said.append)
    assert sum("graded before" in s for s in said) == 2
    assert tree(again) == before


@LINUX
def test_another_seed_or_a_foreign_folder_is_refused(class_, tmp_path):
    from kata.classroom import grading

    top, out, _ = class_
    with pytest.raises(KataError, match="--fresh"):
        grading.run(PROJECT, [top], out, sets=[SET], seed=12, limits=LIMITS, say=lambda text: None)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(KataError, match="not empty"):
        grading.run(PROJECT, [top], tmp_path, sets=[SET], seed=12, limits=LIMITS, say=lambda text: None)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@LINUX
def test_merging_gives_the_same_class(class_, tmp_path):
    from kata.classroom.book import merge

    _, out, _ = class_
    merge([out / "submissions"], tmp_path / "merged", PROJECT, "The class")
    for name in ("class.csv", "submissions/ben/results.json", "submissions/ben/page.html"):
        assert (tmp_path / "merged" / name).read_text() == (out / name).read_text()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "results.json").write_text('{"score": 100, "tests": []}')
    with pytest.raises(KataError, match="not a results"):
        merge([tmp_path / "bad"], tmp_path / "other", PROJECT, "")


@LINUX
def test_githubs_payload(class_):
    import base64

    result = results.from_json(class_[1] / "submissions" / "ben" / "results.json")
    data = json.loads(base64.b64decode(results.to_github(result)))
    assert data["status"] == "fail" and data["max_score"] == result.most
    assert sum(t["score"] for t in data["tests"]) == result.points


def test_no_formula_in_the_csv():
    result = results.Result("x", "=HYPERLINK(1)", [])
    assert "'=HYPERLINK(1)" in results.to_csv([result], [])


@LINUX
def test_without_namespaces_the_rest_still_holds(tmp_path):
    """What a container's default profile allows: a user of its own, limits, and a sweep by user."""
    from kata.classroom import grading

    if os.getuid() != 0:
        pytest.skip("needs root")
    cases = ("os_exit_in_call", "fork_bomb", "process_left_behind", "forged_outcomes", "memory_at_once")
    for name in cases:
        lay(
            tmp_path / "class" / name,
            {**source("ov_tables"), f"{SET}/dataset.py": (FOLDER / f"{name}.py").read_bytes()},
        )
    said = []
    without = ["network", "processes", "files"]
    out = tmp_path / "out"
    grading.run(
        PROJECT,
        [tmp_path / "class"],
        out,
        sets=[SET],
        seed=1,
        workers=2,
        limits=LIMITS,
        say=said.append,
        without=without,
    )
    assert any("refuses some fences: no network" in s for s in said)
    for name in cases:
        data = json.loads((out / "submissions" / name / "results.json").read_text())
        status = {t["name"]: t["extra_data"]["verdict"]["status"] for t in data["tests"]}
        must = re.search(r"^# must: (.*)$", (FOLDER / f"{name}.py").read_text(), re.M)[1]
        assert status[f"{SET}.make_sorting_tokens"] in must.split(", "), name
    from test_classroom_hostile import test_nothing_is_left_running

    test_nothing_is_left_running(None)


@LINUX
def test_a_user_without_rights_has_the_fences_too(tmp_path):
    """In a user namespace, as somebody who is not root."""
    command = ["unshare", "-U", "--map-user=1000", "--map-group=1000"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    cases = ("read_proc", "find_solutions", "kill_everyone", "delete_everything")
    for name in cases:
        code = (FOLDER / f"{name}.py").read_bytes()
        lay(tmp_path / "class" / name, {**source("ov_tables"), f"{SET}/dataset.py": code})
    out = tmp_path / "out"
    options = ["--set", SET, "--seconds", "1.5", "--total-seconds", "15", "--memory", "512", "--strict"]
    grade = [sys.executable, "-m", "kata.cli", "grade", str(tmp_path / "class"), "--out", str(out), *options]
    done = subprocess.run([*command, *grade], cwd=PROJECT.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in cases:
        data = json.loads((out / "submissions" / name / "results.json").read_text())
        assert {"network", "processes", "files", "limits"} <= set(data["extra_data"]["run"]["fences"])
        told = {t["name"]: t for t in data["tests"]}
        text = (FOLDER / f"{name}.py").read_text()
        status = told[f"{SET}.make_sorting_tokens"]["extra_data"]["verdict"]["status"]
        assert status in re.search(r"^# must: (.*)$", text, re.M)[1].split(", ")
        says = re.search(r"^# says: (.*)$", text, re.M)
        assert not says or says[1] in told[f"{SET}.make_sorting_tokens"]["output"]
        assert told[f"{SET}.ov_tables"]["status"] == "passed"


def test_a_changed_course_stops_the_grading_where_nothing_protects_it(tmp_path):
    from dataclasses import replace

    from kata.classroom.batch import Batch, Job

    checks = lay(tmp_path / "checks", {"test_x.py": b"a"})
    batch = Batch(Job(replace(PROJECT, checks=checks), [SET], 1, rubric.Rubric()))
    batch.checked(["limits", "network"])
    entry = intake.Entry("mallory", tmp_path)
    (checks / "test_x.py").write_bytes(b"a pass for all")
    batch.look_after(entry)
    assert "mallory" in batch.stop
    safe = Batch(Job(replace(PROJECT, checks=checks), [SET], 1, rubric.Rubric()))
    safe.checked(["limits", "network", "user"])
    (checks / "test_x.py").write_bytes(b"b")
    safe.look_after(entry)
    assert safe.stop == ""


@LINUX
def test_strict_refuses_where_a_fence_is_missing(tmp_path):
    from kata.classroom import grading

    lay(tmp_path / "anna", source())
    with pytest.raises(KataError, match="no network"):
        grading.run(
            PROJECT, [tmp_path / "anna"], tmp_path / "out", sets=[SET], limits=LIMITS, say=lambda text: None,
            strict=True, without=["network"],
        )  # fmt: skip


# -- the rest of the desk


def test_the_autograder_zip(tmp_path):
    from kata.classroom.autograder import write as make

    path = tmp_path / "a.zip"
    make(PROJECT, path, [SET], write(tmp_path, "scale = 10\n"))
    with zipfile.ZipFile(path) as archive:
        there = set(archive.namelist())
        archive.extractall(tmp_path / "source")
    assert {"setup.sh", "run_autograder", "rubric.toml", "course/pyproject.toml"} <= there
    assert f"course/solutions/{SET}/dataset.py" in there and "course/kata/classroom/templates/base.html.j2" in there
    for script in ("setup.sh", "run_autograder"):
        subprocess.run(["bash", "-n", tmp_path / "source" / script], check=True)
    assert f"--set {SET}" in (tmp_path / "source" / "run_autograder").read_text()


@LINUX
def test_run_autograder_always_leaves_a_result(tmp_path):
    """Gradescope's entry point, run as Gradescope lays its folders; and with a grader that cannot start."""
    from kata.classroom.autograder import _RUN

    lay(tmp_path / "source" / "course", {"x": b""})
    script = tmp_path / "run_autograder"
    script.write_text(_RUN.replace("OPTIONS", ""))
    environment = {**os.environ, "AUTOGRADER_ROOT": str(tmp_path), "KATA_BIN": "false"}
    subprocess.run(["bash", script], env=environment, check=True, capture_output=True)
    data = json.loads((tmp_path / "results" / "results.json").read_text())
    assert data["score"] == 0 and "not your mistake" in data["output"]


@pytest.fixture
def few_facts(course_of, monkeypatch):
    """The set's first facts with a threshold: all of them take their time, and a test of their own."""
    from kata.course import Course

    some = dict([(k, f) for k, f in course_of(SET).facts.items() if f.bounds][:2])
    monkeypatch.setattr(Course, "facts", property(lambda self: some))


def test_a_cohort_gets_its_own_weights_and_facts(tmp_path, few_facts):
    """With a trainer that copies: seeds, hashes, facts and the data folder are what is tested here."""
    from kata.checkpoints import checkpoints, sha256
    from kata.classroom import cohort

    trained = []

    def train(project, checkpoint, folder, tell):
        trained.append((checkpoint.name, checkpoint.seed))
        tell(1, 1, "done")
        return folder / f"{checkpoint.name}.safetensors"

    said = []
    out = tmp_path / "cohort"
    broken = cohort.make(PROJECT, SET, 5, out, [], said.append, train)
    assert broken == [] and any("hold on the fresh checkpoints" in s for s in said)
    old = checkpoints(PROJECT, SET)
    assert {n for n, _ in trained} == {c.name for c in old} and len({s for _, s in trained}) == len(old)
    assert not {s for _, s in trained} & {c.seed for c in old}
    fresh = checkpoints(cohort.data_of(PROJECT, out), SET)
    assert [(c.name, c.seed) for c in fresh] == trained and all(c.sha256 == sha256(c.path) for c in fresh)
    with pytest.raises(KataError, match="is there already"):
        cohort.make(PROJECT, SET, 5, out, [], said.append, train)


def test_a_cohort_says_which_fact_does_not_hold(tmp_path, few_facts):
    from safetensors.torch import load_file, save_file

    from kata.classroom import cohort

    def train(project, checkpoint, folder, tell):
        path = folder / f"{checkpoint.name}.safetensors"
        save_file({k: v * 0.5 for k, v in load_file(path).items()}, path)
        return path

    said = []
    broken = cohort.make(PROJECT, SET, 5, tmp_path / "cohort", ["sibling"], said.append, train)
    assert broken and all(line.startswith("sibling: ") for line in broken)
    assert any(s.startswith("does not hold: sibling") for s in said)


def test_the_review_shows_solutions_facts_and_mistakes(tmp_path, course_of):
    from kata.classroom.review import write as make

    out = tmp_path / "review.html"
    make(PROJECT, [SET], out)
    page = out.read_text(encoding="utf-8")
    course = course_of(SET)
    for exercise in course.exercises:
        assert f"<code>{exercise.name}</code>" in page
    assert all(f"<code>{f}</code>" in page for f in course.facts)
    assert all(f"<code>{m.name}</code>" in page for ms in course.mistakes.values() for m in ms)
    assert "w_ovu = model.W_V[0, 0] @" in page and "data-figure" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page[: page.index("<script>")] + page[page.index("</head>") :])


def test_the_learners_own_page(tmp_path):
    wrong = source("ov_tables")
    body = b"return torch.zeros(len(lists), 22, dtype=torch.long)"
    wrong[f"{SET}/dataset.py"] = wrong[f"{SET}/dataset.py"].replace(b"raise NotImplementedError", body, 1)
    lay(tmp_path / "mine", wrong)
    command = [sys.executable, "-m", "pytest", "-q", f"checks/test_{SET}.py", "--submission", str(tmp_path / "mine")]
    done = subprocess.run(
        [*command, "--report", str(tmp_path / "mine.html")], cwd=PROJECT.root, capture_output=True, text=True
    )
    assert done.returncode == 1 and "your page: " in done.stdout
    page = (tmp_path / "mine.html").read_text(encoding="utf-8")
    body = page[page.index("</head>") :]
    assert "1 passed, 1 failed" in body and body.count("data-figure=") >= 2 and "Hint 1" in body
    assert "default-src 'none'" in page
