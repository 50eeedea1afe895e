"""Whose fault is this logit? The logits, taken apart by component, by letter and by path.

The model has been folded: see circuits.py. Its value biases are zero, its other biases are not.
"""

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise


@exercise(difficulty=3, importance=5, minutes=25)
@torch.no_grad()
def component_logits(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"]
) -> Float[Tensor, "component=9 batch seq vocab"]:
    """Split the logits into what each component of the model adds to them.

    The nine components, in this order: token embedding, position embedding, heads 0, 1, 2 of layer 0, heads
    0, 1, 2 of layer 1, and all biases together (both attention layers' output biases and the unembedding's).
    Only the direct way counts: what a component writes, as the final LayerNorm and the unembedding see it,
    and not what later layers make of it. The nine sum to the model's logits.
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=5, minutes=15)
@torch.no_grad()
def duplicate_attribution(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"]
) -> Float[Tensor, "head1=3 letter=10"]:
    """What each head of layer 1 does to a letter that can no longer be the answer.

    Entry [h, x]: what head h of layer 1 adds directly to the logit of letter x (divided by the final
    LayerNorm's real scale), averaged over all positions p of all sequences where x occurs at least twice at
    positions 0 to p. The position p itself may hold any letter. A letter that never occurs twice gets 0.
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=4, minutes=5)
@torch.no_grad()
def responsible_heads(model: TransformerBridge, tokens: Int[Tensor, "batch seq"]) -> Int[Tensor, "letter=10"]:
    """For each letter, the head of layer 1 (0, 1 or 2) that pushes it down hardest once it occurs twice.

    Hardest: the most negative direct addition to that letter's logit, averaged over all positions where the
    letter has occurred at least twice, the position itself included.
    """
    raise NotImplementedError


@exercise(difficulty=4, importance=4, minutes=30)
@torch.no_grad()
def value_path_logits(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"]
) -> Float[Tensor, "source=6 batch seq vocab"]:
    """Split what layer 1 writes by what it has read.

    The residual stream that layer 1 reads is a sum of six sources, in this order: token embedding, position
    embedding, heads 0, 1, 2 of layer 0, and the output bias of layer 0. Layer 1 carries each of them on as
    values. Entry [s, b, p, v] is what its three heads together add directly to logit v at position p because
    of source s, with the attention patterns and the LayerNorm scales of the real run. Nothing else counts:
    not what the sources add to the logits without layer 1, and not layer 1's own output bias.
    """
    raise NotImplementedError
