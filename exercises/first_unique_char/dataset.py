"""The data: a question mark, then nineteen letters; at every position, the first letter with no twin so far."""

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from kata import exercise

ALPHABET = "abcdefghij?"  # the character of every token id
NULL = 10  # the id of "?": it opens every sequence, and is the answer where every letter so far has a twin
NEVER = 99  # stands for the position of a letter that has not occurred


def to_tokens(text: str) -> Int[Tensor, "1 seq"]:
    """`to_tokens("?acbba")` is a batch of one sequence."""
    return torch.tensor([[ALPHABET.index(character) for character in text]])


def to_text(tokens: Int[Tensor, "seq"]) -> str:
    """The way back, for one sequence: for looking at what you made."""
    return "".join(ALPHABET[token] for token in tokens.tolist())


@exercise(difficulty=1, importance=3, minutes=5)
def make_sequences(n: int, seed: int, seq_len: int = 20) -> Int[Tensor, "n seq"]:
    """Make `n` random sequences of `seq_len` tokens.

    Position 0 of every sequence is the token 10 ("?"). Every other position holds a letter, one of the ids 0 to 9,
    uniform and independent of the rest. The same `seed` gives the same sequences, and another seed gives others,
    whatever else in the program has drawn random numbers; nor do you disturb those draws.
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=5, minutes=20)
def first_unique_labels(tokens: Int[Tensor, "batch seq"], null_token: int = 10) -> Int[Tensor, "batch seq"]:
    """The right answer at every position.

    At position p look at the characters at positions 1 to p, both included. Of those that occur exactly once among
    them, the answer is the one that stands earliest. If there is none, the answer is `null_token`, and so it is at
    position 0. What stands at position 0 is never counted.

        ?acbba          ?cbcbc
        ?aaaac          ?ccb??

    Any ids may stand at positions 1 and later, except `null_token`. No loop over sequences.
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=3, minutes=10)
def occurrence_info(
    tokens: Int[Tensor, "batch seq"],
) -> tuple[Int[Tensor, "batch seq letter=10"], Int[Tensor, "batch seq letter=10"]]:
    """What there is to know about every letter at every position; later exercises sort their results by it.

    Returns two tensors of integers [batch, position p, letter 0 to 9]: how often the letter occurs at positions 0 to
    p, p included; and the position where it occurs first, or 99 if it has not occurred up to p.
    """
    raise NotImplementedError
