"""Say the algorithm: find where it breaks, say which one it is, and be scored on it."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise


@exercise(difficulty=3, importance=4, minutes=30)
@torch.no_grad()
def find_adversarial(model: TransformerBridge, tokens: Int[Tensor, "batch seq"]) -> Int[Tensor, "n 20"]:
    """Find sequences that the model gets badly wrong.

    Return at least five, all of them different. Each is a sequence as the model knows them (10 at position 0,
    letters 0 to 9 after it) on which the model's most likely answer is wrong at 3 or more of 20 positions.
    Such sequences are rare among random ones. `tokens` are random sequences to start from, if you want any.
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=4, minutes=30)
@torch.no_grad()
def family(model: TransformerBridge, tokens: Int[Tensor, "batch seq"]) -> str:
    """Say which of three algorithms a model has learned, by where it needs layer 0.

    Take the model's own most likely answers on `tokens` for the truth. Measure by how much the loss
    (cross-entropy, averaged over the batch and all positions) rises when the outputs of all three heads of
    layer 0 are replaced by their mean over the batch, position by position, on one way only. The LayerNorm on
    that way keeps the scale that it has without the cut.

        "A"   on the way into layer 1's keys it rises by more than 5: layer 0 tells layer 1 where to look
        "B"   not so, but on the direct way to the logits it rises by more than 2: layer 0 answers itself
        "C"   neither
    """
    raise NotImplementedError


@exercise(difficulty=5, importance=5, minutes=90)
@torch.no_grad()
def explain(model: TransformerBridge) -> Callable[[Int[Tensor, "batch seq"]], Float[Tensor, "batch seq 11"]]:
    """Write the model's algorithm down as a program, and see how much of the model it is.

    Returns a function from tokens to one score per answer, at every position: the highest is its answer. It
    is compared with what the MODEL answers, not with what is right, at all positions but 0, on random
    sequences and on flooded ones, in which one letter is far too frequent. There are two marks: the share of
    positions where the two agree on random sequences, and their agreement where the model is wrong on flooded
    ones. A program that solves the task has a high first mark and a second mark of 0. A pass needs 92% and
    30%, full marks 97.5% and 50%.

    While `explain` builds the function it may run the model as it likes, to fill tables and to take averages.
    The function itself may use weights and tables, and must not run the model. Nor may it be a copy of the
    forward pass, which agrees everywhere and explains nothing (a second mark above 95% is taken for one):
    leave out what you think does not matter, and see whether you are right. The scales of the LayerNorms are
    a good place to start.
    """
    raise NotImplementedError
