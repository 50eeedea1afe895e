"""The data, and how well a model does on it.

A list is two digits. Tokens 0..9 are the digits and 10 is the separator SEP. A sequence has the five
positions [d1, d2, SEP, o1, o2]: the list, the separator, and two places for the answers. An extra mask keeps
the two answer positions from looking at the digits, in both layers.
Two families of models share one architecture (2 layers, 1 head each, no MLP):
  teacher     was fed the true answers, [d1, d2, SEP, d1, d2], and learned to say each next token: the logits
              at position i predict token i + 1, so SEP says d1 and o1 says d2
  bottleneck  was fed [d1, d2, SEP, SEP, SEP], and its logits at o1 and o2 say d1 and d2
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise

SEP = 10  # also the number of digits: tokens 0..9 are the digits


def is_teacher_forced(model: TransformerBridge) -> bool:
    """Which family is it? Only a teacher model ever has to say SEP. So the logits of its final bias alone put
    SEP above the average digit; those of a bottleneck model put it below."""
    bias = model.ln_final.bias @ model.W_U
    return bool(bias[SEP] > bias[:SEP].mean())


@exercise(difficulty=1, importance=4, minutes=5)
def make_tokens(lists: Int[Tensor, "batch 2"], teacher_forced: bool) -> Int[Tensor, "batch 5"]:
    """The five tokens that a model reads for each list.

    Each row is the list, then SEP, then two more tokens: the list once more if `teacher_forced`, and
    otherwise SEP at both answer positions. The integer type of `lists` is kept.
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=5, minutes=8)
def block_mask(seq: int, list_len: int = 2) -> Bool[Tensor, "1 1 seq seq"]:
    """Which attention is forbidden on top of the causal rule, for the first `seq` positions.

    `mask[0, 0, query, key]` is True where `query` may not look at `key`. The positions are `list_len` digits
    (2 in every model here), then SEP, then the answers. What is forbidden is that an answer position looks at
    a digit, and nothing else. SEP may look at the digits. Leave the causal rule to the model. A model takes
    the mask as `model(tokens, attention_mask=mask)` and applies it in both layers.
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=4, minutes=8)
@torch.no_grad()
def loss_by_position(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"], mask: Bool[Tensor, "1 1 seq seq"]
) -> Float[Tensor, "seq_minus_1"]:
    """The next-token loss at each position, as a mean over the batch.

    Cross-entropy in nats. Entry i scores the logits at position i against the token at position i + 1; the
    last position has nothing to predict, so there is one entry less than there are positions.
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=3, minutes=10)
@torch.no_grad()
def greedy_decode(model: TransformerBridge, lists: Int[Tensor, "batch 2"]) -> Int[Tensor, "batch 2"]:
    """What the model itself answers, o1 and o2, for each list.

    `is_teacher_forced(model)` tells the family. A teacher model starts from [d1, d2, SEP], says o1 at SEP,
    then reads its own o1 (never the true one) and says o2 there. A bottleneck model reads
    [d1, d2, SEP, SEP, SEP] once and answers at its last two positions. An answer is the token with the
    highest logit. Answer positions may not look at the digits; a mask must be as long as the tokens are.
    """
    raise NotImplementedError
