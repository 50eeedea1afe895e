"""Does it cause it? Heads, their inputs, and the ways between the layers, taken out one at a time."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise


@exercise(difficulty=1, importance=5, minutes=10)
def head_ablation_hook(
    z: Float[Tensor, "batch pos head d_head"], hook: HookPoint | None, head: int, kind: Literal["zero", "mean"]
) -> Float[Tensor, "batch pos head d_head"]:
    """A hook that takes one head out of a layer.

    `z` is what the heads have gathered, before the output matrix. Return it with the part of `head` replaced
    by zeros, or by its mean over the batch (each position has a mean of its own), and the other heads' parts
    as they were. The tensor that comes in must not change. `hook` is the place in the model where the function
    hangs: you need not use it.
    """
    z = z.clone()
    z[:, :, head] = 0 if kind == "zero" else z[:, :, head].mean(0)
    return z


@exercise(difficulty=3, importance=5, minutes=20)
@torch.no_grad()
def ablate_heads(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch seq"],
    labels: Int[Tensor, "batch seq"],
    kind: Literal["zero", "mean"],
) -> Float[Tensor, "layer=2 head=3 pos=20"]:
    """How much worse each position gets when one head is taken out.

    The loss at a position is the cross-entropy against `labels` there, averaged over the batch. Entry
    [layer, head, p]: the loss at position p without that head, minus the loss at the same position p of the
    whole model. To take a head out, replace what it has gathered (`hook_z`) by zeros, or by its mean over the
    batch, position by position.
    """

    def remove(z: Float[Tensor, "b pos head d"], hook: HookPoint, layer: int) -> Float[Tensor, "b pos head d"]:
        copies = list(z.chunk(7))
        for head in range(3):
            i = 1 + 3 * layer + head
            copies[i] = head_ablation_hook(copies[i], hook, head, kind)
        return torch.cat(copies)

    # One run for all: of seven copies of the batch the first stays whole, each of the others loses one head.
    hooks = [(f"blocks.{layer}.attn.hook_z", partial(remove, layer=layer)) for layer in range(2)]
    logits = model.run_with_hooks(tokens.repeat(7, 1), fwd_hooks=hooks)
    loss = F.cross_entropy(logits.mT, labels.repeat(7, 1), reduction="none").unflatten(0, (7, -1)).mean(1)
    return (loss[1:] - loss[0]).unflatten(0, (2, 3))


@exercise(difficulty=2, importance=4, minutes=15)
@torch.no_grad()
def block_self_attention(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"], positions: Sequence[int]
) -> Float[Tensor, "batch seq vocab"]:
    """The logits of a model whose layer 0 may not look at where it stands.

    At each of `positions` (0 is never among them), every head of layer 0 gives the attention that it has on
    its own position to position 0 instead, where the "?" is. All other attention stays as it is, in both
    layers.
    """

    def redirect(pattern: Float[Tensor, "b head query key"], hook: HookPoint) -> Float[Tensor, "b head query key"]:
        pattern = pattern.clone()
        for position in positions:
            pattern[:, :, position, 0] += pattern[:, :, position, position]
            pattern[:, :, position, position] = 0
        return pattern

    return model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_pattern", redirect)])


@exercise(difficulty=3, importance=4, minutes=15)
@torch.no_grad()
def ablate_qkv(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch seq"],
    labels: Int[Tensor, "batch seq"],
    kind: Literal["zero", "mean"],
) -> Float[Tensor, "qkv=3 layer=2 head=3"]:
    """How much worse the model gets when one head loses its queries, its keys or its values.

    Entry [i, layer, head]: by how much the loss (cross-entropy against `labels`, averaged over the batch and
    all positions) rises when the queries (i = 0), keys (1) or values (2) of that head, and nothing else, are
    replaced by zeros, or by their mean over the batch, position by position.
    """

    def remove(x: Float[Tensor, "b pos head d"], hook: HookPoint, layer: int) -> Float[Tensor, "b pos head d"]:
        copies = x.clone().unflatten(0, (7, -1))
        for head in range(3):
            copy = copies[1 + 3 * layer + head, :, :, head]
            copy[:] = 0 if kind == "zero" else copy.mean(0)
        return copies.flatten(0, 1)

    def losses(name: str) -> Float[Tensor, "layer=2 head=3"]:
        hooks = [(f"blocks.{layer}.attn.hook_{name}", partial(remove, layer=layer)) for layer in range(2)]
        logits = model.run_with_hooks(tokens.repeat(7, 1), fwd_hooks=hooks)
        loss = F.cross_entropy(logits.mT, labels.repeat(7, 1), reduction="none").view(7, -1).mean(1)
        return (loss[1:] - loss[0]).view(2, 3)

    # As in ablate_heads, of seven copies of the batch the first stays whole.
    return torch.stack([losses(name) for name in "qkv"])


@exercise(difficulty=4, importance=5, minutes=35)
@torch.no_grad()
def ablate_composition(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch seq"],
    labels: Int[Tensor, "batch seq"],
    into: Literal["q", "k", "v"],
    components: Sequence[str],
) -> tuple[float, float]:
    """Cut the way from some components into the queries, the keys or the values of layer 1, and no other way.

    `components` names what to cut, all at once: "emb" and "pos" (the embeddings), "H0.0", "H0.1", "H0.2" (the
    heads of layer 0). Where layer 1 computes its queries (`into` is "q"), keys ("k") or values ("v"), for all
    its heads, each of these is replaced by its mean over the batch, position by position. The LayerNorm goes
    on dividing by the scale that it has without the cut. The other two inputs of layer 1, and the way past
    layer 1 to the logits, keep the components as they are.

    Returns the loss (cross-entropy against `labels`) and the accuracy, over the batch and all positions.
    """
    _, cache = model.run_with_cache(tokens)
    z = cache["blocks.0.attn.hook_z"]
    heads = einsum(z, model.W_O[0], "batch pos head d, head d model -> head batch pos model")
    parts = {"emb": cache["hook_embed"], "pos": cache["hook_pos_embed"]}
    parts |= {f"H0.{head}": heads[head] for head in range(3)}

    residual = cache["blocks.1.hook_resid_pre"]
    for name in components:
        residual = residual - parts[name] + parts[name].mean(0)
    weight = {"q": model.W_Q, "k": model.W_K, "v": model.W_V}[into][1]
    bias = {"q": model.b_Q, "k": model.b_K, "v": model.b_V}[into][1]
    normed = residual / cache["blocks.1.ln1.hook_scale"]
    cut = einsum(normed, weight, "batch pos model, head model d -> batch pos head d") + bias

    logits = model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.1.attn.hook_{into}", lambda _, hook: cut)])
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    return loss.item(), (logits.argmax(-1) == labels).float().mean().item()
