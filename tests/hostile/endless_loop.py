# what: never ends, in Python
# must: timed out
# says: never ends


def make_sorting_tokens(lists):
    while True:
        pass
