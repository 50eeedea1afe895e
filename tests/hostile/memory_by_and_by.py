# what: takes memory until nobody has any, and ignores every refusal
# must: timed out, broken

import os


def make_sorting_tokens(lists):
    kept = []
    for _ in range(3):
        os.fork()
    while True:
        try:
            kept.append(bytearray(b"x" * 2**24))
        except MemoryError:
            pass
