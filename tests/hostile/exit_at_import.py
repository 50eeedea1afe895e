# what: leaves with exit code 0 while it is imported
# must: broken
# says: SystemExit

import sys

import torch

sys.exit(0)


def make_sorting_tokens(lists):
    bos = torch.full((len(lists), 1), 50)
    mid = torch.full((len(lists), 1), 51)
    return torch.cat([bos, lists, mid, lists.sort(dim=1).values], dim=1)
