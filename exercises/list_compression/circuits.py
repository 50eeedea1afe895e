"""Reading the two circuits: where each head looks, how strongly, and what it carries."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise

from .dataset import SEP


@exercise(difficulty=1, importance=4, minutes=6)
@torch.no_grad()
def mean_std_pattern(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"], mask: Bool[Tensor, "1 1 seq seq"], layer: int
) -> tuple[Float[Tensor, "q k"], Float[Tensor, "q k"]]:
    """The attention pattern of one layer: its mean over the batch, and its standard deviation over the batch.

    Rows are queries, columns are keys. The standard deviation says how far the head's attention depends on
    which digits it sees. Divide by the size of the batch, not by one less: the batch is not a sample.
    """
    raise NotImplementedError


@exercise(difficulty=4, importance=5, minutes=20)
@torch.no_grad()
def strength_table(model: TransformerBridge) -> tuple[Float[Tensor, "2 10"], Float[Tensor, ""]]:
    """How strongly SEP is drawn to each digit in layer 0, from the weights alone.

    The query is SEP at position 2. Entry [p, t] of the table is its attention score for digit t at position
    p (0 or 1), the number that the softmax gets: scaled, and with all biases. The second result is its score
    for itself. The softmax of (table[0, d1], table[1, d2], itself) is row SEP of the pattern, for every list.
    `model.blocks[0].ln1` can be called on any tensor that ends in d_model.
    """
    raise NotImplementedError


@exercise(difficulty=4, importance=5, minutes=20)
@torch.no_grad()
def copy_table(model: TransformerBridge, which: Literal["d1", "d2"]) -> Float[Tensor, "10 11"]:
    """What each digit does to the logits after two hops: one attention head, then the other.

    Row t is digit t, column j is token j. Follow digit t from the embedding to the logits:
      1. What layer 1 finds. For "d1": the residual stream after layer 0 at position 0, which sees only
         itself. For "d2": what SEP gets from position 1 in layer 0 at attention 1, through W_V and W_O
         without their biases. The layer norm of layer 0 is exact here: `model.blocks[0].ln1`.
      2. What is particular to the digit: take away the mean over the ten digits.
      3. What layer 1 moves, at attention 1: W_V and W_O without biases.
      4. The logits: W_U.
    Before 3 and before 4 a layer norm stands (`blocks[1].ln1`, `ln_final`). Apply its linear part: take away
    the mean over d_model and multiply by its weight. Leave out the division by the scale, and the bias.
    A two-hop copy has the largest entry of each row on the diagonal. (The teacher models have one.)
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=5, minutes=15)
@torch.no_grad()
def place_vs_digit(model: TransformerBridge, mask: Bool[Tensor, "1 1 seq seq"]) -> dict[str, float]:
    """Does the weight of a digit at SEP belong to the digit, or to the place where it stands?

    For a list (a, b) let D(a, b) be the layer-0 attention of SEP to the first place, minus that to the
    second. If the weight belongs to the digit, D(a, b) = -D(b, a); if to the place, D(a, b) = D(b, a).
    Use the 90 lists with a != b (`mask` is for five tokens; SEP does not see what comes after it). Return
      "digit_bound"  split D(a, b) into a part that changes sign when the list is reversed and one that does
                     not; the mean square of the first, as a share of the mean square of D. 1 is all digit.
      "correlation"  the Pearson correlation of D(a, b) and -D(b, a) over the lists.
    """
    raise NotImplementedError
