"""Say the algorithm: what the model will answer, worked out from its weights."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise

from .dataset import SEP, is_teacher_forced


@exercise(difficulty=5, importance=5, minutes=45)
@torch.no_grad()
def predict_from_weights(model: TransformerBridge, lists: Int[Tensor, "batch 2"]) -> Int[Tensor, "batch 2"]:
    """Predict what the model answers, o1 and o2, for each list, without running the model.

    Read the weights (`model.W_E`, `model.blocks[0].ln1`, ...) and work out the answer in the way that you
    think the model does. While you are asked, the model's attention refuses to run. The score is the share
    of lists on which you and the model agree in both answers. Aim for 0.99 on a teacher model and for 0.8 on
    a bottleneck model, where a short explanation loses a few lists and putting the digit with the larger
    weight first gets about half. You are also scored on a copy whose digits have been renamed, in the
    embedding and in the unembedding, so that it does not answer with its own list: the prediction is about
    the model, not about the task. `is_teacher_forced(model)` tells the family.
    """
    first, second = lists.unbind(dim=1)
    ln0, ln1 = model.blocks[0].ln1, model.blocks[1].ln1

    def value(layer: int, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        return (x @ model.W_V[layer, 0] + model.b_V[layer, 0]) @ model.W_O[layer, 0]

    def score(
        layer: int, query: Float[Tensor, "... d_model"], keys: Float[Tensor, "... key d_model"]
    ) -> Float[Tensor, "... key"]:
        query = query @ model.W_Q[layer, 0] + model.b_Q[layer, 0]
        keys = keys @ model.W_K[layer, 0] + model.b_K[layer, 0]
        return (keys @ query[..., None]).squeeze(-1) / model.cfg.d_head**0.5

    digits = model.W_E[:SEP] + model.W_pos[:2, None]  # place, digit, d_model

    if is_teacher_forced(model):
        # Each answer is a look-up of its own digit: d1 -> position 0 -> SEP, and d2 -> SEP -> o1.
        found = torch.stack([digits[0] + value(0, ln0(digits[0])), value(0, ln0(digits[1]))])
        found = found - found.mean(dim=1, keepdim=True)
        moved = (found - found.mean(dim=2, keepdim=True)) * ln1.weight @ model.W_V[1, 0] @ model.W_O[1, 0]
        table = (moved - moved.mean(dim=2, keepdim=True)) * model.ln_final.weight @ model.W_U
        says = table.argmax(dim=-1)
        return torch.stack([says[0, first], says[1, second]], dim=1).to(lists)

    # Layer 0. SEP adds up the two digit vectors. How much of each is decided by one strength per digit, the
    # same in both places; only the vectors differ a little between the places, and that holds the order.
    rest = model.W_E[SEP] + model.W_pos[2:]  # SEP, o1, o2: they start without a digit
    keys = ln0(rest)
    strength = score(0, keys[0], ln0(digits)).mean(dim=0)
    itself = score(0, keys[0], keys[:1]).expand(len(lists), 1)
    weight = torch.cat([strength[lists], itself], dim=1).softmax(dim=1)  # batch, (first, second, SEP)
    vectors = value(0, ln0(digits))
    own = value(0, keys[0]).expand(len(lists), -1)
    sep = (weight[..., None] * torch.stack([vectors[0, first], vectors[1, second], own], dim=1)).sum(dim=1)
    o1 = score(0, keys[1], keys[:2]).softmax(dim=0) @ value(0, keys[:2])
    o2 = score(0, keys[2], keys).softmax(dim=0) @ value(0, keys)
    stream = torch.stack([sep, o1.expand_as(sep), o2.expand_as(sep)], dim=1) + rest + model.b_O[0]

    # Layer 1. An answer reads SEP through a gate, its own attention, which depends on the order.
    keys, answers = ln1(stream), []
    for i in (1, 2):
        gate = score(1, keys[:, i], keys[:, : i + 1]).softmax(dim=1)
        read = (gate[:, None] @ value(1, keys[:, : i + 1])).squeeze(1)
        answers.append((model.ln_final(stream[:, i] + read + model.b_O[1]) @ model.W_U).argmax(dim=-1))
    return torch.stack(answers, dim=1).to(lists)
