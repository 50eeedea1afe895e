# what: looks for secrets in its environment, and in the one it was started with
# must: broken
# says: secrets: []

import os


def make_sorting_tokens(lists):
    there = repr(dict(os.environ)).encode()
    try:
        with open("/proc/self/environ", "rb") as file:
            there += file.read()
    except OSError:
        pass
    raise RuntimeError(f"secrets: {[x for x in ('KATA_TEST_SECRET', 'hunter2') if x.encode() in there]}")
