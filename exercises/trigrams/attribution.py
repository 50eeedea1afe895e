"""Who writes the answer: the parts of a logit, and what the twenty ReLU units make of the head's work."""

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise


@exercise(difficulty=2, importance=5, minutes=20)
@torch.no_grad()
def logit_parts(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"], targets: Int[Tensor, "batch"]
) -> Float[Tensor, "part batch"]:
    """Split the target token's logit at the last position into what each part of the model wrote into it.

    What is split is the logit of `targets[i]` minus the mean logit over the vocabulary, at the last position
    of sequence i. Five rows, in this order: token embedding, position embedding, attention (with its biases),
    MLP (with its biases), and the bias of the unembedding. They add up to that difference.
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=4, minutes=15)
@torch.no_grad()
def neuron_firing(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"], table: Int[Tensor, "first second"]
) -> Float[Tensor, "2 d_mlp"]:
    """How often each MLP unit is on (its value after the ReLU is above 0).

    Row 0: the share of the positions that stand on the second token of a trigram's pair, where the next token
    is forced. Row 1: the share of all other positions. Pool the positions of all sequences. The last position
    of a sequence, which predicts nothing, counts in neither row.
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=4, minutes=25)
@torch.no_grad()
def mlp_jacobian(model: TransformerBridge, resid_mid: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_out d_in"]:
    """The Jacobian of the MLP alone (without the skip connection around it) at each given input vector.

    Entry [n, i, j] is the derivative of the MLP's output i by its input j, at `resid_mid[n]`. `torch.func`
    can do it in one line; so can two weight matrices and a mask.
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=3, minutes=25)
@torch.no_grad()
def linearise_mlp(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"]
) -> tuple[Float[Tensor, "d_out d_in"], Float[Tensor, "d_model"]]:
    """The MLP as it behaves most of the time: a matrix J and a vector c with MLP(x) = J @ x + c.

    Every position has an on/off pattern: which units of the MLP are above 0. Take the pattern that occurs
    most often over all positions of all sequences but the last one of each, and return the linear map that
    the MLP computes exactly wherever that pattern holds. As in the MLP itself, the skip connection is no part
    of it.
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=2, minutes=20)
@torch.no_grad()
def subspace_overlap(
    w_write: Float[Tensor, "d_head d_model"], w_read: Float[Tensor, "d_model d_mlp"]
) -> Float[Tensor, "k"]:
    """Bonus: the cosines of the principal angles between what a head can write and what an MLP can read.

    The two subspaces of the residual stream are the span of the rows of `w_write` (such as W_O) and the span
    of the columns of `w_read` (such as W_in). There are k = min(d_head, d_mlp) cosines, the largest first,
    and none outside 0 .. 1, not even by rounding. Both matrices have full rank.

    Before you read anything into the result: what do two random matrices of these shapes give?
    """
    raise NotImplementedError
