"""How one head knows a trigram when it sees one: its attention scores, read from the weights."""

import torch
from einops import einsum, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise


@exercise(difficulty=3, importance=4, minutes=25)
@torch.no_grad()
def score_terms(model: TransformerBridge, tokens: Int[Tensor, "seq"]) -> Float[Tensor, "3 3 query key"]:
    """Split the head's attention scores into nine terms.

    A query is the sum of three parts, and so is a key: what the token embedding gives (0), what the position
    embedding gives (1) and the bias (2). Entry [i, j, q, k] is the part of the score from query position q to
    key position k that comes from part i of the query and part j of the key. The nine terms of a pair of
    positions add up to the score as the softmax sees it, so each carries the head's usual scale. No causal
    mask: fill in every (q, k).
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=5, minutes=25)
@torch.no_grad()
def previous_token_attention(model: TransformerBridge, query_pos: int = 1) -> Float[Tensor, "first second"]:
    """How much of its attention each token gives to each token right before it, from the weights alone.

    Entry [a, b]: token b stands at `query_pos` (at least 1) and looks, token a stands at `query_pos` - 1. The
    attention that b gives to a, if those two positions are the only ones in reach. For `query_pos` 1 that is
    exactly what the model does on the input [a, b].
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=5, minutes=10)
@torch.no_grad()
def detected_pairs(model: TransformerBridge, threshold: float = 0.2) -> Bool[Tensor, "first second"]:
    """The pairs that the head reacts to, out of all d_vocab x d_vocab (a = b included).

    True at [a, b] if, on the two-token input [a, b], b gives more than `threshold` of its attention to a.
    """
    raise NotImplementedError


@exercise(difficulty=1, importance=4, minutes=5)
def precision_recall(found: Bool[Tensor, "first second"], table: Int[Tensor, "first second"]) -> tuple[float, float]:
    """How well a set of pairs matches the trigrams, as (precision, recall).

    Precision: the share of the found pairs that begin a trigram (0 if nothing was found). Recall: the share
    of the trigrams whose pair was found. `table[a, b]` is -1 where (a, b) begins no trigram, and there is at
    least one.
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=3, minutes=20)
@torch.no_grad()
def recency_penalty(model: TransformerBridge) -> Float[Tensor, "query_pos token"]:
    """What it costs a key, in attention score, to stand one step further back.

    Token x stands at position p and looks. Entry: the score (as the softmax sees it, so with the head's
    scale) that it gives to a key at p itself minus the score that it gives to the same token's key at p - 1;
    positive if the later key wins. Columns are the tokens x, rows are the positions p = 1 .. n_ctx - 2 in
    that order (row 0 is p = 1). The last position is left out: it predicts nothing, so it is untrained.
    """
    raise NotImplementedError
