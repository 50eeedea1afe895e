"""Which source made this logit?

The logits of a step are a sum: one part per source that the head attends to, plus the direct path, which
leads from the destination's own embeddings past the head to the logits.
"""

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise


@torch.no_grad()
def predict_with_smooth_table(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch 22"],
    ov_numbers: Float[Tensor, "50 50"],
    smooth: Float[Tensor, "50 50"],
) -> Int[Tensor, "batch 10"]:
    """Given: the ten predictions if the number rows of the OV table were smooth instead of ov_numbers.

    Attention, BOS and MID, the positions' share and the direct path stay as they are. Try it on what
    split_ov returns: how often is the prediction right, and how often is it off by one?
    """
    logits, cache = model.run_with_cache(tokens)
    change = torch.zeros(52, 50, dtype=smooth.dtype)
    change[:50] = smooth - ov_numbers
    return (logits + cache["pattern", 0][:, 0] @ change[tokens])[:, 11:21].argmax(dim=-1)


@exercise(difficulty=4, importance=5, minutes=25)
@torch.no_grad()
def source_attribution(
    model: TransformerBridge, tokens: Int[Tensor, "batch 22"]
) -> tuple[Float[Tensor, "batch 10 22"], Float[Tensor, "batch 10"]]:
    """Credit the right answer's logit to the sources it came from.

    The right answer of step i is the number at position 12 + i. Its logit alone says little, since adding
    one constant to all 50 logits changes no prediction: so measure every contribution at the answer minus
    the mean of that same contribution over the 50 outputs.

    Returns:
        Two tensors, in logits:
            [batch, step, source position]: what each source, token and position together, adds to the step
            through the head, with the attention that it really gets;
            [batch, step]: what the direct path adds.
        Summed over the 22 sources, and with the direct path, they give the answer's logit minus the mean
        logit. Sources that the causal mask hides add 0.
    """
    _, cache = model.run_with_cache(tokens)
    pattern = cache["pattern", 0][:, 0, 11:21]
    embeds = model.W_E[tokens] + model.W_pos
    centred = model.W_U - model.W_U.mean(dim=1, keepdim=True)
    readers = centred.T[tokens[:, 12:22]]
    moved = embeds @ model.W_V[0, 0] @ model.W_O[0, 0]
    values = einsum(moved, readers, "batch src d_model, batch step d_model -> batch step src")
    return pattern * values, (embeds[:, 11:21] * readers).sum(dim=-1)


@exercise(difficulty=3, importance=4, minutes=15)
def split_ov(ov_numbers: Float[Tensor, "50 50"]) -> tuple[Float[Tensor, "50 50"], Float[Tensor, "50"]]:
    """Separate the hill from the spike in each row of the OV table.

    In row s (source number s) the entry of output s stands out from a curve that is otherwise smooth.
    Estimate what the curve would be there from the two outputs beside it in the same row: their mean. Rows
    0 and 49 have one such neighbour only; continue the straight line through the two nearest outputs.

    Args:
        ov_numbers: [source number, output number]. Leave this tensor as it is.

    Returns:
        smooth: the same table with the estimate in place of each diagonal entry;
        bump: how far each diagonal entry of ov_numbers lies above its estimate.
    """
    diagonal, left, right = ov_numbers.diagonal(), ov_numbers.diagonal(-1), ov_numbers.diagonal(1)
    first = 2 * ov_numbers[0, 1] - ov_numbers[0, 2]
    last = 2 * ov_numbers[49, 48] - ov_numbers[49, 47]
    estimate = torch.cat([first[None], (left[:-1] + right[1:]) / 2, last[None]])
    return ov_numbers.diagonal_scatter(estimate), diagonal - estimate
