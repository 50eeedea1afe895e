# what: asks for 10 GB
# must: broken

import torch


def make_sorting_tokens(lists):
    return torch.ones(10 * 2**30 // 8, dtype=torch.long)
