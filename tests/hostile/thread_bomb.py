# what: starts threads for ever
# must: timed out, broken

import threading
import time


def make_sorting_tokens(lists):
    while True:
        try:
            threading.Thread(target=time.sleep, args=(1000,)).start()
        except RuntimeError:
            pass
