# what: writes a file of 10 GB
# must: broken
# says: OSError

import torch


def make_sorting_tokens(lists):
    with open("large", "wb") as file:
        for _ in range(10_000):
            file.write(b"x" * 2**20)
    bos = torch.full((len(lists), 1), 50)
    mid = torch.full((len(lists), 1), 51)
    return torch.cat([bos, lists, mid, lists.sort(dim=1).values], dim=1)
