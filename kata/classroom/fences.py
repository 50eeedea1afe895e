"""What stands between a submission and the rest of the machine, as far as the system allows it (Linux).

A child is made in two steps. Its *guard* (trusted, one per child) cuts the namespaces, forks the *inmate* (the only
process that runs a submission's code), watches its memory, and kills all that is left when it is over. The inmate
hides the course and the class from itself, makes the file system read-only but for a small home, gives up its user
and its rights, and limits itself, before it reads a line of the submission.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import struct
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

NAMES = {
    "network": "no network",
    "processes": "sees no other process",
    "files": "course and class hidden, file system read-only",
    "user": "a user of its own",
    "limits": "memory, process and file limits",
}
FIRST_USER = 61_000  # the first of the user numbers that inmates get, one per core; nobody else's on a usual system

_NEWNS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
_RDONLY, _NOSUID, _NODEV, _BIND, _REC, _PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
_DEATH_SIGNAL, _DUMPABLE, _BOUNDING_DROP, _REAPER, _NO_NEW_PRIVS = 1, 4, 24, 36, 38
_MOUNT_SETATTR, _AT_RECURSIVE, _AT_FDCWD = 442, 0x8000, -100


@dataclass
class Order:
    """How one child is to be fenced in.

    Attributes:
        home: its working directory and HOME, the only place that it may write to.
        folder: the submission, read-only.
        hide: files and folders that it must not see.
        keep: folders inside of those that it needs (Python, the engine).
        slot: number of the core; inmates that run at the same time get different users.
        memory: bytes that it may take beyond what the warm parent had, all its processes together.
        disk: bytes that it may write.
        processes: how many processes and threads it may have.
        seconds: processor time, of each of its processes.
        without: names of fences to leave out, as a system does that refuses them.
    """

    home: str
    folder: str
    hide: list[str] = field(default_factory=list)
    keep: list[str] = field(default_factory=list)
    slot: int = 0
    memory: int = 2 << 30
    disk: int = 64 << 20
    processes: int = 48
    seconds: int = 180
    without: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


_libc = ctypes.CDLL(None, use_errno=True)


def _ok(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    _ok(_libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()))


# -- the guard's part


def cut_namespaces(without: Iterable[str] = ()) -> list[str]:
    """Leave the network and the processes of the machine behind for what is forked from here; says what worked."""
    uid, gid = os.getuid(), os.getgid()
    if set(without) >= {"network", "processes", "files"}:
        return []
    if os.geteuid() != 0:
        try:
            _ok(_libc.unshare(_NEWUSER))
            for file, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
                Path(f"/proc/self/{file}").write_text(text)
        except OSError:
            return []
    held = []
    for name, flags in (("network", _NEWNET | _NEWIPC), ("processes", _NEWPID)):
        with contextlib.suppress(OSError):
            if name in without:
                continue
            _ok(_libc.unshare(flags))
            held.append(name)
    return held


def adopt() -> None:
    """Inherit what descendants leave behind, and stay when the parent dies: this process must kill them first."""
    _libc.prctl(_REAPER, 1, 0, 0, 0)
    _libc.prctl(_DEATH_SIGNAL, 0, 0, 0, 0)


def closed_to_debuggers() -> None:
    """Nobody of the same user may read this process's memory."""
    _libc.prctl(_DUMPABLE, 0, 0, 0, 0)


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{entry}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry))
    found, queue = [], [pid]
    while queue:
        queue = [c for p in queue for c in children.get(p, [])]
        found += queue
    return found


def kill_below(pid: int, user: int | None = None) -> None:
    """Kill every process below `pid` until there is none; `user`: and all that belong to this user number."""
    for attempt in range(200):
        there = descendants(pid)
        for each in there:
            with contextlib.suppress(OSError):
                os.kill(each, signal.SIGKILL)
        if user is not None and there:
            _kill_user(user)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not there:
            return
        time.sleep(0.001 * min(20, attempt + 1))


def _kill_user(user: int) -> None:
    """As that user, signal everything: nothing of it can fork away."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            os.setresuid(user, user, user)
            os.kill(-1, signal.SIGKILL)
        os._exit(0)
    os.waitpid(pid, 0)


def own_memory(pid: int) -> int:
    """Bytes of a process that are in memory and are not files; 0 where it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            parts = file.read().split()
        return (int(parts[1]) - int(parts[2])) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0


# -- the inmate's part


def enclose(order: Order, held: Iterable[str]) -> list[str]:
    """Shut this process in. What the system refuses is left out; returns the names of the fences that stand."""
    stands = list(held)
    root = os.getuid() == 0
    user = FIRST_USER + order.slot if root else os.getuid()
    try:
        if "files" in order.without:
            raise OSError
        _ok(_libc.unshare(_NEWNS))
        _hide_files(order, user, "processes" in stands)
        stands.append("files")
    except OSError:
        if root:
            with contextlib.suppress(OSError):
                os.chown(order.home, user, user)
    os.chdir(order.home)
    _limit(order)
    _step_back(order.slot)
    stands.append("limits")
    if root:  # never as root: where Python lies in a folder that others cannot enter, nothing runs
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            stands.append("user")
    _drop_rights()
    _environment(order.home)
    return sorted(stands)


def _hide_files(order: Order, user: int, processes: bool) -> None:
    _mount("none", "/", "", _REC | _PRIVATE)
    home, folder = os.open(order.home, os.O_PATH), os.open(order.folder, os.O_PATH)
    for path in order.hide:
        _cover(Path(path), [Path(k) for k in order.keep])
    for path, handle in ((order.home, home), (order.folder, folder)):
        os.makedirs(path, exist_ok=True)  # inside the cover, which forgets it when this process ends
        _mount(f"/proc/self/fd/{handle}", path, "", _BIND)
        os.close(handle)
    if processes:
        _mount("proc", "/proc", "proc", _NOSUID | _NODEV)
    attributes = struct.pack("<QQQQ", _RDONLY, 0, 0, 0)
    _ok(_libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, attributes, len(attributes)))
    size = f"size={order.disk},nr_inodes=4096,mode=700,uid={user},gid={user if os.getuid() == 0 else os.getgid()}"
    _mount("tmpfs", order.home, "tmpfs", _NOSUID | _NODEV, size)


def _cover(path: Path, keep: list[Path]) -> None:
    """Put an empty folder over a path; where something in it is needed, over all the rest of it."""
    if path.is_symlink() or not path.exists() or any(path.is_relative_to(k) for k in keep):
        return
    if not path.is_dir():
        with contextlib.suppress(OSError):
            _mount("/dev/null", str(path), "", _BIND)
        return
    inside = [k for k in keep if k.is_relative_to(path)]
    if inside and not path.stat().st_mode & 0o001:
        _rebuild(path, inside)
        return
    if inside:
        for child in sorted(path.iterdir()):
            if child.is_dir() or not any(k.parent == path and k.name.startswith(child.stem) for k in keep):
                _cover(child, keep)
        return
    _mount("tmpfs", str(path), "tmpfs", _NOSUID | _NODEV, "size=64k,mode=755")


def _rebuild(path: Path, inside: list[Path]) -> None:
    """Others may not walk through this folder: put one over it that holds what is needed and nothing else."""
    tops = [k for k in inside if k.exists() and not any(k != o and k.is_relative_to(o) for o in inside)]
    handles = [(k, k.is_dir(), os.open(k, os.O_PATH)) for k in tops]
    _mount("tmpfs", str(path), "tmpfs", _NOSUID | _NODEV, "size=64k,mode=755")
    for kept, folder, handle in handles:
        (kept if folder else kept.parent).mkdir(mode=0o755, parents=True, exist_ok=True)
        if not folder:
            kept.touch()
        _mount(f"/proc/self/fd/{handle}", str(kept), "", _BIND)
        os.close(handle)


def _limit(order: Order) -> None:
    data = 0
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        data = int(next(x for x in lines if x.startswith("VmData:")).split()[1]) << 10
    taken = 0
    if os.getuid() != 0:  # the limit counts all processes of a user
        mine = os.getuid()
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{entry}").st_uid == mine:
                    taken += len(os.listdir(f"/proc/{entry}/task"))
    for kind, value in (
        (resource.RLIMIT_DATA, data + order.memory),
        (resource.RLIMIT_NPROC, taken + order.processes),
        (resource.RLIMIT_FSIZE, order.disk),
        (resource.RLIMIT_CPU, order.seconds),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (value, value))


def _step_back(slot: int) -> None:
    """A core of its own, and after the judges there: what it starts a hundred times does not slow the others."""
    with contextlib.suppress(OSError):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[slot % len(cores)]})
        os.nice(10)


def _drop_rights() -> None:
    """No capability is left, none can be had again, and the guard's death is ours."""
    for number in range(64):
        _libc.prctl(_BOUNDING_DROP, number, 0, 0, 0)
    header = struct.pack("<Ii", 0x20080522, 0)
    _libc.capset(header, bytes(24))
    _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def _environment(home: str) -> None:
    path = os.environ.get("PATH", "/usr/bin:/bin")
    os.environ.clear()
    os.environ.update(PATH=path, HOME=home, TMPDIR=home, LANG="C.UTF-8", OMP_NUM_THREADS="1", MPLCONFIGDIR=home)
