# what: never ends and catches whatever is raised to stop it
# must: timed out
# says: never ends


def make_sorting_tokens(lists):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
