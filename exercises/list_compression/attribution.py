"""Whose fault is this logit: which component, and which position it was read from."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise


@exercise(difficulty=3, importance=5, minutes=15)
@torch.no_grad()
def dla_components(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"], mask: Bool[Tensor, "1 1 seq seq"]
) -> Float[Tensor, "4 batch seq vocab"]:
    """The logits as a sum of four parts.

    Along the first axis: embedding and position together, the output of attention layer 0 (with b_O), the
    output of attention layer 1 (with b_O), and the bias of the final layer norm. The final layer norm is
    linear once its scale is held at the value it had in this run. The four parts sum to the logits.
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=4, minutes=12)
@torch.no_grad()
def dla_attn1_by_source(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"], mask: Bool[Tensor, "1 1 seq seq"], query: int
) -> Float[Tensor, "batch key vocab"]:
    """What attention layer 1 writes into the logits at position `query`, split by the position it reads.

    Entry [b, k, j] is the part of the logit of token j that comes from key position k: attention times value
    (with b_V) through W_O, then the final layer norm with its scale held at the value of this run, then W_U.
    b_O belongs to no key and is left out, and so is the bias of the final layer norm.
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=3, minutes=10)
@torch.no_grad()
def variance_explained(x: Float[Tensor, "n d"], labels: Float[Tensor, "n k"], n_pcs: int = 3) -> float:
    """How much of the top principal components of `x` a linear function of the labels explains.

    Take the coordinates of the rows of `x` on its first `n_pcs` principal components (about their mean), and
    fit each by least squares from the labels and a constant. Return R squared of all fits together: 1 - the
    sum of squared residuals over the sum of squared coordinates, each summed over rows and components.
    Labels may be redundant (a one-hot code and a constant are).
    """
    raise NotImplementedError
