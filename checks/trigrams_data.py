"""What the checks, mistakes and facts of the trigrams set share: a checkpoint's trigrams, and inputs made from them."""

import json
from functools import cache

import torch

from kata.checking import Bench
from kata.project import KataError
from solutions.trigrams import dataset


@cache
def trigrams(at: Bench) -> torch.Tensor:
    """The trigrams of a checkpoint, shape [n, 3].

    They stand in `<checkpoint file>.table.json` beside the checkpoint as a list of [a, b, c], or under its name in
    the `tables.json` of its folder.

    Raises:
        KataError: there is no such file, or it does not hold trigrams of this vocabulary.
    """
    path = at.checkpoint.path
    own, shared = path.with_name(path.name + ".table.json"), path.with_name("tables.json")
    try:
        if own.is_file():
            listed = json.loads(own.read_text(encoding="utf-8"))
        else:
            listed = json.loads(shared.read_text(encoding="utf-8"))[at.checkpoint.name]
    except (OSError, KeyError):
        raise KataError(f"which trigrams was {path} trained on? Write them as [[a, b, c], ...] to {own}") from None
    except (ValueError, TypeError) as error:
        raise KataError(f"the trigrams of {path} cannot be read: {error}") from None
    try:
        made = torch.tensor(listed)
        assert made.dtype == torch.int64 and made.shape[1:] == (3,) and len(made)
        assert made.min() >= 0 and made.max() < at.checkpoint.architecture["d_vocab"]
    except (AssertionError, ValueError, TypeError, IndexError):
        raise KataError(f"the trigrams of {path} must be a list of [a, b, c] with tokens of its vocabulary") from None
    return made


@cache
def table(at: Bench) -> torch.Tensor:
    return dataset.completion_table(trigrams(at), at.checkpoint.architecture["d_vocab"])


@cache
def natural(at: Bench, number: int, length: int = 50, label: str = "natural") -> torch.Tensor:
    """Sequences as the task draws them."""
    return dataset.sample_sequences(table(at), number, length, at.generator(label))


@cache
def some(at: Bench, number: int, label: str = "some") -> torch.Tensor:
    """A random choice of the trigrams."""
    return trigrams(at)[torch.randperm(len(trigrams(at)), generator=at.generator(label))[:number]]


@cache
def planted(at: Bench, number: int, length: int = 12, label: str = "planted") -> torch.Tensor:
    """Sequences of one random token and then trigrams, one after the other: half of what the model sees is theirs."""
    first = torch.randint(len(table(at)), (number, 1), generator=at.generator(label))
    chosen = torch.randint(len(trigrams(at)), (number, length // 3 + 1), generator=at.generator(label + " trigrams"))
    return torch.cat([first, trigrams(at)[chosen].flatten(1)], dim=1)[:, :length]


@cache
def dense(at: Bench) -> torch.Tensor:
    """A small made-up table: 12 tokens, 40% of the pairs force a token, always 0, 1 or 2, so that rules chain."""
    generator = at.generator("dense")
    completions = torch.randint(3, (12, 12), generator=generator)
    return torch.where(torch.rand(12, 12, generator=generator) < 0.4, completions, -1)
