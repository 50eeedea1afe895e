# what: ends the process with code 0, past every handler, while it is imported
# must: broken
# says: importing dataset.py ended the whole process with exit code 0

import os

import torch

os._exit(0)


def make_sorting_tokens(lists):
    bos = torch.full((len(lists), 1), 50)
    mid = torch.full((len(lists), 1), 51)
    return torch.cat([bos, lists, mid, lists.sort(dim=1).values], dim=1)
