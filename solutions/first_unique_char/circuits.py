"""The weights: what layer 0 compares, what layer 1 writes, and the LayerNorms in between.

The model has been folded (`enable_compatibility_mode()`): the LayerNorms have no weights of their own left,
and the residual stream has mean zero anyway, so all that a LayerNorm does is divide by one number, its scale.
"""

from collections.abc import Sequence

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise


@exercise(difficulty=2, importance=4, minutes=10)
@torch.no_grad()
def ln0_scale_table(model: TransformerBridge) -> Float[Tensor, "vocab=11 pos=20"]:
    """The scale of the first LayerNorm for every token at every position, from the weights alone.

    A LayerNorm divides by the square root of (the mean square of the residual stream over its 42 directions,
    plus `model.cfg.eps`). Before the first one nothing has happened but the two embeddings, so its scale can
    depend on nothing but the token and the position: entry [t, p] is the scale where token t stands at p.
    """
    residual = model.W_E[:, None] + model.W_pos
    return (residual.pow(2).mean(-1) + model.cfg.eps).sqrt()


@exercise(difficulty=3, importance=4, minutes=20)
@torch.no_grad()
def freeze_layernorm(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"], which: Sequence[str]
) -> Float[Tensor, "batch seq vocab"]:
    """The logits of a model whose LayerNorms no longer look at what they normalise.

    `which` names the LayerNorms to freeze: "first" (before layer 0), "second" (before layer 1), "final"
    (before the unembedding), or several of them, or none. A frozen LayerNorm divides by the same number
    everywhere: the mean of its scale over all sequences of `tokens` and all positions but 0, when the model
    runs on them undisturbed. The LayerNorms that are not named go on as usual, on whatever reaches them.
    """
    hook_names = {
        "first": "blocks.0.ln1.hook_scale",
        "second": "blocks.1.ln1.hook_scale",
        "final": "ln_final.hook_scale",
    }
    _, cache = model.run_with_cache(tokens, names_filter=list(hook_names.values()))
    hooks = []
    for name in which:
        mean = cache[hook_names[name]][:, 1:].mean()
        hooks.append((hook_names[name], lambda scale, hook, mean=mean: mean.expand_as(scale)))
    return model.run_with_hooks(tokens, fwd_hooks=hooks)


@exercise(difficulty=2, importance=5, minutes=15)
@torch.no_grad()
def token_qk(model: TransformerBridge, head: int, ln_scale: float) -> Float[Tensor, "query=10 key=10"]:
    """How much a letter wants to look at a letter, in a head of layer 0, wherever the two stand.

    Row: the letter that asks. Column: the letter that is looked at. Both are the token embedding only (no
    position, no query or key bias), divided by `ln_scale` in place of the LayerNorm. The entry is their
    attention score, as it would go into the softmax.
    """
    letters = model.W_E[:10] / ln_scale
    query = letters @ model.W_Q[0, head]
    key = letters @ model.W_K[0, head]
    return query @ key.T / model.cfg.d_head**0.5


@exercise(difficulty=2, importance=4, minutes=10)
@torch.no_grad()
def l0_detectors(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"], hi: float = 0.30, lo: float = 0.04
) -> dict[int, tuple[set[int], set[int]]]:
    """Which letters every head of layer 0 seeks, and which it avoids, when it sees one of the same.

    For every head take the scores between the ten letters (embeddings only: no positions, no biases, no "?").
    Their LayerNorm scale is the mean of the first LayerNorm's scale over all sequences of `tokens` and all
    positions but 0. Imagine that each letter could choose between all ten: softmax its scores over them. A
    letter that gives itself more than `hi` is a duplicate letter of the head, one that gives itself less than
    `lo` is an anti-duplicate letter.

    Returns {head: (its duplicate letters, its anti-duplicate letters)} for the heads 0, 1, 2: sets of ids.
    """
    _, cache = model.run_with_cache(tokens, names_filter="blocks.0.ln1.hook_scale")
    letters = model.W_E[:10] / cache["blocks.0.ln1.hook_scale"][:, 1:].mean()
    scores = (letters @ model.W_Q[0]) @ (letters @ model.W_K[0]).mT / model.cfg.d_head**0.5
    to_itself = scores.softmax(-1).diagonal(dim1=-2, dim2=-1)
    return {
        head: ({i for i in range(10) if row[i] > hi}, {i for i in range(10) if row[i] < lo})
        for head, row in enumerate(to_itself.tolist())
    }


@exercise(difficulty=3, importance=5, minutes=20)
@torch.no_grad()
def virtual_keys(
    model: TransformerBridge, queries: Float[Tensor, "head1=3 d_head=14"], scales: tuple[float, float]
) -> Float[Tensor, "head1=3 source=4 vocab=11"]:
    """How much a head of layer 1 wants to look at a token, by the way the token got there.

    First axis: the head of layer 1, which asks with its row of `queries` (as its `hook_q` gives them). Second
    axis, the way: 0, the token stands at that position itself; 1, 2, 3, head 0, 1, 2 of layer 0 had brought
    its embedding there. Third axis: the token. The entry is what this adds to the attention score, as it would
    go into the softmax: a plain product of weights (no key bias, no positions), as if the attention in layer 0
    were 1. `scales` are the numbers that the first and the second LayerNorm divide by. A way is divided by the
    scale of every LayerNorm that it passes through.
    """
    first, second = scales
    moved = model.W_E / first @ model.W_V[0] @ model.W_O[0]
    sources = torch.cat([model.W_E[None], moved]) / second
    keys = einsum(sources, model.W_K[1], "source vocab model, head1 model d -> head1 source vocab d")
    return einsum(keys, queries, "head1 source vocab d, head1 d -> head1 source vocab") / model.cfg.d_head**0.5


@exercise(difficulty=3, importance=5, minutes=20)
@torch.no_grad()
def virtual_ov(
    model: TransformerBridge, scales: tuple[float, float, float]
) -> Float[Tensor, "head1=3 source=4 vocab vocab"]:
    """What a head of layer 1 adds to every logit when it looks at a position, by the way the token got there.

    First axis: the head of layer 1. Second axis, the way: 0, the token stands at that position itself;
    1, 2, 3, head 0, 1, 2 of layer 0 had brought its embedding there. Row: the token. Column: the logit. Each
    entry is a plain product of weights (no biases, no positions), as if every attention on the way were 1.
    `scales` are the numbers that the first, the second and the final LayerNorm divide by. A way is divided by
    the scale of every LayerNorm that it passes through.
    """
    first, second, final = scales
    moved = model.W_E / first @ model.W_V[0] @ model.W_O[0]
    sources = torch.cat([model.W_E[None], moved])
    readers = model.W_V[1] @ model.W_O[1] @ model.W_U
    return sources / second @ readers[:, None] / final
