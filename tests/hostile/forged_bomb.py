# what: hands over a header that nests without end
# must: failed
# neighbour: any, for it runs in the same process
# says: not a hand-over

import json
import struct
import sys

import torch


def make_sorting_tokens(lists):
    def bomb(rows):
        tree = '{"list": [' * 100_000 + "]}" * 100_000
        head = json.dumps({"__metadata__": {"tree": tree}}).encode()
        return struct.pack("<Q", len(head)) + head

    sys.modules["kata.classroom.handover"].write_outcomes = bomb
    return torch.zeros(len(lists), 22, dtype=torch.long)
