"""Stubs, solutions, ratings, order, README headings, checks, mistakes and facts cannot drift apart."""

import json

import pytest
from conftest import PROJECT

from kata import readme, stubs

SETS = PROJECT.sets


def exercises_of(set_name):
    return [pytest.param(set_name, e.name, id=e.id) for e in PROJECT.catalog(set_name)]


EXERCISES = [p for s in SETS for p in exercises_of(s)]


def test_there_are_sets():
    assert SETS and SETS[0] == "sorted_list"


@pytest.mark.parametrize("set_name", SETS)
def test_readme_says_what_the_solutions_say(set_name):
    path = PROJECT.exercises / set_name / "README.md"
    assert readme.problems(path, PROJECT.catalog(set_name)) == []


@pytest.mark.parametrize("set_name", SETS)
def test_every_figure_in_the_readme_is_a_fact(set_name, course_of):
    course = course_of(set_name)
    path = PROJECT.exercises / set_name / "README.md"
    assert readme.figures(path), "a set's README quotes measured figures"
    assert readme.figure_problems(path, course.known_facts, course.checkpoints[0].name) == []


@pytest.mark.parametrize("set_name", SETS)
def test_stubs_are_what_the_solutions_make(set_name):
    stale = [str(c.path) for c in stubs.plan(PROJECT, [set_name]) if c.action == "new" or c.action == "update"]
    assert stale == []


@pytest.mark.parametrize("set_name", SETS)
def test_nothing_in_a_stub_gives_the_answer(set_name):
    import ast

    from kata.project import exercise_functions, is_todo

    for file in PROJECT.files(set_name):
        source = PROJECT.solutions / set_name / f"{file}.py"
        if source.is_file():
            tree = ast.parse(stubs.stub(source.read_text(encoding="utf-8")))
            assert all(is_todo(node) for node, _ in exercise_functions(tree))


@pytest.mark.parametrize("set_name", SETS)
def test_a_set_follows_the_order_of_ideas(set_name):
    assert PROJECT.files(set_name)[0] == "dataset"
    assert PROJECT.files(set_name)[-1] == "explain"
    assert all(e.docstring for e in PROJECT.catalog(set_name))


@pytest.mark.parametrize(("set_name", "name"), EXERCISES)
def test_every_exercise_has_a_check_mistakes_and_variants(set_name, name, course_of):
    course = course_of(set_name)
    assert name in course.checks
    assert course.checks[name].shown, "a pass says what was just shown"
    assert course.mistakes.get(name)
    assert len(course.variants.get(name, [])) >= 2


@pytest.mark.parametrize("set_name", SETS)
def test_no_two_mistakes_say_the_same(set_name, course_of):
    messages = [m.message for ms in course_of(set_name).mistakes.values() for m in ms]
    per_exercise = [[m.message for m in ms] for ms in course_of(set_name).mistakes.values()]
    assert all(len(set(ms)) == len(ms) for ms in per_exercise)
    assert all(10 < len(m) < 260 and "\n" not in m for m in messages)


@pytest.mark.parametrize("set_name", SETS)
def test_facts_are_what_the_command_makes(set_name, course_of):
    from kata import facts

    course = course_of(set_name)
    there = json.loads(course.facts_file.read_text(encoding="utf-8"))
    fresh = facts.compute(course)
    assert facts.differences(there, fresh) == []
    assert facts.broken(fresh) == []


@pytest.mark.parametrize("set_name", SETS)
def test_weights_are_those_that_config_names(set_name, course_of):
    from kata.checkpoints import sha256

    for checkpoint in course_of(set_name).checkpoints:
        assert checkpoint.sha256 == sha256(checkpoint.path)


@pytest.mark.parametrize("set_name", SETS)
def test_there_is_a_model_card(set_name):
    text = (PROJECT.data / set_name / "README.md").read_text(encoding="utf-8")
    assert "kata train" in text and "MIT" in text


def test_the_engine_knows_no_set_by_name():
    for path in (PROJECT.root / "kata").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        code = "\n".join(line for line in text.splitlines() if "help=" not in line)
        assert not [s for s in SETS if s in code], path


def test_no_engine_file_is_longer_than_400_lines():
    long = {p.name: n for p in (PROJECT.root / "kata").rglob("*.py") if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}
