"""Does it cause it: change a pattern, a vector or a single row, and see what the model then says."""

from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise

from .dataset import SEP, is_teacher_forced


@exercise(difficulty=3, importance=5, minutes=12)
@torch.no_grad()
def pattern_ablation_hook(
    pattern: Float[Tensor, "batch head seq seq"],
    hook: HookPoint,
    kind: Literal["zero", "mean_pattern", "uniform"],
    mask: Bool[Tensor, "1 1 seq seq"],
) -> Float[Tensor, "batch head seq seq"]:
    """A hook for `hook_pattern` of an attention layer: return the pattern that the layer uses instead.

    The axes of `pattern` are batch, head, query, key. `mask` is the extra mask (True is forbidden) that the
    model runs with besides the causal rule.
      "zero"          no attention at all: every entry 0
      "mean_pattern"  each row gets the mean of the pattern over the batch, so no row depends on its own list
      "uniform"       each query spreads its attention evenly over all keys that it is allowed to see
    Do not change `pattern` itself.
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=5, minutes=20)
@torch.no_grad()
def ablate_attention(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch seq"],
    mask: Bool[Tensor, "1 1 seq seq"],
    layer: int,
    kind: Literal["zero", "mean_pattern", "uniform"],
) -> dict[str, float]:
    """The loss of the whole batch "before" and "after" the attention of one layer is ablated.

    `kind` means what it means in `pattern_ablation_hook`. The loss is the next-token cross-entropy in nats,
    as a mean over the batch and over all positions that have a next token.
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=5, minutes=15)
@torch.no_grad()
def patch_sep(
    model: TransformerBridge,
    lists: Int[Tensor, "batch 2"],
    donor: Int[Tensor, "batch 2"],
    mask: Bool[Tensor, "1 1 5 5"],
    layer: int,
) -> dict[str, float]:
    """Give each list the SEP vector of its donor, and see whose digits the model then says.

    Row by row, replace the residual stream at SEP after layer `layer` by that of the donor list, while all
    else stays the recipient's: also the tokens, which for a teacher model hold the recipient's own answers
    ([d1, d2, SEP, d1, d2], read o1 at position 2 and o2 at position 3) and for a bottleneck model
    ([d1, d2, SEP, SEP, SEP], read positions 3 and 4) do not. An answer is the token with the highest logit.
    Leave out the rows where recipient and donor agree in the first digit or in the second. Of the others,
    return the share where o1 is the recipient's first digit, "o1_recipient", or the donor's, "o1_donor";
    and where o2 is the recipient's second digit, "o2_recipient", or the donor's, "o2_donor".
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=5, minutes=15)
@torch.no_grad()
def gate_from_reversed(model: TransformerBridge, lists: Int[Tensor, "batch 2"], mask: Bool[Tensor, "1 1 5 5"]) -> float:
    """Does o2 know the order from where it looks? (A bottleneck model: tokens [d1, d2, SEP, SEP, SEP].)

    In layer 1, give the query at o2 (position 4) the attention that it has on the reversed list [d2, d1],
    and leave everything else alone. Return the share of lists on which o2 then says d1, among those whose
    two digits differ.
    """
    raise NotImplementedError
