"""What the weights say: where the head looks (QK), and what it writes when it looks there (OV).

The model has one layer and one head: resid = W_E[token] + W_pos[position], LayerNorm `model.blocks[0].ln1`,
the head, LayerNorm `model.ln_final`, W_U. A LayerNorm centres its input, divides it by its scale (the root of
the variance plus `model.cfg.eps`), multiplies by `.weight` and adds `.bias`. The head's weights carry a layer
and a head axis, `model.W_Q[0, 0]` is [d_model, d_head], `model.b_Q[0, 0]` is [d_head].
"""

from itertools import permutations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise

FIRST_LETTER = 3  # tokens 0, 1, 2 are `>`, space and full stop; 3 to 64 are the characters ("letters")


@exercise(difficulty=2, importance=5, minutes=15)
def admissible_sources(n: int) -> Bool[Tensor, "dest src"]:
    """From which positions could each row copy its next token, whatever the characters are?

    Args:
        n: how many characters are permuted; a sequence has (n+1)! + 2 positions.

    Returns:
        True at [p, j] where the head, at row p, can see position j and j is bound to hold the token that
        comes at p+1: the same index of the first term if that is a letter, a space if it is a space.
        Rows whose next token has not occurred before are all False, and so is the last row.
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=5, minutes=20)
@torch.no_grad()
def ov_circuit(model: TransformerBridge) -> Float[Tensor, "src_vocab dst_vocab"]:
    """What attending to a token does to every logit.

    Returns:
        A row for each source token, a column for each logit: the path W_E, W_V, W_O, W_U, with the parts of
        both LayerNorms that are linear. That is, before W_V the embedding is centred over d_model and
        multiplied by ln1's weight, and before W_U the head's output is centred over d_model and multiplied
        by ln_final's weight. Divide by no scale and add no bias: the unit is logits times (ln1's scale at
        the source) times (ln_final's scale at the destination).
    """
    raise NotImplementedError


@exercise(difficulty=2, importance=4, minutes=5)
@torch.no_grad()
def copying_score(matrix: Float[Tensor, "vocab vocab"]) -> float:
    """How much a token-to-token matrix acts as a copier, from -1 to 1.

    Args:
        matrix: rows are source tokens, columns are logits, over the whole vocabulary.

    Returns:
        The sum of the real parts of the eigenvalues, divided by the sum of their absolute values, of the
        matrix cut down to the letters (without the three special tokens). A matrix that makes every
        combination of letters raise itself scores 1.
    """
    raise NotImplementedError


@exercise(difficulty=3, importance=5, minutes=25)
@torch.no_grad()
def positional_pattern(model: TransformerBridge) -> Float[Tensor, "dest src"]:
    """The attention pattern of a model that sees no tokens, only positions.

    Returns:
        The causal pattern of the head when the residual stream is W_pos alone, over all `model.cfg.n_ctx`
        positions: ln1 with the scale that W_pos alone has, queries and keys with their biases, scores over
        the square root of d_head, softmax over the sources up to the destination. Rows sum to 1.
    """
    raise NotImplementedError


@exercise(difficulty=4, importance=4, minutes=25)
@torch.no_grad()
def identity_free_pattern(
    model: TransformerBridge, tokens: Int[Tensor, "batch seq"]
) -> Float[Tensor, "batch dest src"]:
    """The attention pattern of a head that can tell a letter from a space, but not one letter from another.

    Returns:
        The causal pattern that arises when the embedding of every letter is replaced by the mean embedding
        of the 62 letters, in the queries and in the keys alike. `>`, space and full stop keep their own
        embeddings, positions stay, and ln1 divides by the scale that it has on the real tokens: the
        replacement is not to be felt through the scale. Rows sum to 1.
    """
    raise NotImplementedError
