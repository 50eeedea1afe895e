"""Plain values, comparison, and how differences are told."""

import math

import pytest
import torch

from kata.compare import Tolerance, compare, evidence
from kata.differ import describe
from kata.plain import Foreign, decode, encode, plain

TABLE = torch.randn(6, 6, generator=torch.Generator().manual_seed(0)) * 3
T = Tolerance(1e-4, 1e-4)


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 2.5, math.inf, "text", TABLE, TABLE > 0, torch.tensor(3), torch.zeros(0, 4),
        [1, "a", None], (1, TABLE), {"a": TABLE, 1: {2, 3}}, set(), {(1, 2): "pair"},
        Foreign("numpy.ndarray", "of shape (3,)"),
    ],
)  # fmt: skip
def test_plain_values_survive_the_crossing(value):
    back = decode(encode(value))
    assert type(back) is type(value)
    assert compare(back, value, Tolerance(0, 0)).equal if not isinstance(value, Foreign) else back == value


@pytest.mark.parametrize("blob", [b"", b"junk" * 100, b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_junk_is_refused(blob):
    with pytest.raises(ValueError, match="hand-over"):
        decode(blob)


def test_objects_do_not_cross():
    class Agreeable:
        def __eq__(self, other):
            return True

        __hash__ = None

    assert plain(Agreeable()) == Foreign("test_values.Agreeable") or isinstance(plain(Agreeable()), Foreign)
    assert not compare(plain(Agreeable()), 3, T).equal
    deep = []
    deep.append(deep)
    assert "nested" in repr(plain(deep))


def test_whole_numbers_are_equal_or_not():
    a = torch.tensor([1_000_000, 5])
    assert not compare(a + torch.tensor([1, 0]), a, Tolerance(1e-2, 1e-2)).equal
    assert compare(a.int(), a, T).equal
    assert compare(a.double(), a, T).equal


def test_a_fraction_forgives_near_ties_only():
    a = torch.arange(1000)
    b = a.clone()
    b[3] = 0
    assert compare(b, a, Tolerance(0, 0, fraction=0.002)).equal
    b[:5] = 7
    assert not compare(b, a, Tolerance(0, 0, fraction=0.002)).equal


def test_nan_is_equal_to_nan_only():
    a = torch.tensor([1.0, math.nan])
    assert compare(a.clone(), a, T).equal
    assert not compare(torch.tensor([1.0, 2.0]), a, T).equal
    assert not compare(a, torch.tensor([1.0, 2.0]), T).equal


@pytest.mark.parametrize(
    ("got", "says"),
    [
        (TABLE.T, "transposed"),
        (-TABLE, "opposite sign"),
        (TABLE * 8, "8 times"),
        (TABLE * 128**0.5, "square root of 128"),
        (TABLE / 8, "1/8 of"),
        (TABLE + 5, "plus 5 everywhere"),
        (TABLE * 0, "zero everywhere"),
        (TABLE * 0 + 2, "the same number"),
        (TABLE.roll(1, 0), "shifted by one along axis 0"),
        (TABLE.flip(1), "runs backwards along axis 1"),
        (TABLE - TABLE.mean(1, keepdim=True), "constant along the last axis"),
        (TABLE.index_fill(0, torch.tensor([2]), 9.0), "only at 2 along axis 0"),
        (TABLE.tril(), "above the diagonal"),
        (TABLE * torch.nan, "NaN"),
        (TABLE[:5], "shape [5, 6]"),
        (TABLE.T[:, :5].T.reshape(6, 5), "shape [6, 5]"),
        (None, "None"),
        (TABLE + 0.1 * torch.randn(6, 6, generator=torch.Generator().manual_seed(1)), "close to right"),
    ],
)  # fmt: skip
def test_differences_are_named(got, says):
    gap = compare(got, TABLE, T)
    assert says in describe(gap, T)
    assert all(len(line) < 200 for line in evidence(gap))


def test_masked_entries():
    masked = TABLE.masked_fill(torch.ones(6, 6).triu(1).bool(), -math.inf)
    assert "-inf" in describe(compare(masked.nan_to_num(neginf=0.0), masked, T), T)


def test_exchanged_truth():
    assert "exchanged" in describe(compare(TABLE > 0, TABLE <= 0, T), T)


def test_where_inside_a_dict():
    gap = compare({"a": TABLE, "b": TABLE + 1}, {"a": TABLE, "b": TABLE}, T)
    assert gap.path == "['b']" and "`b`" in describe(gap, T)
    assert "keys" in compare({"a": 1}, {"b": 1}, T).reason
