"""Say what the head does, in a program that does not run it: look up, weigh, copy.

Three words are used throughout. A *letter row* is a row whose next token is a letter of the second term or
a later one. Its *wanted index* is the place that this letter has in the first term. Its *admissible sources*
are the positions j <= p that hold the wanted index.

The score of a source is q.k / sqrt(d_head). Compute it from q and k: what this version of transformer_lens
caches as `hook_attn_scores` is the pattern, after the softmax.
"""

from itertools import permutations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kata import exercise

START, SPACE, STOP, FIRST_LETTER = 0, 1, 2, 3  # the letters are tokens 3 to 64
Q, K = "blocks.0.attn.hook_q", "blocks.0.attn.hook_k"  # [batch, pos, head, d_head]
SCALE = "blocks.0.ln1.hook_scale"  # [batch, pos, 1]


@exercise(difficulty=4, importance=4, minutes=30)
@torch.no_grad()
def key_strength(model: TransformerBridge, tokens: Int[Tensor, "batch seq"], n: int) -> Float[Tensor, "seq"]:
    """One number per position that says how strongly it attracts the rows that could copy from it.

    Args:
        tokens: whole sequences for n characters.

    Returns:
        s, from the least-squares fit of score[b, p, j] = r[b, p] + s[j] over the admissible cells (p, j) of
        all letter rows of all sequences. r is a level of its own for each row, which the softmax does not
        see. The fit leaves one constant per index open: the strengths of the positions that hold the same
        index have mean 0. Positions that are nobody's admissible source (spaces, `>`, the full stop, a few
        letters of the last term) get 0 and do not count in that mean.
    """
    body = [place for term in permutations(range(n)) for place in (*term, n)]
    table = torch.tensor([n + 1, n, *body[:-1], n + 2])
    wanted = torch.cat([table[1:], torch.tensor([-1])])
    _, cache = model.run_with_cache(tokens, names_filter=[Q, K])
    # r may differ from sequence to sequence, the mask does not: fitting the mean scores gives the same s
    scores = (cache[Q][:, :, 0] @ cache[K][:, :, 0].mT).mean(dim=0) / model.cfg.d_head**0.5
    mask = ((wanted[:, None] == table) & (table < n)).tril().to(scores.dtype)
    cells_of_row, cells_of_source = mask.sum(dim=1).clamp(min=1), mask.sum(dim=0).clamp(min=1)
    row_sums, source_sums = (scores * mask).sum(dim=1), (scores * mask).sum(dim=0)
    strength = torch.zeros_like(source_sums)
    for _ in range(30):  # alternate: the best level of each row, then the best strength of each source
        level = (row_sums - mask @ strength) / cells_of_row
        strength = (source_sums - level @ mask) / cells_of_source
    same = ((table[:, None] == table) & (mask.sum(dim=0) > 0)).to(scores.dtype)
    centred = strength - same @ strength / same.sum(dim=1).clamp(min=1)
    return torch.where(mask.sum(dim=0) > 0, centred, 0.0)


@exercise(difficulty=4, importance=3, minutes=25)
@torch.no_grad()
def alphabet_preference(model: TransformerBridge, tokens: Int[Tensor, "batch seq"], n: int) -> Float[Tensor, "n 62"]:
    """Which letters, as keys, do the rows favour that want index i?

    Args:
        tokens: whole sequences for n characters.

    Returns:
        At [i, c], the part of the score that comes from the identity of letter c (token 3 + c) in the key, in
        nats: q.k / sqrt(d_head), where q is the mean query, over the batch and over all letter rows that want
        index i, and k is the letter's share of the key: its embedding minus the mean embedding of the 62
        letters, centred over d_model, times ln1's weight, through W_K, divided by the mean scale that ln1 has
        on the letters of the batch. Nothing else belongs in k: no position, no bias. Rows sum to 0.
    """
    body = [place for term in permutations(range(n)) for place in (*term, n)]
    wanted = torch.tensor([n, *body[:-1], n + 2, n + 2])
    wanted[: n + 1] = n  # the first term cannot be copied
    _, cache = model.run_with_cache(tokens, names_filter=[Q, SCALE])
    queries = cache[Q][:, :, 0].mean(dim=0)
    queries = torch.stack([queries[wanted == index].mean(dim=0) for index in range(n)])
    letters = model.W_E[FIRST_LETTER:] - model.W_E[FIRST_LETTER:].mean(dim=0)
    letters = (letters - letters.mean(dim=-1, keepdim=True)) * model.blocks[0].ln1.weight
    keys = letters @ model.W_K[0, 0] / cache[SCALE][tokens >= FIRST_LETTER].mean()
    return queries @ keys.T / model.cfg.d_head**0.5


@exercise(difficulty=5, importance=5, minutes=45)
@torch.no_grad()
def predict_copy(model: TransformerBridge, tokens: Int[Tensor, "batch seq"], n: int) -> Int[Tensor, "batch seq"]:
    """Say what the model will answer, without running it.

    Args:
        tokens: sequences with the layout of a list of permutations (`>`, spaces, the full stop in their
            places), but with a letter drawn at random at every other place.
        n: the number of characters that the layout is for.

    Returns:
        For every row, the token that you expect to have the model's largest logit.

    On such a sequence it matters from *which* of the admissible sources the model copies. Scored is the share
    of agreement with the model on rows whose next place is a letter of the third term or a later one: 0.70
    makes a pass, 0.80 full marks. Other rows may hold anything. Use the weights as you like, but neither run
    the model nor recompute its logits: the answer is to be a program of which you can say in words what each
    step does.
    """
    body = [place for term in permutations(range(n)) for place in (*term, n)]
    table = torch.tensor([n + 1, n, *body[:-1], n + 2])
    wanted = torch.cat([table[1:], torch.tensor([-1])])
    # look up: which positions hold the index that comes next
    admissible = (wanted[:, None] == table).tril()
    # weigh: how much the row's position and letter favour each of them
    ln1, resid = model.blocks[0].ln1, model.W_E[tokens] + model.W_pos[: tokens.shape[1]]
    normed = F.layer_norm(resid, [model.cfg.d_model], ln1.weight, ln1.bias, model.cfg.eps)
    q = normed @ model.W_Q[0, 0] + model.b_Q[0, 0]
    k = normed @ model.W_K[0, 0] + model.b_K[0, 0]
    scores = (q @ k.mT / model.cfg.d_head**0.5).masked_fill(~admissible, float("-inf"))
    weight = scores.softmax(dim=-1).nan_to_num()
    # copy: every source votes, with its weight, for the token that it holds
    votes = weight @ F.one_hot(tokens, model.cfg.d_vocab).to(weight.dtype)
    return votes.argmax(dim=-1)
