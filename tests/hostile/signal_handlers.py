# what: ignores every signal, the clock's too, and never ends
# must: timed out
# says: never ends

import signal


def make_sorting_tokens(lists):
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    while True:
        pass
