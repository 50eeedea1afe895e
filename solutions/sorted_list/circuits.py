"""What the weights say, before any list is seen.

The model is one attention head without MLP, norms or biases. So each attention score and each logit is a
sum of table entries, and the tables are products of weight matrices:

    model.W_E    [52, d_model]        token embedding: numbers 0 .. 49, BOS 50, MID 51
    model.W_pos  [22, d_model]        position embedding
    model.W_Q, model.W_K, model.W_V   [1, 1, d_model, d_head]   (layer, head, in, out)
    model.W_O                         [1, 1, d_head, d_model]
    model.W_U    [d_model, 50]        unembedding: numbers only

Vectors are rows: the query of a residual vector x is x @ W_Q.
"""

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise


@exercise(difficulty=2, importance=5, minutes=10)
@torch.no_grad()
def ov_tables(model: TransformerBridge) -> tuple[Float[Tensor, "52 50"], Float[Tensor, "22 50"]]:
    """What each source adds to the logits when the head attends to it fully.

    A source is a token at a position, and its effect is the sum of two rows: one that depends on the token
    only, and one that depends on the position only. Give the table of each. Count only what the head moves,
    not what a position sends to its own logits past the head.

    Returns:
        The token table [source token, output number] and the position table [source position, output
        number], both in logits, as they are (no row or column mean removed).
    """
    w_ovu = model.W_V[0, 0] @ model.W_O[0, 0] @ model.W_U
    return model.W_E @ w_ovu, model.W_pos @ w_ovu


@exercise(difficulty=3, importance=5, minutes=15)
@torch.no_grad()
def qk_tables(model: TransformerBridge) -> dict[str, Float[Tensor, "_dest _src"]]:
    """Split the attention score into four tables.

    The head scores how much a destination (which sends the query) wants a source (which sends the key).
    Both are a token at a position, so a score is a sum of four entries. The first word of a name is the
    destination's side: "tok_pos" is what a destination token adds for a source position.

    Returns:
        Four tables with destinations as rows and sources as columns, in the units that enter the softmax:
            tok_tok [52, 52],  tok_pos [52, 22],  pos_tok [22, 52],  pos_pos [22, 22]
    """
    parts = {"tok": model.W_E, "pos": model.W_pos}
    queries = {name: part @ model.W_Q[0, 0] for name, part in parts.items()}
    keys = {name: part @ model.W_K[0, 0] for name, part in parts.items()}
    scale = model.cfg.d_head**0.5
    return {f"{dest}_{src}": queries[dest] @ keys[src].T / scale for dest in parts for src in parts}


@exercise(difficulty=2, importance=3, minutes=10)
def successor_fraction(tok_tok: Float[Tensor, "52 52"]) -> float:
    """How often does a number prefer its successor?

    Take the numbers that have a successor among 0 .. 49. For what part of them, as destinations, is the
    number with the highest score the successor? Sources are numbers; BOS and MID do not compete.

    Args:
        tok_tok: a table of scores [destination token, source token].
    """
    favourite = tok_tok[:49, :50].argmax(dim=1)
    return (favourite == torch.arange(1, 50)).double().mean().item()


@exercise(difficulty=3, importance=5, minutes=15)
@torch.no_grad()
def score_terms(model: TransformerBridge, tokens: Int[Tensor, "batch 22"]) -> Float[Tensor, "4 batch 22 22"]:
    """The four terms of every attention score in these sequences.

    Returns:
        [term, batch, destination position, source position], where the terms are tok_tok, tok_pos, pos_tok
        and pos_pos, in this order and named as in qk_tables. Units are those that enter the softmax. No
        mask: fill in the entries of sources after their destination like all others.
    """
    parts = torch.stack([model.W_E[tokens], model.W_pos.expand(len(tokens), -1, -1)])
    queries, keys = parts @ model.W_Q[0, 0], parts @ model.W_K[0, 0]
    scores = einsum(queries, keys, "row batch dest d, col batch src d -> row col batch dest src")
    return rearrange(scores, "row col batch dest src -> (row col) batch dest src") / model.cfg.d_head**0.5
