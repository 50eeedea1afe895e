# what: is right, and leaves threads and atexit hooks that never end
# must: passed

import atexit
import threading
import time

import torch


def stay():
    while True:
        time.sleep(0.01)


atexit.register(stay)
for daemon in (True, False):
    threading.Thread(target=stay, daemon=daemon).start()


def make_sorting_tokens(lists):
    bos = torch.full((len(lists), 1), 50)
    mid = torch.full((len(lists), 1), 51)
    return torch.cat([bos, lists, mid, lists.sort(dim=1).values], dim=1)
