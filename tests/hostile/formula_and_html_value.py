# what: a string with HTML and ANSI as its result
# must: failed


def make_sorting_tokens(lists):
    return "<script>alert(1)</script>\x1b[2J=cmd()"
