"""What happens if a part is taken away?

A hook is a function (activation, hook) -> activation that the model calls on its way:

    model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_pattern", function)])

Two hooks are enough here:

    blocks.0.attn.hook_pattern  [batch, head, destination, source]  attention, after mask and softmax
    blocks.0.attn.hook_q        [batch, position, head, d_head]     queries

(blocks.0.attn.hook_attn_scores cannot be edited in this version of the library, and in a cache it holds the
pattern, not the scores.) The model goes on with the tensor that the hook returns.
"""

from collections.abc import Sequence
from functools import partial

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise

TERMS = ("tok_tok", "tok_pos", "pos_tok", "pos_pos")


@exercise(difficulty=4, importance=5, minutes=25)
@torch.no_grad()
def logits_with_terms(
    model: TransformerBridge, tokens: Int[Tensor, "batch 22"], keep: Sequence[str]
) -> Float[Tensor, "batch 22 50"]:
    """The logits if only some of the four score terms existed.

    Set the terms that are not kept to zero in every attention score. All else works as in the model: the
    causal mask, the softmax, the values, the direct path. With all four kept this is the model itself; with
    none, every position attends evenly to itself and all positions before it.

    Args:
        keep: names from TERMS (first word: destination, second word: source), in any order, perhaps none.
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=5, minutes=15)
def block_sources_hook(
    pattern: Float[Tensor, "batch head 22 22"], hook: HookPoint, sources: Sequence[int]
) -> Float[Tensor, "batch head 22 22"]:
    """Hide some sources from the ten steps.

    A hook for blocks.0.attn.hook_pattern. The destinations that make the ten steps, positions 11 to 20,
    give no attention to the positions in sources, and their remaining attention is scaled up so that it
    sums to 1 again. All other destinations keep theirs.

    Args:
        pattern: attention [batch, head, destination, source].
        hook: the place where the function was called (not needed).
        sources: positions from 0 to 21; they never cover everything that a step can see.
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=5, minutes=15)
@torch.no_grad()
def block_sources(
    model: TransformerBridge, tokens: Int[Tensor, "batch 22"], sources: Sequence[int]
) -> Float[Tensor, "batch 22 50"]:
    """The model's logits with some sources hidden from the ten steps.

    On destinations 11 to 20, take away the attention to the positions in sources and scale up the rest to
    sum to 1; nothing else changes. Your block_sources_hook does this to a pattern: run the model with it.

    Args:
        sources: positions from 0 to 21; they never cover everything that a step can see. It may be empty.
    """
    raise NotImplementedError


@exercise(difficulty=4, importance=5, minutes=25)
@torch.no_grad()
def remove_term_keep_mass(
    model: TransformerBridge, tokens: Int[Tensor, "batch 22"], term: str
) -> Float[Tensor, "batch 22 50"]:
    """Remove a score term from the choice inside the list, and from nothing else.

    Setting a term to zero does two things at once: it changes which list number is preferred, and how much
    attention the list gets as a whole, against BOS and MID. Keep the second fixed. On destinations 11 to
    20, share out anew the attention that the ten list positions (1 to 10) together get in the model:
    in proportion to the softmax, over these ten alone, of the sum of the other three terms. Attention to
    all other sources, and all other destinations, stay as in the model.

    Args:
        term: the name from TERMS to remove.
    """
    raise NotImplementedError


@exercise(difficulty=4, importance=4, minutes=20)
@torch.no_grad()
def shift_query_position(
    model: TransformerBridge, tokens: Int[Tensor, "batch 22"], shift: int
) -> Float[Tensor, "batch 22 50"]:
    """Let the head believe that it stands at another step.

    At each position p in 12 .. 20 for which p + shift is in 12 .. 20 too, make the query that the same
    token would send from position p + shift. Queries of all other positions stay, and so do all keys and
    values and the direct path: p remains p for everything but its own query.

    Args:
        shift: how many positions further along (negative: back) the queries pretend to be.
    """
    raise NotImplementedError
