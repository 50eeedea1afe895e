# what: returns 72 MB
# must: failed
# says: larger than

import torch


def make_sorting_tokens(lists):
    return torch.zeros(9_000_000, dtype=torch.long)
