# what: imports the solutions
# must: broken
# says: ModuleNotFoundError

from solutions.sorted_list.dataset import make_sorting_tokens as answer


def make_sorting_tokens(lists):
    return answer(lists)
