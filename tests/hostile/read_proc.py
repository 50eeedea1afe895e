# what: reads other processes: their environment, memory and open files
# must: broken
# says: others: []

import os


def make_sorting_tokens(lists):
    seen = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        for name in ("environ", "mem", "cwd", "fd", "root/etc/shadow"):
            try:
                path = f"/proc/{pid}/{name}"
                os.listdir(path) if name in ("cwd", "fd") else open(path, "rb").read(1)
                seen.append(path)
            except OSError:
                pass
    raise RuntimeError(f"others: {seen[:5]}")
