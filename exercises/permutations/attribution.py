"""Whose doing is a logit? The attention on right sources, the paths to the logits, the share of each source.

Activations come from `model.run_with_cache(tokens, names_filter=...)`; their names are below. The cached v
and z are [batch, pos, head, d_head], the pattern is [batch, head, dest, src], the scale [batch, pos, 1].
"""

from itertools import permutations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise

PATTERN, V, Z = (f"blocks.0.attn.hook_{part}" for part in ("pattern", "v", "z"))
FINAL_SCALE = "ln_final.hook_scale"


@exercise(difficulty=2, importance=5, minutes=15)
@torch.no_grad()
def attention_on_admissible(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"], n: int
) -> Float[Tensor, "dest"]:
    """How much of each row's attention lies where the next token can be copied from.

    Args:
        tokens: whole sequences for n characters.

    Returns:
        For every row p the attention from p to admissible sources, averaged over the batch. Position j <= p
        is admissible if it holds the same index of the first term as position p+1 does (a space, if a space
        comes next), whatever the characters are. 0 for rows that have no admissible source.
    """
    raise NotImplementedError


@exercise(difficulty=4, importance=5, minutes=25)
@torch.no_grad()
def logit_attribution(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"]
) -> dict[str, Float[Tensor, "batch seq"]]:
    """Split the logit of the token that really comes next into the paths that lead to it.

    Returns:
        At [b, p], the part that each path has in row p's logit for `tokens[b, p+1]`:

        - "token_embed": the token embedding at p, directly,
        - "pos_embed": the position embedding at p, directly,
        - "attn": what the head moved to p, b_V included (z times W_O),
        - "attn_bias": b_O,
        - "ln_bias": ln_final's bias.

        The five add up to the logit. Each path goes through ln_final, which divides all of them by the scale
        that it has in this run. Nothing comes after the last position: its column is 0.
    """
    raise NotImplementedError


@exercise(difficulty=4, importance=5, minutes=20)
@torch.no_grad()
def source_attribution(model: TransformerBridge, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch dest src"]:
    """Split the head's part in the next token's logit by the position that it came from.

    Returns:
        At [b, p, j], what the head's attention from p to j adds to row p's logit for `tokens[b, p+1]`: the
        attention, times the value at j (b_V included) as read by that logit through W_O, ln_final (centred,
        weight, divided by the scale of this run at p) and W_U. Summed over j it is the whole of what the head
        moved to p, without b_O. Nothing comes after the last position: its row is 0.
    """
    raise NotImplementedError
