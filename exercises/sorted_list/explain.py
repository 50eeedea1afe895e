"""Say how it works, and be scored on it: where does the model fail, and what does it answer?"""

from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise

BOS, MID = 50, 51


@exercise(difficulty=3, importance=4, minutes=20)
@torch.no_grad()
def failing_list(model: TransformerBridge, kind: Literal["any", "distinct", "gap2", "invented"]) -> Int[Tensor, "10"]:
    """Find a list that the model sorts wrongly.

    The model reads BOS, your list, MID and the true sorted list, and is wrong if at one of the ten steps
    the number with the highest logit is not the true next number. Your list must make it wrong and, by kind:

        any         nothing more
        distinct    no number occurs twice
        gap2        any two of its numbers are at least 2 apart
        invented    at one or more steps the model says a number that is not in the list at all

    Many lists will do, and each model has its own. The mechanism says where to look.

    Returns:
        Ten whole numbers from 0 to 49, in any order: the list only, without BOS, MID or the sorted half.
    """
    raise NotImplementedError


@exercise(difficulty=5, importance=5, minutes=60)
def explain_step(
    tables: dict[str, Tensor], counts: Int[Tensor, "batch 50"], previous: Int[Tensor, "batch"], step: int
) -> Int[Tensor, "batch"]:
    """Say what the model will answer, right or wrong, without running it.

    Your program knows what is in each list but not in which order, the token that came last, the step, and
    the tables below, all read from the weights of one model: the kit makes them from the same products of
    weights as those in circuits.py. It must hold for models it has not seen, so build it from the tables
    and not from numbers that you noted down. It is scored on lists that the model finds hard: by how often
    it says what the model says (not what is true), and by how well it foretells the model's mistakes.

    tables:
        Scores are in the units that enter the softmax. Destination rows, source columns. Destination
        tokens are the 52 tokens; rows of a step i = 0 .. 9 stand for destination position 11 + i. Sources
        by token: numbers 0 .. 49, BOS 50, MID 51. Sources by position: three groups, 0 = BOS's position,
        1 = a list position (the mean of the ten), 2 = MID's position.
            tok_tok     [52, 52]  score: destination token, source token
            pos_tok     [10, 52]  score: step, source token
            tok_pos     [52, 3]   score: destination token, source group
            pos_pos     [10, 3]   score: step, source group
        Logits, always for the 50 numbers.
            ov_tok      [52, 50]  what full attention to a source adds on account of its token
            ov_pos      [3, 50]   and on account of its position, by group
            direct_tok  [52, 50]  what a destination adds to its own logits on account of its token
            direct_pos  [10, 50]  and on account of its position, by step

    Args:
        counts: how often each number 0 .. 49 occurs in the list; rows sum to 10.
        previous: the token at position 11 + step, where the answer is made: the number of the sorted half
            that came last, or MID (51) at step 0.
        step: 0 to 9, the same for the whole batch.

    Returns:
        The predicted answer of the model for each list, a number from 0 to 49.
    """
    raise NotImplementedError
