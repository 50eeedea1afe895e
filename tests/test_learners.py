"""What learners do to a function, and the one clear line that each of it gets."""

import pytest
import torch

RIGHT = """
bos = torch.full((len(lists), 1), BOS)
mid = torch.full((len(lists), 1), MID)
return torch.cat([bos, lists, mid, lists.sort(dim=1).values], dim=1)
"""


def one(verdicts):
    (verdict,) = verdicts.values()
    return verdict


def test_a_right_answer_passes_and_teaches(submit):
    verdict = one(submit("sorted_list", make_sorting_tokens=RIGHT))
    assert verdict.status == "passed"
    assert "%" in verdict.headline


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ("return None", "failed", "returned None"),
        ("pass", "failed", "returned None"),
        ("return lists.numpy()", "failed", "numpy.ndarray"),
        ("return lists", "failed", "expected [batch=24, 22]"),
        ("return torch.zeros(len(lists), 22)", "failed", "float32"),
        ("return torch.zeros(len(lists), 22, dtype=torch.bool)", "failed", "bool"),
        ("return object()", "failed", "object"),
        ("exit(0)", "broken", "exit()"),
        ("import os\nreturn os.no_such_thing()", "broken", "AttributeError"),
        ("while True: pass", "timed out", "never ends"),
        (
            "while True:\n    try:\n        sum(range(1000))\n    except Exception:\n        pass",
            "timed out",
            "never ends",
        ),
        ("return make_sorting_tokens(lists)", "broken", "RecursionError"),
        ("raise NotImplementedError('later')", "todo", "not written yet"),
        ("x = lists.sort()\nraise NotImplementedError('half way')", "broken", "not written yet"),
        ("lists[:] = 0\nreturn torch.zeros(len(lists), 22, dtype=torch.long)", "failed", "in place"),
    ],
)
def test_bad_returns(submit, course_of, monkeypatch, body, status, says):
    monkeypatch.setattr(course_of("sorted_list").checks["make_sorting_tokens"], "seconds", 1.5)
    verdict = one(submit("sorted_list", make_sorting_tokens=body))
    assert verdict.status == status
    assert says in "\n".join(verdict.lines())
    assert "kata/" not in "\n".join(verdict.lines()), "no engine traceback"


def test_nan_is_named(submit):
    verdict = one(
        submit(
            "sorted_list",
            qk_tables="""
        shapes = {"tok": 52, "pos": 22}
        return {f"{a}_{b}": torch.full((shapes[a], shapes[b]), torch.nan) for a in shapes for b in shapes}
    """,
        )
    )
    assert verdict.status == "failed" and "NaN" in verdict.headline


def test_the_learners_own_line_is_shown(submit):
    verdict = one(submit("sorted_list", qk_tables="x = 1\nreturn x @ model.W_E"))
    assert verdict.status == "broken"
    assert any("return x @ model.W_E" in line and "circuits.py:" in line for line in verdict.evidence)


def test_prints_and_warnings_change_nothing(submit):
    body = "import warnings, sys\nwarnings.warn('x')\nsys.stderr.write('e')\nprint('y' * 10**6)\n" + RIGHT
    verdict = one(submit("sorted_list", make_sorting_tokens=body))
    assert verdict.passed
    assert sum(map(len, verdict.notes)) < 500


def test_seeding_the_global_generator_is_noted_and_undone(submit):
    import torch

    torch.manual_seed(5)
    before = torch.get_rng_state()
    verdict = one(submit("sorted_list", make_sorting_tokens="torch.manual_seed(1)\n" + RIGHT))
    assert verdict.passed and "generator" in verdict.notes[0]
    assert (torch.get_rng_state() == before).all()


def test_a_changed_model_and_hooks_left_behind_do_not_reach_the_neighbours(submit):
    verdicts = submit(
        "sorted_list",
        ov_tables="""
            model.W_E.data.mul_(2)
            x = model.W_V[0, 0] @ model.W_O[0, 0] @ model.W_U
            return model.W_E @ x, model.W_pos @ x
        """,
        score_terms="""
            model.add_hook("hook_embed", lambda activation, hook: activation * 0)
            parts = torch.stack([model.W_E[tokens], model.W_pos.expand(len(tokens), -1, -1)])
            q, k = parts @ model.W_Q[0, 0], parts @ model.W_K[0, 0]
            return torch.stack([q[a] @ k[b].mT for a in (0, 1) for b in (0, 1)]) / model.cfg.d_head**0.5
        """,
        block_sources_hook="""
            pattern = pattern.clone()
            pattern[:, :, 11:21, list(sources)] = 0
            pattern[:, :, 11:21] /= pattern[:, :, 11:21].sum(-1, keepdim=True)
            return pattern
        """,
    )
    assert "changes the model" in verdicts["ov_tables"].headline
    assert "leaves hooks" in verdicts["score_terms"].headline
    assert verdicts["block_sources_hook"].passed


@pytest.mark.parametrize(
    "change",
    [
        "model.embed.weight.data = model.W_E * 2",
        "model.embed.original_component.weight = torch.nn.Parameter(model.W_E * 2)",
        "model.load_state_dict({k: v * 2 for k, v in model.state_dict().items()})",
    ],
)
def test_a_model_with_other_weights_in_it_is_noticed_and_mended(submit, change):
    right = """
        x = model.W_V[0, 0] @ model.W_O[0, 0] @ model.W_U
        made = model.W_E @ x, model.W_pos @ x
    """
    for body, status in (
        (f"{right}\n        {change}\n        return made", "failed"),
        (f"{right}\n        return made", "passed"),
    ):
        verdict = one(submit("sorted_list", ov_tables=body))
        assert verdict.status == status, verdict.lines()
        if status == "failed":
            assert "changes the model" in verdict.headline


def test_a_lying_subclass_is_not_believed(submit):
    body = """
        class Liar(torch.Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                if func.__name__ in ("eq", "equal", "allclose", "isclose"):
                    return torch.tensor(True)
                return super().__torch_function__(func, types, args, kwargs or {})
        return torch.zeros(len(lists), 22, dtype=torch.long).as_subclass(Liar)
    """
    assert one(submit("sorted_list", make_sorting_tokens=body)).status == "failed"


def test_numbers_of_one_checkpoint_do_not_pass(submit):
    body = """
        parts = {"tok": model.W_E, "pos": model.W_pos}
        qk = model.W_Q[0, 0] @ model.W_K[0, 0].T / 128**0.5
        made = {f"{a}_{b}": parts[a] @ qk @ parts[b].T for a in parts for b in parts}
        global seen
        seen = globals().get("seen", made)
        return seen
    """
    verdict = one(submit("sorted_list", qk_tables=body))
    assert verdict.status == "failed" and "sibling" in verdict.headline


def test_files_that_cannot_be_read(submit, tmp_path, project, course_of):
    from kata.grade import Grader
    from kata.submission import Submission

    submit("sorted_list", make_sorting_tokens=RIGHT)
    folder = tmp_path / "submission" / "sorted_list"
    (folder / "circuits.py").write_text("def ov_tables(model:\n    return 1\n")
    (folder / "attribution.py").unlink()
    (folder / "ablation.py").write_text("import no_such_module\n" + (folder / "ablation.py").read_text())
    (folder / "explain.py").write_text(
        (folder / "explain.py").read_text().replace("def failing_list", "def failing_lists")
    )
    (folder / "dataset.py").write_bytes(b"\xff\xfe\x00\x01")
    grader = Grader(project, Submission(tmp_path / "submission"))
    said = {}
    for exercise in project.catalog("sorted_list"):
        verdict = grader.verdict(exercise)
        said[exercise.name] = (verdict.status, verdict.headline)
        assert len(verdict.headline.splitlines()) == 1
    assert said["ov_tables"][0] == "broken" and "SyntaxError" in said["ov_tables"][1]
    assert said["source_attribution"] == ("broken", "the submission has no sorted_list/attribution.py")
    assert said["logits_with_terms"][0] in ("broken", "todo")
    assert said["failing_list"][0] == "broken" and "failing_lists" in said["failing_list"][1]
    assert said["make_sorting_tokens"][0] == "broken"
    assert said["explain_step"][0] == "todo"


def test_an_import_that_never_ends_is_stopped(submit, tmp_path, project, course_of, monkeypatch):
    from kata.grade import Grader
    from kata.submission import Submission

    submit("sorted_list", make_sorting_tokens=RIGHT)
    path = tmp_path / "submission" / "sorted_list" / "dataset.py"
    path.write_text("while True:\n    pass\n" + path.read_text())
    grader = Grader(project, Submission(tmp_path / "submission"))
    grader._courses["sorted_list"] = course_of("sorted_list")
    monkeypatch.setattr(course_of("sorted_list").checks["make_sorting_tokens"], "seconds", 1.0)
    verdict = grader.verdict(project.exercise("sorted_list.make_sorting_tokens"))
    assert verdict.status == "timed out"


def test_a_weight_sent_through_a_norm_does_not_spoil_the_model(course_of):
    """The library keeps a norm's input as an attribute; a Parameter kept like that breaks every later run."""
    from kata.calls import MODEL, call, run

    bench = course_of("list_compression").bench_of("teacher_shown")
    tokens = torch.tensor([[1, 2, 10, 1, 2]])
    before = bench.model(tokens)
    for _ in range(2):
        outcome = run(lambda model: model.blocks[0].ln1(model.W_pos), call(model=MODEL), bench.model)
        assert outcome.clean, outcome
    assert torch.equal(bench.model(tokens), before)
