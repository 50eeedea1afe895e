"""Does it cause it? Force the attention one way or the other, take units out, and count the right answers."""

from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise


@exercise(difficulty=2, importance=5, minutes=15)
def force_previous_hook(
    pattern: Float[Tensor, "batch head query key"], hook: HookPoint, p_prev: Float[Tensor, "batch"]
) -> Float[Tensor, "batch head query key"]:
    """A hook for `hook_pattern` that decides where the last position looks.

    In the last query row of sequence i, the last key gets 1 - `p_prev[i]`, the key before it `p_prev[i]`,
    every other key 0, in all heads. The other rows stay as they were. Returns the new pattern and leaves
    `pattern` itself alone.
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=5, minutes=10)
@torch.no_grad()
def with_previous_attention(
    model: TransformerBridge, tokens: Int[Tensor, "batch 2"], p_prev: Float[Tensor, "batch"]
) -> Float[Tensor, "batch d_vocab"]:
    """The logits at the last position of two-token inputs [a, b] if the head is told where to look.

    In input i, b gives the share `p_prev[i]` of its attention to a and the rest to itself. The rest of the
    model runs as usual on what follows from that.
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=4, minutes=15)
@torch.no_grad()
def accuracy_without_neurons(
    model: TransformerBridge,
    trigrams: Int[Tensor, "n 3"],
    neurons: Bool[Tensor, "d_mlp"],
    fill: Float[Tensor, "d_mlp"] | None = None,
) -> float:
    """The share of the trigrams (a, b -> c) that the model still gets right without some of its MLP units.

    The input is [a, b], and right means that c has the highest logit at the last position. The units where
    `neurons` is True are set, after the ReLU and at both positions, to 0, or to their entry of `fill` if that
    is given (such as their mean over data). The others stay as they are.
    """
    raise NotImplementedError
