# what: sits in one call of torch for minutes, where no exception reaches it
# must: timed out
# says: never ends

import torch


def make_sorting_tokens(lists):
    torch.linalg.svd(torch.randn(2500, 2500))
    bos = torch.full((len(lists), 1), 50)
    mid = torch.full((len(lists), 1), 51)
    return torch.cat([bos, lists, mid, lists.sort(dim=1).values], dim=1)
