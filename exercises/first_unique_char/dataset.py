"""The data: a question mark and nineteen letters; at each position, the first letter with no twin so far."""

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from kata import exercise

ALPHABET = "abcdefghij?"  # the character of every token id
NULL = 10  # the id of "?": it opens every sequence, and is the answer where every letter so far has a twin
NEVER = 99  # stands for the position of a letter that has not occurred yet


def to_tokens(text: str) -> Int[Tensor, "1 seq"]:
    """A batch of one sequence: `to_tokens("?acbba")`."""
    return torch.tensor([[ALPHABET.index(character) for character in text]])


def to_text(tokens: Int[Tensor, "seq"]) -> str:
    """The way back, for one sequence: for looking at what you have made."""
    return "".join(ALPHABET[token] for token in tokens.tolist())


@exercise(difficulty=1, importance=3, minutes=5)
def make_sequences(n: int, seed: int, seq_len: int = 20) -> Int[Tensor, "n seq"]:
    """Make `n` random sequences of `seq_len` tokens each.

    Position 0 of every sequence holds the token 10 ("?"). Every other position holds a letter, one of the ids
    0 to 9, uniform and independent of the rest. The same `seed` always gives the same sequences and another
    seed gives others. The program's global random state is neither read nor changed.
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=5, minutes=20)
def first_unique_labels(tokens: Int[Tensor, "batch seq"], null_token: int = 10) -> Int[Tensor, "batch seq"]:
    """The right answer at every position.

    For position p take the characters at positions 1 to p, both included. Of those that occur exactly once
    among them, the answer is the one that stands earliest. If there is none, the answer is `null_token`, and
    so it is at position 0. What stands at position 0 is never counted.

        tokens   ?acbba     ?cbcbc
        labels   ?aaaac     ?ccb??

    Positions 1 and later may hold any ids except `null_token`. Do it without a loop over the sequences.
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=3, minutes=10)
def occurrence_info(
    tokens: Int[Tensor, "batch seq"],
) -> tuple[Int[Tensor, "batch seq 10"], Int[Tensor, "batch seq 10"]]:
    """What happened to every letter up to every position: later you will sort positions by it.

    Returns two tensors of integers, both [batch, position p, letter 0 to 9]. The first counts how often the
    letter occurs at positions 0 to p, p included. The second is the position where the letter occurs first,
    or 99 as long as it has not occurred.
    """
    raise NotImplementedError
