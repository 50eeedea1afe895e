"""What the tests of `kata.warm` run in the far process: quick, and as nasty as a learner's code can be."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

LOADED = []


def prepare(settings):
    LOADED.append("first")
    yield {"ready": True, "got": settings}
    LOADED.append("second")
    yield {"pid": os.getpid()}


def slow(settings):
    time.sleep(0.5)
    yield {"slept": True}
    yield {"ready": True}


def resting(settings):
    """Says what it is asked for, and rests in between."""
    yield {"ready": True}
    said = None
    while True:
        if said != settings["word"]:
            said = settings["word"]
            yield {"word": said}
        else:
            yield {"rest": True}


def broken(settings):
    yield {"hello": 1}
    raise ValueError("the course is broken")


def echo(payload):
    return payload


def look(payload):
    """What a run finds in its process, and what it leaves there for a later run to find."""
    LOADED.append("mark")
    streams = [os.readlink(f"/proc/self/fd/{i}") for i in range(3)] if sys.platform == "linux" else []
    where = {"loaded": LOADED, "pid": os.getpid(), "parent": os.getppid(), "group": os.getpgrp()}
    return json.dumps({**where, "threads": threading.active_count(), "streams": streams}).encode()


def descriptors(payload):
    return json.dumps(sorted(int(name) for name in os.listdir("/proc/self/fd"))).encode()


def big(payload):
    return b"x" * int(payload)


def fail(payload):
    raise ValueError("a target that fails")


def leave(payload):
    os._exit(7)


def crash(payload):
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def deaf(payload):
    """Blocks every signal that can be blocked and sleeps in C, where Python cannot interrupt."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        ctypes.CDLL(None).sleep(1000)


def hold(payload):
    time.sleep(float(payload))
    return b"held"


def family(payload):
    """Leave a child in this group and one in a session of its own; both write their numbers into a folder."""
    code = "import os,sys,time; open(os.path.join(sys.argv[1], str(os.getpid())), 'w'); time.sleep(600)"
    for session in (False, True):
        subprocess.Popen([sys.executable, "-c", code, payload.decode()], start_new_session=session)
    while len(list(Path(payload.decode()).iterdir())) < 2:
        time.sleep(0.01)
    return b"left"


def family_and_leave(payload):
    family(payload)
    os._exit(3)


def eat(payload):
    eaten = []
    while True:
        eaten.append(b"x" * 10_000_000)
        time.sleep(0.002)


def kill_parent(payload):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
