# what: stops itself, so that no clock of its own rings
# must: timed out, failed

import os
import signal

import torch


def make_sorting_tokens(lists):
    os.kill(os.getpid(), signal.SIGSTOP)
    return torch.zeros(len(lists), 22, dtype=torch.long)
