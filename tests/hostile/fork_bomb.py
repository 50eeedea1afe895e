# what: forks for ever
# must: timed out, broken

import os


def make_sorting_tokens(lists):
    while True:
        try:
            os.fork()
        except OSError:
            pass
