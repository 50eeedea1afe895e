"""Closed modules: what is to be read from weights cannot run the model; and facts of other variants."""

import pytest
import torch

from kata.calls import MODEL, call, run
from kata.project import KataError

TOKENS = torch.tensor([[1, 2, 10, 10, 10]])


def outcome(course, function):
    bench = course.bench_of("bottleneck")
    return run(function, call(model=MODEL, closed=("blocks.0.attn", "blocks.1.attn")), bench.model), bench


@pytest.mark.parametrize(
    "way",
    [
        lambda model: model(TOKENS),
        lambda model: model.run_with_cache(TOKENS),
        lambda model: model.original_model(TOKENS),
        lambda model: __import__("copy").deepcopy(model)(TOKENS),
    ],
)
def test_a_closed_model_does_not_run_and_is_open_again_afterwards(course_of, way):
    result, bench = outcome(course_of("list_compression"), way)
    assert (
        result.status == "error" and result.error.kind == "RuntimeError" and "read its weights" in result.error.message
    )
    assert result.hooks_left == [] and result.changed == []
    assert bench.model(TOKENS).shape == (1, 5, 11)


def test_weights_and_norms_of_a_closed_model_can_be_read(course_of):
    result, _ = outcome(course_of("list_compression"), lambda model: model.blocks[0].ln1(model.W_E) @ model.W_Q[0, 0])
    assert result.clean and result.value.shape == (11, 16)


def test_a_bench_is_found_by_checkpoint_and_by_variant(course_of):
    course = course_of("list_compression")
    assert course.bench_of("bottleneck") is course.bench_of("bottleneck_shown")
    assert course.bench_of("teacher_sibling").checkpoint.role == "sibling"
    with pytest.raises(KataError, match="bottleneck_shown"):
        course.bench_of("bottleneck_show")
