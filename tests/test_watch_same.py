"""The warm process says what a plain cold run says: over every solution and every known mistake of each set."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from kata import preload
from kata.warm import Warm

SETS = ["sorted_list", "trigrams"]


def plain(verdict: dict) -> dict:
    return {k: v for k, v in verdict.items() if k != "seconds"}


def with_mistake(folder, set_name, exercise, mistake):
    """A submission whose one function makes this mistake."""
    path = folder / mistake.name / set_name / exercise.file
    path.parent.mkdir(parents=True)
    path.write_text(
        f"def {exercise.name}(*args, **kwargs):\n"
        f"    from checks.mistakes import {set_name}\n"
        f"    return {set_name}.{mistake.name}.function(*args, **kwargs)\n"
    )
    return folder / mistake.name


@pytest.fixture(scope="module")
def warm(project):
    settings = {"root": str(project.root), "sets": SETS}
    notes = []
    made = Warm("kata.preload:prepare", settings, on_note=notes.append)
    made.start()
    yield made
    made.close()
    assert all("error" not in note for note in notes), notes


def cold_grader(project, submission, course):
    from kata.grade import Grader
    from kata.submission import Submission

    grader = Grader(project, Submission(submission))
    grader._courses[course.set] = course
    return grader


def warm_verdict(warm, submission, exercise):
    result = warm.run("kata.preload:verdict", preload.request(submission, exercise.id), seconds=120)
    assert result.ok, result
    return json.loads(result.value)


@pytest.mark.parametrize("set_name", SETS)
def test_warm_and_cold_agree(project, course_of, warm, tmp_path, set_name):
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    course = course_of(set_name)
    seen = set()
    beside = ThreadPoolExecutor(1)
    try:
        for exercise in course.exercises:
            wrong = [with_mistake(tmp_path, set_name, exercise, m) for m in course.mistakes[exercise.name]]
            for submission in (project.solutions, project.exercises, *wrong):
                running = beside.submit(warm_verdict, warm, submission, exercise)
                cold = cold_grader(project, submission, course).verdict(exercise).to_dict()
                hot = running.result()
                assert plain(hot) == plain(cold), submission
                seen.add((hot["status"], bool(hot["mistake"])))
                assert submission is not project.solutions or hot["status"] == "passed"
    finally:
        torch.set_num_threads(threads)
        beside.shutdown()
    assert {("passed", False), ("failed", True)} <= seen


@pytest.mark.parametrize("mode", ["standby", "cold"])
def test_the_other_modes_agree_too(project, warm, tmp_path, course_of, mode):
    """A whole process each, so only a pass, a named mistake and a file that is not there."""
    exercise = project.exercise("sorted_list.qk_tables")
    wrong = with_mistake(tmp_path, "sorted_list", exercise, course_of("sorted_list").mistakes["qk_tables"][0])
    other = Warm("kata.preload:prepare", {"root": str(project.root), "sets": ["sorted_list"]}, mode=mode)
    try:
        for submission in (project.solutions, wrong, tmp_path):
            assert plain(warm_verdict(other, submission, exercise)) == plain(warm_verdict(warm, submission, exercise))
    finally:
        other.close()
    assert other.mode == mode


def test_runs_do_not_know_of_each_other(project, warm, tmp_path):
    """What one run does to torch, to the course in memory and to its models is gone in the next."""
    exercise = project.exercise("sorted_list.qk_tables")
    before = warm_verdict(warm, project.solutions, exercise)
    path = tmp_path / "sorted_list" / exercise.file
    path.parent.mkdir()
    path.write_text(
        "import torch, sys\n"
        "torch.allclose = torch.equal = lambda *a, **k: True\n"
        "from kata import preload, judge, compare\n"
        "preload.COURSES.clear(); judge.judge = compare.compare = None\n"
        "torch.set_default_dtype(torch.float64)\n"
        f"def {exercise.name}(model):\n"
        "    for p in model.parameters(): p.data.zero_()\n"
        "    raise ValueError('done')\n"
    )
    warm.run("kata.preload:verdict", preload.request(tmp_path, exercise.id), seconds=120)
    assert plain(warm_verdict(warm, project.solutions, exercise)) == plain(before)
    assert before["status"] == "passed"
