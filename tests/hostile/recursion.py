# what: recurses until the stack is gone
# must: broken

import sys

sys.setrecursionlimit(10**9)


def make_sorting_tokens(lists):
    def deeper(x):
        return max(x, key=lambda y: deeper([y, y])) if x else None

    return deeper([1, 2])
