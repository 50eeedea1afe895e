# what: prints 1 GB, by Python and past it, and is right
# must: passed

import os
import sys

import torch


def make_sorting_tokens(lists):
    for _ in range(500):
        print("x" * 2**20)
        os.write(1, b"y" * 2**20)
        sys.__stderr__ and sys.__stderr__.write("z" * 2**10)
    bos = torch.full((len(lists), 1), 50)
    mid = torch.full((len(lists), 1), 51)
    return torch.cat([bos, lists, mid, lists.sort(dim=1).values], dim=1)
