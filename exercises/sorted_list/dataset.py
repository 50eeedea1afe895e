"""The data, and how well the model does on it.

A sequence has 22 tokens:

    position    0     1 .. 10               11    12 .. 21
    token       BOS   ten numbers 0 .. 49   MID   the same ten numbers, ascending

The row of logits at position p predicts the token at position p + 1. Only the ten predictions of the sorted
half count. They are called steps: step i, from 0 to 9, predicts the i-th smallest number.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from kata import exercise

BOS, MID = 50, 51


@exercise(difficulty=1, importance=4, minutes=5)
def make_sorting_tokens(lists: Int[Tensor, "batch 10"]) -> Int[Tensor, "batch 22"]:
    """Turn lists of ten numbers into the sequences that the model reads.

    Lay each row out as the table at the top of this file shows: BOS, the list as it came, MID, the list in
    ascending order. A number that occurs twice in the list occurs twice in both halves.

    Args:
        lists: numbers from 0 to 49, in any order. Leave this tensor as it is.

    Returns:
        A new tensor of dtype int64.
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=4, minutes=10)
def sorting_metrics(logits: Float[Tensor, "batch 22 50"], tokens: Int[Tensor, "batch 22"]) -> dict[str, Tensor]:
    """Measure how well these logits sort.

    A prediction is the number with the highest logit, and it is right if it equals the number that stands
    in the sorted half at that step.

    Args:
        logits: the model's output for tokens, one row per position.
        tokens: sequences as made by make_sorting_tokens.

    Returns:
        Four tensors of floats, under these names:
            loss            mean cross entropy over all lists and the ten steps, in nats; no axes
            token_accuracy  part of all predictions that are right; no axes
            list_accuracy   part of the lists of which all ten predictions are right; no axes
            step_accuracy   part of the lists that are right at each step; shape [10]
    """
    raise NotImplementedError
