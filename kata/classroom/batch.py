"""The supervisor: takes submissions in, keeps every core's judge busy, writes results as they come. No torch here."""

import contextlib
import hashlib
import json
import os
import queue
import secrets
import shutil
import site
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kata.classroom import fences, intake
from kata.classroom.intake import Entry
from kata.classroom.lines import Lines
from kata.classroom.results import Result, marked
from kata.classroom.rubric import Rubric
from kata.classroom.text import clean
from kata.project import KataError, Project
from kata.verdict import GRADER_ERROR, Verdict
from kata.warm import Warm

STUCK = 300.0  # s without a word from a judge before it is given up
KEPT = ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH", "TZ", "SYSTEMROOT")


@dataclass(frozen=True)
class Job:
    """What is to be graded and how.

    Attributes:
        limits: fields of `desk.Limits` that differ from the defaults.
        hide: further paths that submissions may not see.
        strict: stop where a fence cannot be put up.
        without: fences to leave out, to try what a system does that refuses them.
    """

    project: Project
    sets: list[str]
    seed: int
    rubric: Rubric
    limits: dict[str, Any] = field(default_factory=dict)
    workers: int = 1
    hide: list[Path] = field(default_factory=list)
    strict: bool = False
    without: list[str] = field(default_factory=list)

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """All that the marks depend on beside the submission; a second grading with it gives the same."""
        return {
            "seed": self.seed,
            "sets": self.sets,
            "rubric": self.rubric.digest,
            "limits": self.limits,
            "course": course_digest(self.project, self.sets),
        }


def course_digest(project: Project, sets: list[str]) -> str:
    """A hash of everything that decides a mark: solutions, checks, weights and the engine."""
    digest = hashlib.sha256()
    places = [project.solutions / s for s in sets] + [project.data / s for s in sets] + [project.checks]
    for place in [*places, Path(__file__).parent.parent]:
        for path in sorted(place.rglob("*")):
            if path.suffix in (".py", ".json", ".safetensors") and path.is_file():
                digest.update(f"{path.relative_to(place)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def paths(project: Project) -> dict[str, str]:
    return {k: str(v) for k, v in asdict(project).items()}


def stamps(project: Project) -> dict[str, tuple[int, int, int]]:
    """Size, time and place of every file of the course that a mark rests on."""
    files = [p for f in (project.solutions, project.checks, project.data) for p in f.rglob("*") if p.suffix != ".pyc"]
    found = {str(p): p.stat() for p in files if p.is_file()}
    return {name: (s.st_size, s.st_mtime_ns, s.st_ino) for name, s in found.items()}


class Batch:
    """Grades entries; a context manager, so that nothing is left behind.

    Args:
        say: told one line at a time what is going on.
    """

    def __init__(self, job: Job, say: Callable[[str], None] = lambda text: None):
        if sys.platform != "linux":
            raise KataError("grading a class needs Linux: on other systems use the container (docs/instructor.md)")
        self.job = job
        self.say = say
        self.stop = ""
        self.fences: list[str] | None = None
        self._exposed = False
        self._stamps = stamps(job.project)
        self._done: queue.Queue[Result | None] = queue.Queue()
        self._lock = threading.Lock()
        self._exercises = [e for s in job.sets for e in job.project.catalog(s)]

    def __enter__(self) -> "Batch":
        self.work = Path(tempfile.mkdtemp(prefix="kata-grade-"))
        self.work.chmod(0o711)
        cleaned: dict[str, str | None] = {k: None for k in os.environ if k not in KEPT}
        self.warm = Warm(
            "kata.classroom.runner:prepare",
            {"project": paths(self.job.project), "sets": self.job.sets},
            mode="fork",
            on_note=self._noted,
            environment={**cleaned, "PYTHONHASHSEED": "0", "HOME": str(self.work), "PYTHONDONTWRITEBYTECODE": "1"},
            folder=self.work,
        )  # it starts when the first submission needs it: where all are graded already, none does
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop = self.stop or "over"
        try:
            self.warm.close()
        finally:
            shutil.rmtree(self.work, ignore_errors=True)

    def _noted(self, note: dict[str, Any]) -> None:
        if "error" in note:
            self.stop = note["error"]

    # -- the class ------------------------------------------------------------------------------------------------

    def grade(self, entries: list[Entry], known: Callable[[Entry, str], Result | None]) -> Iterator[Result]:
        """Grade every entry and yield the results as they come.

        Args:
            known: (entry, digest of its files) -> the result of an earlier run, where there is one.
        """
        waiting: queue.SimpleQueue[Entry] = queue.SimpleQueue()
        for entry in entries:
            waiting.put(entry)
        slots = [Slot(self, number, waiting, known) for number in range(max(1, min(self.job.workers, len(entries))))]
        for slot in slots:
            threading.Thread(target=slot.live, daemon=True).start()
        alive = len(slots)
        while alive:
            result = self._done.get()
            if result is None:
                alive -= 1
            else:
                yield result
        if self.stop:
            raise KataError(self.stop)

    def checked(self, stands: list[str]) -> None:
        """Told which fences a child has; says so once, and stops where all are wanted."""
        with self._lock:
            if self.fences is not None:
                return
            self.fences = stands
        if {"files", "processes"} <= set(stands):
            stands = [*stands, "user"]  # what another user would protect is out of sight already
        self._exposed = not {"files", "user"} & set(stands)
        missing = [text for name, text in fences.NAMES.items() if name not in stands]
        if missing and self.job.strict:
            self.stop = f"--strict, and this system refuses: {'; '.join(missing)} (docs/instructor.md)"
        elif missing:
            self.say(f"this system refuses some fences: {'; '.join(missing)} (docs/instructor.md says what to do)")

    def look_after(self, entry: Entry) -> None:
        """Where nothing keeps a submission from the course's files: stop when they have changed."""
        if self._exposed and stamps(self.job.project) != self._stamps:
            self.stop = self.stop or f"the course's files changed while {entry.name} was graded: look at both"

    def unsettled(self, entry: Entry, taken: intake.Taken, why: str, status: str = "broken") -> Result:
        """A result without a run: the same verdict for every exercise."""
        next_step = "please tell your instructor" if status == GRADER_ERROR else ""
        verdicts = [Verdict(e.set, e.name, status, why, [], next_step) for e in self._exercises]
        rows = [{"verdict": v.to_dict(), "same": "", "pictures": []} for v in verdicts]
        return self.result(entry, taken, {"rows": rows, "seconds": 0.0}, why)

    def result(self, entry: Entry, taken: intake.Taken, sheet: dict[str, Any], problem: str = "") -> Result:
        marks = marked(self._exercises, sheet["rows"], self.job.rubric)
        run = {**self.job.fingerprint, "fences": sheet.get("fences") or []}
        notes = [clean(n).replace("\n", " ") for n in taken.notes]
        shown = clean(intake.label(entry))
        return Result(entry.name, shown, marks, notes, clean(problem), taken.digest, run, sheet["seconds"])


class Slot:
    """One core: a judge, and the child that it is asking."""

    def __init__(
        self,
        batch: Batch,
        number: int,
        waiting: "queue.SimpleQueue[Entry]",
        known: Callable[[Entry, str], Result | None],
    ):
        self.batch, self.number, self.waiting, self.known = batch, number, waiting, known
        self.line: Lines | None = None
        self.failure = ""
        self._sending = threading.Lock()

    def live(self) -> None:
        """Take entries until there are none; whatever happens to one, the next is graded."""
        batch = self.batch
        try:
            while not batch.stop:
                try:
                    entry = self.waiting.get_nowait()
                except queue.Empty:
                    break
                result = self._one(entry)
                if result:
                    batch._done.put(result)
        except KataError as error:
            batch.stop = batch.stop or str(error)
        except Exception as error:
            batch.stop = batch.stop or f"the grader itself failed: {type(error).__name__}: {error}"
        finally:
            if self.line:
                self.line.sock.close()
            batch._done.put(None)

    def _one(self, entry: Entry) -> Result | None:
        batch = self.batch
        scratch = Path(tempfile.mkdtemp(dir=batch.work))
        taken = intake.Taken()
        try:
            scratch.chmod(0o755)
            folder = scratch / batch.job.project.exercises.name
            taken = intake.take(entry, folder, batch.job.project)
            if taken.problem:
                return batch.unsettled(entry, taken, taken.problem)
            earlier = self.known(entry, taken.digest)
            if earlier:
                return earlier
            for _ in range(2):  # once more with a fresh judge, should it die
                sheet = self._judged(scratch, folder)
                if sheet or batch.stop:
                    break
            batch.look_after(entry)
            if batch.stop:
                return None
            if sheet is None:
                why = f"the grader itself failed twice on this submission: {self.failure or 'its judge ended'}"
                return batch.unsettled(entry, taken, why, GRADER_ERROR)
            return batch.result(entry, taken, sheet)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _judged(self, scratch: Path, folder: Path) -> dict[str, Any] | None:
        """Have the judge grade what is in `folder`; None where the judge was lost."""
        home = scratch / "home"
        home.mkdir(exist_ok=True)
        job, line = self.batch.job, self._judge()
        if line is None:
            return None
        fence = {
            "home": str(home),
            "folder": str(folder),
            "hide": [str(p) for p in (*hidden(job.project), *job.hide, self.batch.work)],
            "keep": kept(),
            "slot": self.number,
            "without": job.without,
        }
        fence |= {k: job.limits[k] for k in ("memory", "disk") if k in job.limits}
        order = {"socket": str(self.batch.work / f"child-{self.number}"), "fence": fence, "project": paths(job.project)}
        try:
            self._send(grade=order)
            return self._listen(line)
        except (TimeoutError, OSError):
            line.sock.close()
            self.line = None
            return None

    def _listen(self, line: Lines) -> dict[str, Any] | None:
        while (message := line.read(STUCK)) is not None:
            if "child" in message:
                threading.Thread(target=self._child, args=(message["child"],), daemon=True).start()
            elif "graded" in message:
                self.batch.checked(message["graded"]["fences"] or [])
                return message["graded"]
            elif "failed" in message:
                self.failure = message["failed"].strip().splitlines()[-1]
                return None
            elif "stop" in message or "error" in message:
                self.batch.stop = message.get("stop") or f"the judge failed:\n{message['error']}"
                return None
        self.line = None
        return None

    def _child(self, order: dict[str, Any]) -> None:
        """Have the warm parent fork a guard; tell the judge how it ended."""
        limits = self.batch.job.limits
        done = self.batch.warm.run(
            "kata.classroom.runner:guard", json.dumps(order).encode(), seconds=2 * limits.get("total", 120.0) + 120
        )
        last = json.loads(done.value) if done.ok else {"end": "lost", "why": f"{done.reason} {done.detail}"[-500:]}
        with contextlib.suppress(OSError):
            self._send(ended=last)

    def _send(self, **message: Any) -> None:
        with self._sending:
            if self.line:
                self.line.send(**message)

    def _judge(self) -> Lines | None:
        """The connection to this core's judge; starts one where there is none."""
        if self.line:
            return self.line
        job = self.batch.job
        path = self.batch.work / f"judge-{secrets.token_hex(4)}"
        settings = {
            "socket": str(path),
            "slot": self.number,
            "project": paths(job.project),
            "sets": job.sets,
            "seed": job.seed,
            "limits": job.limits,
        }
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            path.chmod(0o600)
            listener.listen(1)
            listener.settimeout(1.0)
            run = threading.Thread(
                target=self.batch.warm.run,
                args=("kata.classroom.desk:serve", json.dumps(settings).encode()),
                kwargs={"seconds": 10.0**7},
                daemon=True,
            )
            run.start()
            ends = time.monotonic() + STUCK
            while not self.batch.stop and run.is_alive() and time.monotonic() < ends:
                with contextlib.suppress(TimeoutError):
                    self.line = Lines(listener.accept()[0])
                    break
        path.unlink(missing_ok=True)
        while self.line and (message := self.line.read(STUCK)) is not None:
            if "ready" in message:
                return self.line
            if "stop" in message or "error" in message:
                self.batch.stop = message.get("stop") or f"the judge failed:\n{message['error']}"
                break
        if not self.batch.stop and self.line is None:
            self.batch.stop = "the judge could not be started"
        return None


def hidden(project: Project) -> list[Path]:
    """What no submission may see: the course, and the homes and sockets of the machine."""
    places = ["/run", "/root", "/home", "/tmp", "/var/tmp", "/dev/shm", "/srv", "/mnt", "/media", tempfile.gettempdir()]
    return [project.root, Path.home(), *map(Path, places)]


def kept() -> list[str]:
    """What Python and the engine need of it."""
    engine = Path(__file__).resolve().parent.parent
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent, engine}
    found |= {Path(p) for p in [*site.getsitepackages(), site.getusersitepackages()] if Path(p).is_dir()}
    return sorted({str(p) for p in found} | {str(p.resolve()) for p in found})
