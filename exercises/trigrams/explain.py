"""Say what the model does in a few lines, and see how often it does what you said."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise


def explanation_score(
    predicted: Float[Tensor, "batch seq d_vocab"],
    actual: Float[Tensor, "batch seq d_vocab"],
    required: Int[Tensor, "batch seq"],
) -> tuple[float, float, float]:
    """How well predicted probabilities match the model's: three shares, whose mean is the score of `explain`.

    The first and the last position are left out. `required` is the forced next token, or -1 where none is.
    1. Where it is forced: the most probable token is the same.
    2. Where it is forced: the same token has more than half of the probability, or none has in either.
    3. The same as 2 wherever nothing is forced. (Which token comes first there is close to noise.)
    """
    (p, top), (p_model, top_model) = predicted[:, 1:-1].max(-1), actual[:, 1:-1].max(-1)
    same = top == top_model
    same_claim = torch.where((p > 0.5) & (p_model > 0.5), same, (p > 0.5) == (p_model > 0.5))
    forced = required[:, 1:-1] >= 0
    shares = same[forced], same_claim[forced], same_claim[~forced]
    return tuple(share.double().mean().item() for share in shares)  # type: ignore[return-value]


@exercise(difficulty=2, importance=5, minutes=10)
@torch.no_grad()
def current_token_lookup(model: TransformerBridge, query_pos: int = 1) -> Int[Tensor, "d_vocab"]:
    """What the model would answer to each token if its head looked nowhere else.

    Entry b: token b stands at position `query_pos` and gives all of its attention to itself. The token with
    the highest logit there.
    """
    raise NotImplementedError


@exercise(difficulty=4, importance=5, minutes=45)
@torch.no_grad()
def explain(
    model: TransformerBridge, table: Int[Tensor, "first second"], tokens: Int[Tensor, "batch seq"]
) -> Float[Tensor, "batch seq d_vocab"]:
    """Your account of the model, as a program: at every position, its probabilities for the next token.

    Use the weights, the trigrams (`table[a, b]` is what follows the pair (a, b), or -1) and the tokens, but
    do not run the model: a model is not its own explanation. The answer at a position may depend on nothing
    but the token there and the token before it (at position 0, on the token alone), wherever in the sequence
    they stand. It is compared with the model's by `explanation_score`, on fresh sequences and on checkpoints
    with other trigrams.
    """
    raise NotImplementedError
