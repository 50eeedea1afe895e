# what: returns 100 MB
# must: failed
# says: larger than

import torch



def make_sorting_tokens(lists):
    return torch.zeros(12_500_000, dtype=torch.long)
