"""The grader is graded: every known mistake fails under its own name, every right answer passes."""

import pytest
from conftest import PROJECT

from kata.audit import audit_exercise

EXERCISES = [pytest.param(s, e.name, id=e.id) for s in PROJECT.sets for e in PROJECT.catalog(s)]


@pytest.mark.parametrize(("set_name", "name"), EXERCISES)
def test_exercise(set_name, name, course_of):
    row = audit_exercise(course_of(set_name), name)
    assert row.problems == []
    assert any(not t.right for t in row.trials)
    assert sum(t.right for t in row.trials) >= 3


def test_the_audit_sees_a_mistake_that_survives(course_of, monkeypatch):
    """A check that is too lax must be found out."""
    from kata.compare import Tolerance

    course = course_of("sorted_list")
    monkeypatch.setattr(course.checks["qk_tables"], "tolerance", Tolerance(atol=1e6))
    problems = audit_exercise(course, "qk_tables").problems
    assert any("survives" in p for p in problems)


def test_the_audit_sees_a_right_answer_that_is_rejected(course_of, monkeypatch):
    from kata.compare import Tolerance

    course = course_of("sorted_list")
    monkeypatch.setattr(course.checks["score_terms"], "tolerance", Tolerance(atol=1e-9, rtol=0))
    problems = audit_exercise(course, "score_terms").problems
    assert any("was rejected" in p or "too tight" in p for p in problems)


def test_the_audit_sees_a_misnamed_mistake(course_of, monkeypatch):
    from dataclasses import replace

    course = course_of("sorted_list")
    mistakes = course.mistakes["qk_tables"]
    twin = replace(mistakes[0], name="twin")
    monkeypatch.setitem(course.mistakes, "qk_tables", [*mistakes, twin])
    problems = audit_exercise(course, "qk_tables").problems
    assert any("is not named" in p for p in problems)
