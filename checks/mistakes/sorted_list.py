"""Known wrong versions of the sorted_list exercises, each with what it is called when a learner makes it."""

import torch

from kata.checking import mistake
from solutions.sorted_list import circuits, dataset


@mistake("make_sorting_tokens", "50 opens the sequence and 51 separates its halves; you exchanged BOS and MID")
def special_tokens_exchanged(lists):
    made = dataset.make_sorting_tokens(lists)
    made[:, 0], made[:, 11] = 51, 50
    return made


@mistake("make_sorting_tokens", "The second half must ascend, and yours descends")
def descending(lists):
    made = dataset.make_sorting_tokens(lists)
    made[:, 12:] = made[:, 12:].flip(1)
    return made


@mistake("qk_tables", "Your scores are sqrt(d_head) = 11.3 times too large; the softmax then collapses onto one source")
def unscaled(model):
    return {k: v * model.cfg.d_head**0.5 for k, v in circuits.qk_tables(model).items()}


@mistake("qk_tables", "Query and key are exchanged: rows are destinations, which send queries through W_Q")
@torch.no_grad()
def query_and_key_exchanged(model):
    parts = {"tok": model.W_E, "pos": model.W_pos}
    keys = {n: p @ model.W_K[0, 0] for n, p in parts.items()}
    queries = {n: p @ model.W_Q[0, 0] for n, p in parts.items()}
    return {f"{a}_{b}": keys[a] @ queries[b].T / model.cfg.d_head**0.5 for a in parts for b in parts}
