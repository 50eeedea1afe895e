"""Does it cause it? Take the head away, narrow what it sees, put another sequence's activations in.

A hook function is called as f(activation, hook) and what it returns takes the activation's place;
`model.run_with_hooks(tokens, fwd_hooks=[(name, f)])` runs the model with it. q, k, v and z are
[batch, pos, head, d_head], the pattern is [batch, head, dest, src]. The hooks are named below.
"""

from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise

HOOKS = {part: f"blocks.0.attn.hook_{part}" for part in ("q", "k", "v", "z", "pattern")}


@exercise(difficulty=2, importance=4, minutes=15)
@torch.no_grad()
def ablate_head(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch seq"],
    mode: Literal["zero", "mean"],
    reference: Int[Tensor, "ref seq"],
) -> Float[Tensor, "batch seq vocab"]:
    """The logits when the head's output says nothing about the sequence.

    Args:
        mode: "zero" replaces the head's z by 0 everywhere; "mean" replaces it, at every position, by the mean
            of z at that position over the reference sequences.
        reference: other sequences of the same length. They are only used by "mean".
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=5, minutes=20)
@torch.no_grad()
def restrict_sources(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"], allowed: Bool[Tensor, "dest src"]
) -> Float[Tensor, "batch seq vocab"]:
    """The logits when the head may only attend to some sources.

    Args:
        allowed: which sources each destination may use, the same for all sequences.

    The attention on other sources is removed, and the rest of the row scaled up so that it sums to 1 again.
    A row that has no attention at all on its allowed sources keeps the pattern that it has.
    """
    raise NotImplementedError


@exercise(difficulty=1, importance=4, minutes=5)
@torch.no_grad()
def transplant_hook(
    activation: Float[Tensor, "*shape"], hook: HookPoint, donor: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """A hook function that puts another run's activation in the place of this run's.

    Args:
        activation: what this run has computed at the hook: queries, keys, values or a pattern.
        hook: the hook point, with its name in `hook.name`.
        donor: what the other run had at the same hook.

    Returns:
        What the model is to go on with: the donor's activation, for every sequence, position and head.
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=5, minutes=15)
@torch.no_grad()
def transplant(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch seq"],
    donor: Int[Tensor, "batch seq"],
    part: Literal["q", "k", "v", "pattern"],
) -> Float[Tensor, "batch seq vocab"]:
    """The logits on the tokens when one part of the head is taken from other sequences.

    Args:
        donor: the sequences to take from; sequence b of the donor gives to sequence b of the tokens.
        part: what is taken, at all positions: the queries, the keys, the values or the whole pattern. All
            else in the model is computed from the tokens.
    """
    raise NotImplementedError
