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
    raise NotImplementedError
