"""Taking submissions in: folders and archives of any depth, copied under limits; nothing in them is run or believed.

A *submission* is copied to a fresh folder that has the layout of `exercises/`. Only regular, small files are copied.
Links, devices, paths that lead out and what is too large are left out, and a note says so.
"""

import bz2
import gzip
import hashlib
import lzma
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from kata.project import KataError, Project

MAX_FILE = 2 << 20  # bytes of one file
MAX_TOTAL = 50 << 20  # bytes of one submission, unpacked
MAX_FILES = 2_000
MAX_DEPTH = 12
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
_LEFT_OUT = re.compile(r"(^|/)(__MACOSX|\.git|__pycache__|\.venv|node_modules|\.ipynb_checkpoints)(/|$)|(^|/)\._")


class Refused(Exception):
    """A submission that cannot be taken in; its text says why."""


@dataclass(frozen=True)
class Entry:
    """One submission before it is opened: what to call it and where it is."""

    name: str
    path: Path


def label(entry: Entry) -> str:
    """The name as it came, for people."""
    return _bare(entry.path).encode("utf-8", "replace").decode() if entry.name != entry.path.name else entry.name


@dataclass
class Taken:
    """A submission that was copied.

    Attributes:
        digest: changes when any copied file does.
        notes: what was left out.
        problem: why there is nothing to grade, where that is so.
    """

    digest: str = ""
    notes: list[str] = field(default_factory=list)
    problem: str = ""


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVES)


# -- which submissions are there


def find(paths: list[Path], project: Project, one: bool = False) -> list[Entry]:
    """The submissions that a command line names: several paths are one each; a folder of folders is a class.

    Args:
        one: the path is one submission, whatever is in it.
    """
    for path in paths:
        if not path.exists():
            raise KataError(f"{path} is not there")
        if not path.is_dir() and not is_archive(path):
            raise KataError(f"{path} is neither a folder nor an archive ({', '.join(ARCHIVES)})")
    if len(paths) == 1 and paths[0].is_dir() and not one:
        entries = _class(paths[0], project)
    else:
        entries = [Entry(_bare(p), p) for p in paths]
    if not entries:
        raise KataError(f"{paths[0]} holds no submissions: name folders or archives with the layout of exercises/")
    return _unique(entries)


def _class(folder: Path, project: Project) -> list[Entry]:
    top = folder
    if _one_set(folder.resolve().name, [p.name for p in folder.iterdir()], project):
        return [Entry(folder.resolve().name, folder)]
    for _ in range(MAX_DEPTH):
        if _has_layout(top, project) or _has_layout(top / project.exercises.name, project):
            return [Entry(folder.resolve().name, folder)]
        children = [c for c in sorted(top.iterdir()) if not c.name.startswith(".") and not c.is_symlink()]
        children = [c for c in children if (c.is_dir() and c.name != "__MACOSX") or (c.is_file() and is_archive(c))]
        if len(children) != 1 or not children[0].is_dir():
            return [Entry(_bare(c), c) for c in children]
        top = children[0]
    return []


def _bare(path: Path) -> str:
    name = path.resolve().name
    for ending in sorted(ARCHIVES, key=len, reverse=True):
        if path.is_file() and name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _unique(entries: list[Entry]) -> list[Entry]:
    """Names that are safe as file names and differ even where case does not count."""
    seen: set[str] = set()
    out = []
    for entry in sorted(entries, key=lambda e: (e.name, str(e.path))):
        name = re.sub(r"[^\w.\- ]", "_", entry.name.encode(errors="replace").decode(), flags=re.A).strip(". ")[:80]
        if name != entry.name or name.casefold() in seen:
            name = f"{name or 'submission'}-{hashlib.sha256(str(entry.path).encode(errors='replace')).hexdigest()[:6]}"
        seen.add(name.casefold())
        out.append(Entry(name, entry.path))
    return out


def _one_set(name: str, files: list[str], project: Project) -> bool:
    """Whether a folder of this name with these files is one set's folder by itself."""
    return name in project.sets and any(f"{f}.py" in files for f in project.files(name))


def _has_layout(folder: Path, project: Project) -> bool:
    """Whether a folder is laid out like exercises/: a set's folder with one of its files in it."""
    return any((folder / s / f"{f}.py").is_file() for s in project.sets for f in project.files(s))


# -- taking one in


def take(entry: Entry, folder: Path, project: Project) -> Taken:
    """Copy a submission into `folder`, laid out like exercises/. Never raises for what a submission holds."""
    taken = Taken()
    folder.mkdir(parents=True)
    try:
        files = _archive(entry.path, taken) if entry.path.is_file() else _folder(entry.path, taken)
        found = dict(files)
        name = entry.path.resolve().name
        if _one_set(name, list(found), project):
            found = {f"{name}/{inside}": data for inside, data in found.items()}
        wanted = _choose(found, project, taken)
    except Refused as error:
        taken.problem = str(error)
        return taken
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, MemoryError, *_DAMAGED) as error:
        taken.problem = f"the {'archive' if entry.path.is_file() else 'folder'} cannot be read: {str(error)[:200]}"
        return taken
    digest = hashlib.sha256()
    for name, data in sorted(wanted.items()):
        target = folder / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        except OSError as error:
            taken.notes.append(f"left out {name[:100]!r}: {error.strerror}")
            continue
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    taken.digest = digest.hexdigest()
    return taken


_DAMAGED = (zipfile.BadZipFile, zipfile.LargeZipFile, tarfile.TarError, lzma.LZMAError, __import__("zlib").error)


def _choose(files: dict[str, bytes], project: Project, taken: Taken) -> dict[str, bytes]:
    """The files below the place that is laid out like exercises/, with paths from there."""
    known = {f"{s}/{f}.py" for s in project.sets for f in project.files(s)}
    roots: dict[str, int] = {}
    for name in files:
        parts = name.split("/")
        if len(parts) >= 2 and "/".join(parts[-2:]) in known:
            root = "/".join(parts[:-2])
            roots[root] = roots.get(root, 0) + 1
    if not roots:
        sets = ", ".join(f"{s}/" for s in project.sets[:3])
        raise Refused(f"no folder with the layout of exercises/ was found ({sets} ... with their files)")

    def order(root: str) -> tuple[int, int, int, str]:
        named = root.split("/")[-1]
        rank = 0 if named == project.exercises.name else 2 if named == project.solutions.name else 1
        return rank, root.count("/") if root else -1, -roots[root], root

    best, *others = sorted(roots, key=order)
    if others:
        taken.notes.append(f"several places look like exercises/: {best or 'the top'} was graded, not {others[0]}")
    start = f"{best}/" if best else ""
    return {n.removeprefix(start): d for n, d in files.items() if n.startswith(start)}


class _Budget:
    """Counts what has been taken; raises Refused beyond the limits."""

    def __init__(self, taken: Taken):
        self.taken = taken
        self.files = self.bytes = 0

    def name(self, raw: str, size: int) -> str | None:
        """The path of a file that may be taken, or None with a note."""
        name = raw.replace("\\", "/").encode("utf-8", "replace").decode("utf-8")
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or re.match(r"^[A-Za-z]:", name) or "\0" in name:
            return self.note(name, "its path leads out of the submission")
        name = "/".join(parts)
        if _LEFT_OUT.search(name):
            return None
        if len(parts) > MAX_DEPTH or len(name) > 400:
            return self.note(name, "it lies too deep")
        if size > MAX_FILE:
            return self.note(name, f"{size / 2**20:.1f} MB; {MAX_FILE >> 20} MB are allowed")
        self.files += 1
        if self.files > MAX_FILES:
            raise Refused(f"more than {MAX_FILES} files")
        return name

    def note(self, name: str, why: str) -> str | None:
        """Say what is left out; returns None, as `name` does for it."""
        if len(self.taken.notes) < 20:
            self.taken.notes.append(f"left out {name[:100]!r}: {why}")
        return None

    def add(self, data: bytes) -> bytes:
        self.bytes += len(data)
        if self.bytes > MAX_TOTAL:
            raise Refused(f"more than {MAX_TOTAL >> 20} MB when unpacked")
        return data


def _folder(folder: Path, taken: Taken) -> Iterator[tuple[str, bytes]]:
    budget = _Budget(taken)
    seen = 0
    for base, folders, names in os.walk(folder, followlinks=False):
        inside = Path(base).relative_to(folder)
        for name in [d for d in folders if (Path(base) / d).is_symlink()]:
            budget.note(str(inside / name), "a link")
        folders[:] = sorted(d for d in folders if len(inside.parts) < MAX_DEPTH and not _LEFT_OUT.search(f"{d}/"))
        for name in sorted(names):
            seen += 1
            if seen > 20 * MAX_FILES:
                raise Refused("far too many files")
            path, shown = Path(base) / name, str(inside / name)
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                budget.note(shown, "a link" if stat.S_ISLNK(status.st_mode) else "not a file")
                continue
            kept = budget.name(shown, status.st_size)
            if kept:
                with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                    yield kept, budget.add(file.read(MAX_FILE))


def _archive(path: Path, taken: Taken) -> Iterator[tuple[str, bytes]]:
    return _zip(path, taken) if path.name.lower().endswith(".zip") else _tar(path, taken)


def _zip(path: Path, taken: Taken) -> Iterator[tuple[str, bytes]]:
    budget = _Budget(taken)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > 20 * MAX_FILES:
            raise Refused("far too many files")
        for member in members:
            mode = member.external_attr >> 16
            if member.is_dir():
                continue
            if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                budget.note(member.filename, "a link" if stat.S_ISLNK(mode) else "not a file")
                continue
            kept = budget.name(member.filename, member.file_size)
            if kept:
                with archive.open(member) as file:
                    data = file.read(MAX_FILE + 1)  # the header may lie about the size
                if len(data) > MAX_FILE:
                    raise Refused(f"{kept[:100]!r} is larger than it says")
                yield kept, budget.add(data)


class _Bounded:
    """A stream that gives up after so many bytes: what a bomb unpacks to is never read."""

    def __init__(self, source: IO[bytes]):
        self.source = source
        self.left = 2 * MAX_TOTAL

    def read(self, size: int = -1) -> bytes:
        data = self.source.read(min(1 << 20, size) if size >= 0 else 1 << 20)
        self.left -= len(data)
        if self.left < 0:
            raise Refused(f"more than {MAX_TOTAL >> 20} MB when unpacked")
        return data


class _Xz:
    """An .xz stream that may not ask for more than 128 MB of memory, whatever its header says."""

    def __init__(self, path: Path):
        self._file = path.open("rb")
        self._open = lzma.LZMADecompressor(memlimit=128 << 20)

    def read(self, size: int) -> bytes:
        while not self._open.eof:
            piece = self._file.read(1 << 16) if self._open.needs_input else b""
            if self._open.needs_input and not piece:
                raise EOFError("the archive ends too early")
            data = self._open.decompress(piece, max_length=size)
            if data:
                return data
        return b""

    def close(self) -> None:
        self._file.close()


def _tar(path: Path, taken: Taken) -> Iterator[tuple[str, bytes]]:
    budget = _Budget(taken)
    lower = path.name.lower()
    source: Any
    if lower.endswith(("gz",)):
        source = gzip.open(path)  # noqa: SIM115 - closed below
    elif lower.endswith("bz2"):
        source = bz2.open(path)  # noqa: SIM115
    else:
        source = _Xz(path) if lower.endswith("xz") else path.open("rb")
    try:
        bounded: Any = _Bounded(source)
        with tarfile.open(fileobj=bounded, mode="r|", errorlevel=0) as archive:
            for number, member in enumerate(archive):
                if number > 20 * MAX_FILES:
                    raise Refused("far too many files")
                if member.isdir():
                    continue
                if not member.isreg():
                    budget.note(member.name, "a link" if member.issym() or member.islnk() else "not a file")
                    continue
                kept = budget.name(member.name, member.size)
                file = archive.extractfile(member) if kept else None
                if kept and file:
                    yield kept, budget.add(file.read())
                archive.members = []  # type: ignore[attr-defined]  # what was read is not kept
    finally:
        source.close()
