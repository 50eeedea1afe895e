"""The warm process: what a run may do, and that nothing of it stays behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kata.warm import Ticket, Warm, default_mode

HERE = Path(__file__).parent
POSIX = hasattr(os, "fork")
MODES = [pytest.param("fork", marks=pytest.mark.skipif(not POSIX, reason="no fork here")), "standby", "cold"]
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def make(mode, preload="prepare", notes=None, **settings):
    note = notes.append if notes is not None else None
    environment = {"PYTHONPATH": str(HERE)}
    return Warm(f"warm_targets:{preload}", settings, mode=mode, on_note=note, environment=environment)


@pytest.fixture(params=MODES)
def warm(request):
    made = make(request.param)
    yield made
    made.close()


@pytest.fixture
def forking():
    if not POSIX:
        pytest.skip("no fork here")
    made = make("fork")
    yield made
    made.close()


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def soon(test, seconds=5):
    ends = time.monotonic() + seconds
    while not test() and time.monotonic() < ends:
        time.sleep(0.02)
    return test()


def test_bytes_go_there_and_back(warm):
    for payload in (b"", b"hello", bytes(range(256)) * 20_000):
        result = warm.run("warm_targets:echo", payload, seconds=20)
        assert (result.reason, result.value) == ("ok", payload)


@linux
def test_each_run_has_a_process_of_its_own_and_nothing_of_the_last_one(warm):
    first, second = (json.loads(warm.run("warm_targets:look", seconds=20).value) for _ in range(2))
    assert first["loaded"][0] == "first" and first["loaded"].count("mark") == second["loaded"].count("mark") == 1
    assert first["pid"] != second["pid"] and first["group"] == first["pid"]
    assert first["streams"] == ["/dev/null"] * 3


@pytest.mark.parametrize(
    ("target", "payload", "reason", "detail"),
    [
        ("big", b"2000", "size", "1000 are allowed"),
        ("fail", b"", "error", "a target that fails"),
        ("no_such_target", b"", "error", "no_such_target"),
        ("leave", b"", "died", "exit code 7"),
        ("crash", b"", "died", "SIGSEGV"),
        ("deaf", b"", "timeout", ""),
    ],
)
@pytest.mark.skipif(not POSIX, reason="signals")
def test_bad_ends_have_a_reason_and_the_next_run_is_well(warm, target, payload, reason, detail):
    seconds = 0.5 if target == "deaf" else 20
    result = warm.run(f"warm_targets:{target}", payload, seconds=seconds, most=1000)
    assert result.reason == reason and detail in result.detail and result.value == b""
    assert warm.run("warm_targets:echo", b"well", seconds=20).value == b"well"


@linux
@pytest.mark.parametrize("target", ["family", "family_and_leave"])
def test_what_a_run_starts_ends_with_it(forking, tmp_path, target):
    result = forking.run(f"warm_targets:{target}", str(tmp_path).encode(), seconds=20)
    assert result.reason in ("ok", "died")
    started = [int(path.name) for path in tmp_path.iterdir()]
    assert len(started) == 2 and all(gone(pid) for pid in started)


@linux
def test_memory_is_watched(warm):
    began = time.monotonic()
    result = warm.run("warm_targets:eat", seconds=60, memory=200_000_000)
    assert result.reason == "memory" and result.memory > 200_000_000
    assert time.monotonic() - began < 30


def test_a_run_can_be_called_off(warm):
    ticket = Ticket()
    threading.Timer(0.5, ticket.cancel).start()
    began = time.monotonic()
    assert warm.run("warm_targets:hold", b"60", seconds=100, ticket=ticket).reason == "cancelled"
    assert time.monotonic() - began < 20
    early = Ticket()
    early.cancel()
    assert warm.run("warm_targets:hold", b"60", seconds=100, ticket=early).reason == "cancelled"
    assert warm.run("warm_targets:echo", b"well", seconds=20).value == b"well"


def test_runs_overlap_in_one_warm_process(forking):
    forking.run("warm_targets:echo", seconds=20)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(forking.run("warm_targets:hold", b"0.5", seconds=20)))
        for _ in range(6)
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.value for r in results] == [b"held"] * 6
    assert time.monotonic() - began < 2.5, "six runs of 0.5 s one after the other take 3 s"


def test_one_run_timing_out_does_not_touch_its_neighbour(forking):
    results = {}
    slow = threading.Thread(target=lambda: results.update(a=forking.run("warm_targets:hold", b"1", seconds=20)))
    slow.start()
    results["b"] = forking.run("warm_targets:deaf", seconds=0.3)
    slow.join()
    assert results["a"].value == b"held" and results["b"].reason == "timeout"


def test_notes_arrive_and_runs_wait_for_ready(warm):
    notes = []
    other = make(warm.mode, "slow", notes)
    try:
        began = time.monotonic()
        assert other.run("warm_targets:echo", b"x", seconds=0.4).ok, "waiting for the preload is not the run's time"
        assert time.monotonic() - began > 0.5
        assert soon(lambda: {"ready": True} in notes) and notes[0] == {"slept": True}
    finally:
        other.close()


@linux
def test_a_preload_rests_and_is_told_of_new_settings():
    notes = []
    warm = make("fork", "resting", notes, word="one")
    try:
        assert warm.run("warm_targets:echo", seconds=20).ok
        assert soon(lambda: {"word": "one"} in notes)
        before = processor_time(warm.pid)
        time.sleep(0.5)
        assert processor_time(warm.pid) - before <= 0.02, "it rests"
        warm.change(word="two")
        assert soon(lambda: {"word": "two"} in notes)
        assert warm.run("warm_targets:echo", b"x", seconds=20).value == b"x"
        warm.restart()
        warm.run("warm_targets:echo", seconds=20)
        assert soon(lambda: notes.count({"word": "two"}) == 2), "a new process starts with the settings of now"
    finally:
        warm.close()


def processor_time(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_preload_that_fails_says_so_and_runs_go_on(warm):
    notes = []
    other = make(warm.mode, "broken", notes)
    try:
        assert other.run("warm_targets:echo", b"x", seconds=20).value == b"x"
        assert soon(lambda: len(notes) == 2) and "the course is broken" in notes[1]["error"]
    finally:
        other.close()


@linux
def test_a_killed_warm_process_is_lost_once_and_then_made_again(forking):
    result = forking.run("warm_targets:kill_parent", seconds=20)
    assert result.reason == "lost"
    assert forking.run("warm_targets:echo", b"again", seconds=20).value == b"again"


@linux
def test_the_parent_has_one_thread_and_keeps_no_descriptor(forking):
    forking.run("warm_targets:echo", seconds=20)
    folder = Path(f"/proc/{forking.pid}")
    time.sleep(0.3)  # the answer is here before the parent has closed its end
    before = len(list((folder / "fd").iterdir()))
    for target in ("echo", "leave", "fail", "hold"):
        forking.run(f"warm_targets:{target}", b"0", seconds=20)
    assert soon(lambda: len(list((folder / "fd").iterdir())) == before)
    assert len(list((folder / "task").iterdir())) == 1
    ours = len(os.listdir("/proc/self/fd"))
    forking.run("warm_targets:echo", seconds=20)
    assert len(os.listdir("/proc/self/fd")) == ours
    # a child holds its three standard streams, the pipe, and the one that lists the folder
    assert len(json.loads(forking.run("warm_targets:descriptors", seconds=20).value)) == 5


@linux
@pytest.mark.parametrize("mode", ["fork", "standby"])
def test_the_warm_process_ends_with_its_caller(mode):
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from test_watch_warm import make; import threading\n"
        "warm = make(sys.argv[2]); warm.start()\n"
        "threading.Thread(target=warm.run, args=('warm_targets:hold', b'600'), kwargs={'seconds': 700}).start()\n"
        "time.sleep(1.5)\n"
        "import subprocess; warm.start()\n"
        "print(warm.pid, flush=True); time.sleep(600)"
    )
    caller = subprocess.Popen([sys.executable, "-c", code, str(HERE), mode], stdout=subprocess.PIPE, text=True)
    pid = int(caller.stdout.readline())
    children = family_of(caller.pid)
    assert pid in children and not gone(pid) and len(children) == 2
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()
    assert soon(lambda: all(gone(child) for child in children)), children


def family_of(pid):
    found = [int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]
    return found + [grand for child in found for grand in family_of(child)]


def test_the_platform_chooses_the_mode_and_the_environment_overrules_it(monkeypatch):
    monkeypatch.delenv("KATA_WARM", raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_mode() == "standby"
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_mode() == ("fork" if POSIX else "standby")
    monkeypatch.setenv("KATA_WARM", "cold")
    assert default_mode() == "cold"
    monkeypatch.setenv("KATA_WARM", "nonsense")
    assert default_mode() == ("fork" if POSIX else "standby")
