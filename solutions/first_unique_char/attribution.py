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
    _, cache = model.run_with_cache(tokens)
    parts = [cache["hook_embed"], cache["hook_pos_embed"]]
    for layer in range(2):
        z = cache[f"blocks.{layer}.attn.hook_z"]
        parts += einsum(z, model.W_O[layer], "b pos head d, head d model -> head b pos model")
    parts.append(model.b_O.sum(0).expand_as(parts[0]))
    logits = torch.stack(list(parts)) / cache["ln_final.hook_scale"] @ model.W_U
    logits[-1] += model.b_U
    return logits


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
    _, cache = model.run_with_cache(tokens)
    z = cache["blocks.1.attn.hook_z"]
    heads = einsum(z, model.W_O[1], "b pos head d, head d model -> head b pos model")
    logits = (heads / cache["ln_final.hook_scale"] @ model.W_U)[..., :10]
    repeated = F.one_hot(tokens, 11)[..., :10].cumsum(1) >= 2
    return (logits * repeated).sum((1, 2)) / repeated.sum((0, 1)).clamp(min=1)


@exercise(difficulty=2, importance=4, minutes=5)
@torch.no_grad()
def responsible_heads(model: TransformerBridge, tokens: Int[Tensor, "batch seq"]) -> Int[Tensor, "letter=10"]:
    """For each letter, the head of layer 1 (0, 1 or 2) that pushes it down hardest once it occurs twice.

    Hardest: the most negative direct addition to that letter's logit, averaged over all positions where the
    letter has occurred at least twice, the position itself included.
    """
    _, cache = model.run_with_cache(tokens)
    z = cache["blocks.1.attn.hook_z"]
    heads = einsum(z, model.W_O[1], "b pos head d, head d model -> head b pos model")
    logits = (heads / cache["ln_final.hook_scale"] @ model.W_U)[..., :10]
    repeated = F.one_hot(tokens, 11)[..., :10].cumsum(1) >= 2
    return (logits * repeated).sum((1, 2)).argmin(0)


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
    _, cache = model.run_with_cache(tokens)
    z = cache["blocks.0.attn.hook_z"]
    sources = torch.stack(
        [
            cache["hook_embed"],
            cache["hook_pos_embed"],
            *einsum(z, model.W_O[0], "b pos head d, head d model -> head b pos model"),
            model.b_O[0].expand_as(cache["hook_embed"]),
        ]
    )
    normed = sources / cache["blocks.1.ln1.hook_scale"]
    values = einsum(normed, model.W_V[1], "source b key model, head model d -> source b key head d")
    pattern = cache["blocks.1.attn.hook_pattern"]
    mixed = einsum(pattern, values, "b head query key, source b key head d -> source b query head d")
    writes = einsum(mixed, model.W_O[1], "source b query head d, head d model -> source b query model")
    return writes / cache["ln_final.hook_scale"] @ model.W_U
