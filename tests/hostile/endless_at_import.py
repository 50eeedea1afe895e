# what: never ends while it is imported
# must: timed out
# says: importing dataset.py

import torch

while True:
    pass


def make_sorting_tokens(lists):
    bos = torch.full((len(lists), 1), 50)
    mid = torch.full((len(lists), 1), 51)
    return torch.cat([bos, lists, mid, lists.sort(dim=1).values], dim=1)
