"""The task: write out all permutations of n characters, in order.

A sequence for n characters is `>`, a space, the n! permutations separated by single spaces, and a full
stop: (n+1)! + 2 tokens. For n = 3 and the characters k, 4, b:

    > k4b kb4 4kb 4bk bk4 b4k.

The first term is the characters as they were given. `index` below always means a place in the first term.
"""

from itertools import permutations
from math import factorial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from kata import exercise

VOCABULARY = "> .abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
START, SPACE, STOP = 0, 1, 2  # the characters that get permuted ("letters" for short) are tokens 3 to 64


def to_text(tokens: Int[Tensor, "seq"]) -> str:
    """The characters of one sequence of tokens."""
    return "".join(VOCABULARY[token] for token in tokens.tolist())


def to_tokens(text: str) -> Int[Tensor, "seq"]:
    """The tokens of a text over the vocabulary."""
    return torch.tensor([VOCABULARY.index(character) for character in text])


@exercise(difficulty=3, importance=5, minutes=20)
def lookup_table(n: int) -> Int[Tensor, "seq"]:
    """What stands at every position of a sequence, whatever its characters are.

    Args:
        n: how many characters are permuted.

    Returns:
        One code per position, (n+1)! + 2 in all. A letter's code is its index, 0 to n-1: the place that
        the same character has in the first term. A space is n, `>` is n+1, the full stop is n+2.

    The terms come in lexicographic order of their indices: for n = 3 they are 012, 021, 102, 120, 201, 210,
    so the table is 4 3 012 3 021 3 102 3 120 3 201 3 210 5. It can be had by arithmetic, for all terms at
    once, from the term's number k = 0 to n!-1; listing the permutations is a right answer too.
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=4, minutes=10)
def build_batch(chars: Int[Tensor, "batch n"]) -> Int[Tensor, "batch seq"]:
    """Write out the sequences that begin with the given characters.

    Args:
        chars: the first term of each sequence, as tokens 3 to 64, in any order, possibly with repeats.

    Returns:
        The tokens: START, SPACE, all n! terms with a SPACE between them, STOP. Terms permute *places*:
        characters that are equal are still permuted, so that terms repeat and every sequence is
        (n+1)! + 2 long.
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=4, minutes=15)
def scored_metrics(
    logits: Float[Tensor, "batch seq vocab"], tokens: Int[Tensor, "batch seq"], n: int
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Loss and accuracy of next-token predictions, over the rows that can be known.

    Args:
        logits: the model's output; row p predicts the token at position p+1.
        tokens: the sequences it has read.
        n: how many characters are permuted.

    Returns:
        The mean cross-entropy in nats, and the share of rows whose largest logit is the next token's.
        Both are means over the scored rows of all sequences. The first term cannot be foreseen, so the
        first scored row is that of its last character (which predicts the space behind it); the last
        scored row is the one that predicts the full stop.
    """
    raise NotImplementedError
