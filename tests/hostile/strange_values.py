# what: returns what breaks a careless reader: huge numbers, NaN keys, itself
# must: failed


def make_sorting_tokens(lists):
    made = {"n": 10**400, float("nan"): 1, (1, 2): [float("inf")], "s": "x" * 10**6}
    made["me"] = made
    return made
