# what: HTML, ANSI and control characters in everything that is shown
# must: broken


print("<script>alert(1)</script>\x1b[31mred")


def make_sorting_tokens(lists):
    print("<img src=x onerror=alert(1)>\x1b]0;title\x07")
    raise RuntimeError("<script>alert(1)</script>\x1b[31mred\x00\u202e]]>&amp;<!-- \ud800")
