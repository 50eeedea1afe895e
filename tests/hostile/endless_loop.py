# what: never ends, in Python
# must: timed out
# says: never ends

import torch


def make_sorting_tokens(lists):
    while True:
        pass
