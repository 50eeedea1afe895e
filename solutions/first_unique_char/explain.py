"""Say the algorithm: find where it breaks, say which one it is, and be scored on it."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise


@exercise(difficulty=3, importance=4, minutes=30)
@torch.no_grad()
def find_adversarial(model: TransformerBridge, tokens: Int[Tensor, "batch seq"]) -> Int[Tensor, "n 20"]:
    """Find sequences that the model gets badly wrong.

    Return at least five, all of them different. Each is a sequence as the model knows them (10 at position 0,
    letters 0 to 9 after it) on which the model's most likely answer is wrong at 3 or more of 20 positions.
    Such sequences are rare among random ones. `tokens` are random sequences to start from, if you want any.
    """
    generator = torch.Generator().manual_seed(0)

    def loss(tokens: Int[Tensor, "batch seq"]) -> tuple[Float[Tensor, "batch"], Int[Tensor, "batch"]]:
        count = F.one_hot(tokens, 11)[..., :10].cumsum(1)
        first = F.one_hot(tokens, 11)[..., :10].argmax(1, keepdim=True)
        earliest, letter = torch.where(count == 1, first, 99).min(-1)
        labels = letter.masked_fill(earliest == 99, 10)
        logits = model(tokens)
        mistakes = (logits.argmax(-1) != labels).sum(-1)
        return F.cross_entropy(logits.mT, labels, reduction="none").mean(-1), mistakes

    found = tokens
    for _ in range(40):  # breed: of each generation the 16 worst survive, with five children each
        badness, mistakes = loss(found)
        if (mistakes >= 3).sum() >= 5:
            break
        parents = found[badness.topk(min(16, len(found))).indices]
        children = parents.repeat(5, 1)
        place = torch.randint(1, tokens.shape[1], (len(children), 1), generator=generator)
        children.scatter_(1, place, torch.randint(0, 10, place.shape, generator=generator))
        found = torch.cat([parents, children]).unique(dim=0)
    return found[loss(found)[1] >= 3]


@exercise(difficulty=3, importance=4, minutes=30)
@torch.no_grad()
def family(model: TransformerBridge, tokens: Int[Tensor, "batch seq"]) -> str:
    """Say which of three algorithms a model has learned, by where it needs layer 0.

    Take the model's own most likely answers on `tokens` for the truth. Measure by how much the loss
    (cross-entropy, averaged over the batch and all positions) rises when the outputs of all three heads of
    layer 0 are replaced by their mean over the batch, position by position, on one way only. The LayerNorm on
    that way keeps the scale that it has without the cut.

        "A"   on the way into layer 1's keys it rises by more than 5: layer 0 tells layer 1 where to look
        "B"   not so, but on the direct way to the logits it rises by more than 2: layer 0 answers itself
        "C"   neither
    """
    logits, cache = model.run_with_cache(tokens)
    answers = logits.argmax(-1).flatten()
    z = cache["blocks.0.attn.hook_z"]
    heads = einsum(z, model.W_O[0], "batch pos head d, head d model -> batch pos model")
    change = heads.mean(0) - heads

    def rise(logits_without: Float[Tensor, "batch pos vocab"]) -> float:
        with_cut, whole = (F.cross_entropy(x.flatten(0, 1), answers) for x in (logits_without, logits))
        return (with_cut - whole).item()

    normed = change / cache["blocks.1.ln1.hook_scale"]
    moved = einsum(normed, model.W_K[1], "batch pos model, head model d -> batch pos head d")
    hooks = [("blocks.1.attn.hook_k", lambda k, hook: k + moved)]
    without_keys = model.run_with_hooks(tokens, fwd_hooks=hooks)
    without_direct = logits + change / cache["ln_final.hook_scale"] @ model.W_U
    return "A" if rise(without_keys) > 5 else "B" if rise(without_direct) > 2 else "C"


@exercise(difficulty=5, importance=5, minutes=90)
@torch.no_grad()
def explain(model: TransformerBridge) -> Callable[[Int[Tensor, "batch seq"]], Float[Tensor, "batch seq 11"]]:
    """Write the model's algorithm down as a program, and see how much of the model it is.

    Returns a function from tokens to one score per answer, at every position: the highest is its answer. It
    is compared with what the MODEL answers, not with what is right, at all positions but 0, on random
    sequences and on flooded ones, in which one letter is far too frequent. There are two marks: the share of
    positions where the two agree on random sequences, and their agreement where the model is wrong on flooded
    ones. A program that solves the task has a high first mark and a second mark of 0. A pass needs 92% and
    30%, full marks 97.5% and 50%.

    While `explain` builds the function it may run the model as it likes, to fill tables and to take averages.
    The function itself may use weights and tables, and must not run the model. Nor may it be a copy of the
    forward pass, which agrees everywhere and explains nothing (a second mark above 95% is taken for one):
    leave out what you think does not matter, and see whether you are right. The scales of the LayerNorms are
    a good place to start.
    """
    n_tokens, n_pos = model.cfg.d_vocab, model.cfg.n_ctx
    root = model.cfg.d_head**0.5

    # Layer 0 sees a token at a position and nothing else, so all it does can be looked up.
    embed = (model.W_E[:, None] + model.W_pos).flatten(0, 1)
    normed = embed / (embed.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
    query = normed @ model.W_Q[0] + model.b_Q[0, :, None]
    key = normed @ model.W_K[0] + model.b_K[0, :, None]
    scores0 = query @ key.mT / root
    moved = normed @ model.W_V[0] @ model.W_O[0]

    # Layer 1 divides by a number that depends on the token, the position, and how often the token has come.
    def situation(tokens: Int[Tensor, "batch pos"]) -> Int[Tensor, "batch pos"]:
        count = F.one_hot(tokens, n_tokens).cumsum(1).gather(-1, tokens[..., None])[..., 0].clamp(max=3)
        return (tokens * n_pos + torch.arange(tokens.shape[1])) * 3 + count - 1

    generator = torch.Generator().manual_seed(0)
    shape = (400, n_pos - 1)
    letters = torch.randint(0, 10, shape, generator=generator)
    favourite = torch.rand(shape, generator=generator) < torch.rand(shape[0], 1, generator=generator) ** 2
    letters = torch.where(favourite, torch.randint(0, 10, (shape[0], 1), generator=generator), letters)
    sample = torch.cat([torch.full((shape[0], 1), 10), letters], dim=1)
    _, cache = model.run_with_cache(sample, names_filter=lambda name: name.endswith("hook_scale"))
    scale = cache["blocks.1.ln1.hook_scale"].flatten()
    where = situation(sample).flatten()
    total = scale.mean().repeat(n_tokens * n_pos * 3).index_add(0, where, scale)
    scale1 = total / (1 + where.bincount(minlength=len(total)))

    # The last LayerNorm divides all answers by the same number, which may as well be a constant.
    scale2 = cache["ln_final.hook_scale"].mean()
    W_U = model.W_U / scale2
    W_Q, W_K, W_VU = model.W_Q[1], model.W_K[1], model.W_V[1] @ model.W_O[1] @ W_U
    b_Q, b_K, b_O = model.b_Q[1, :, None], model.b_K[1, :, None], model.b_O[0]
    bias = model.b_O[1] @ W_U + model.b_U

    @torch.no_grad()
    def program(tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq 11"]:
        seq = tokens.shape[1]
        future = torch.ones(seq, seq, dtype=torch.bool).triu(1)
        at = tokens * n_pos + torch.arange(seq)
        pattern = scores0[:, at[:, :, None], at[:, None]].masked_fill(future, -torch.inf).softmax(-1)
        residual = embed[at] + (pattern @ moved[:, at]).sum(0) + b_O
        x = (residual / scale1[situation(tokens), None])[:, None]
        scores = (x @ W_Q + b_Q) @ (x @ W_K + b_K).mT / root
        pattern = scores.masked_fill(future, -torch.inf).softmax(-1)
        return (pattern @ (x @ W_VU)).sum(1) + residual @ W_U + bias

    return program
