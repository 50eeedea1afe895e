"""The data: tokens at random, except that 277 pairs force the token that follows them."""

import torch
from jaxtyping import Int
from torch import Tensor

from kata import exercise


def completion_table(trigrams: Int[Tensor, "n 3"], d_vocab: int) -> Int[Tensor, "first second"]:
    """The trigrams (a, b -> c) as a table: `table[a, b]` is c, or -1 if the pair (a, b) forces nothing."""
    table = torch.full((d_vocab, d_vocab), -1)
    table[trigrams[:, 0], trigrams[:, 1]] = trigrams[:, 2]
    return table


@exercise(difficulty=2, importance=4, minutes=15)
def sample_sequences(
    table: Int[Tensor, "first second"], n_seqs: int, seq_len: int, generator: torch.Generator
) -> Int[Tensor, "batch seq"]:
    """Draw sequences of the task, shape (n_seqs, seq_len).

    Every token is drawn uniformly from the vocabulary (0 .. len(table) - 1) with `generator`, unless the two
    tokens before it are a trigram's pair: after (a, b) with `table[a, b] >= 0` comes `table[a, b]`, always,
    up to and including the last position. A token that a trigram has put there counts like any other: it may
    be part of the next pair. (In the tables of the checkpoints it never is the second token of one. The check
    also tries small, dense tables of its own, where it can be.) So a finished sequence breaks no trigram.
    """
    tokens = torch.randint(len(table), (n_seqs, seq_len), generator=generator)
    for i in range(2, seq_len):
        completion = table[tokens[:, i - 2], tokens[:, i - 1]]
        tokens[:, i] = torch.where(completion >= 0, completion, tokens[:, i])
    return tokens


@exercise(difficulty=1, importance=5, minutes=10)
def required_next_token(
    tokens: Int[Tensor, "batch seq"], table: Int[Tensor, "first second"]
) -> Int[Tensor, "batch seq"]:
    """For each position, the token that must come right after it, or -1 where any token may.

    The answer stands at the position from which the model predicts, which is that of a trigram's second
    token. Position 0 has no token before it: always -1. The last position is treated like the others,
    although the token it asks for lies outside the sequence.
    """
    required = torch.full_like(tokens, -1)
    required[:, 1:] = table[tokens[:, :-1], tokens[:, 1:]]
    return required
