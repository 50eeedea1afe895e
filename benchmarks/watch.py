"""From save to verdict: how long `kata watch` takes for every exercise, what it costs in memory, and what it leaves.

    python benchmarks/watch.py                            every exercise of every set, then 200 saves in a row
    python benchmarks/watch.py --set trigrams --saves 4   one set, fewer saves for each exercise
    python benchmarks/watch.py --json FILE                the figures also as JSON

Time runs from the moment the file is replaced on disk to the moment the picture for the screen is made: the file
watcher, the forked process, the verdict and the drawing are all in it. Saves are right answers and, where the set has
them, known mistakes in turn (a wrong answer takes longer: its mistake is looked for). A cold run is
`kata watch EXERCISE --once --cold`, one for each set, in the same run of this benchmark.
"""

import argparse
import json
import os
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kata import watch_screen
from kata.project import Exercise, Project
from kata.watch import Session, order
from kata.watch_files import Files
from kata.watch_judge import Judge

P50, P95, RATIO, ROW = 0.5, 1.0, 20, 200  # the bars: seconds, seconds, times, saves in a row
GROWTH = 10e6  # bytes over the saves in a row that are not a leak
COUNTED, SIZED = ("processes", "descriptors", "threads", "files"), ("watcher", "warm parent")
WRONG = """
def {name}(*args, **kwargs):
    from checks.mistakes import {set}
    wrong = [m for m in vars({set}).values() if getattr(m, "exercise", "") == "{name}" and not m.accepted]
    return wrong[{number} % len(wrong)].function(*args, **kwargs)
"""


def verdict_and_memory(payload: bytes) -> bytes:
    """A run as the watcher does it, and the bytes that it took for itself; runs in the forked process."""
    from kata import preload

    preload.verdict(payload)
    return json.dumps(smaps("self")).encode()


def smaps(pid: int | str) -> dict[str, int]:
    """Bytes of a process: in memory in all, and its own share (pages that no other process has)."""
    fields = {"Rss": 0, "Private_Dirty": 0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, number, *_ = line.replace(":", "").split()
        if name in fields:
            fields[name] = int(number) * 1024
    return fields


class Learner:
    """The real loop without a terminal: its file watcher, its judge and its screen."""

    def __init__(self, project: Project, start: Exercise):
        self.events: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self.project = project
        self.console = watch_screen.console_for()
        self.files = Files(project, self.post)
        self.judge = Judge(project, project.exercises, order(project, start), self.post)
        self.session = Session(project, self.judge, start)
        self.number = 0

    def post(self, *news: Any) -> None:
        self.events.put(news)

    def start(self) -> float:
        """Start; seconds to the first verdict."""
        began = time.perf_counter()
        self.judge.start()
        self.files.start()
        self.session.begin()
        self.until_answered(began)
        return time.perf_counter() - began

    def until_answered(self, began: float) -> float:
        """Take in events until a verdict is on the screen; seconds since `began`."""
        while True:
            kind, *news = self.events.get(timeout=300)
            self.session.on(kind, *news)
            text = watch_screen.compose(self.session.screen(80), self.console, 80, 24)
            if kind == "verdict" and self.session.checking is None:
                assert text
                return time.perf_counter() - began

    def wait_for_sets(self) -> None:
        """Until the warm process has made every set ready."""
        left = set(self.project.sets) - {self.session.current.set}
        while left:
            kind, *news = self.events.get(timeout=300)
            self.session.on(kind, *news)
            if kind == "note":
                left.discard(news[0].get("stage"))
        time.sleep(2)

    def save(self, exercise: Exercise, wrong: bool) -> tuple[float, str]:
        """Save an answer as an editor does; seconds to the verdict, and its status."""
        self.number += 1
        path = self.project.exercises / exercise.set / exercise.file
        text = (self.project.solutions / exercise.set / exercise.file).read_text(encoding="utf-8")
        if wrong:
            text += WRONG.format(name=exercise.name, set=exercise.set, number=self.number)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(f"{text}\n# save {self.number}\n", encoding="utf-8")
        began = time.perf_counter()
        fresh.replace(path)
        seconds = self.until_answered(began)
        assert self.session.verdict
        return seconds, self.session.verdict.status

    def close(self) -> None:
        self.files.close()
        self.judge.close()


def course(folder: Path, sets: list[str]) -> Project:
    """A copy of the course in which the exercises are solved."""
    here = Project.find(Path(__file__).parent)
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copy(here.root / "pyproject.toml", folder)
    shutil.copytree(here.checks, folder / "checks", ignore=hidden)
    for name in sets or here.sets:
        shutil.copytree(here.solutions / name, folder / "solutions" / name, ignore=hidden)
        shutil.copytree(here.solutions / name, folder / "exercises" / name, ignore=hidden)
        shutil.copytree(here.data / name, folder / "data" / name, ignore=hidden)
    return Project.find(folder)


def cold(project: Project, exercise: Exercise) -> float:
    command = [sys.executable, "-P", "-m", "kata.cli", "watch", exercise.id, "--once", "--cold"]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the cold run of {exercise.id} failed: {done.stdout}{done.stderr}")
    return time.perf_counter() - began


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def measure(learner: Learner, exercises: list[Exercise], saves: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for exercise in exercises:
        learner.session.choose(exercise)
        learner.until_answered(time.perf_counter())
        has_mistakes = (learner.project.checks / "mistakes" / f"{exercise.set}.py").is_file()
        times = []
        for number in range(saves):
            wrong = has_mistakes and number % 2 == 1
            seconds, status = learner.save(exercise, wrong)
            if (status == "passed") == wrong:
                print(f"    {exercise.id}: a {'wrong' if wrong else 'right'} answer was {status}")
            times.append(seconds)
        found[exercise.id] = times
        print(
            f"  {exercise.id:<42} p50 {percentile(times, 0.5):.2f} s  p95 {percentile(times, 0.95):.2f} s", flush=True
        )
    return found


def leftovers(learner: Learner) -> dict[str, int]:
    """What could pile up: processes, descriptors, threads, files, bytes."""
    pid = learner.judge.warm.pid
    tasks = list(Path("/proc/self/task").iterdir())
    children = [p for t in [*tasks, Path(f"/proc/{pid}/task/{pid}")] for p in (t / "children").read_text().split()]
    temporary = [p for p in Path(tempfile.gettempdir()).iterdir() if "kata" in p.name]
    return {
        "processes": len(children),
        "descriptors": len(os.listdir("/proc/self/fd")) + len(os.listdir(f"/proc/{pid}/fd")),
        "threads": len(tasks) + len(os.listdir(f"/proc/{pid}/task")),
        "files": sum(1 for p in learner.project.root.rglob("*") if "__pycache__" not in p.parts) + len(temporary),
        "watcher": smaps("self")["Rss"],
        "warm parent": smaps(pid)["Rss"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", default=[], dest="sets")
    parser.add_argument("--saves", type=int, default=10, help="for each exercise")
    parser.add_argument("--row", type=int, default=ROW, help="saves in a row at the end")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parent.resolve())  # for verdict_and_memory, in the warm process
    with tempfile.TemporaryDirectory() as name:
        project = course(Path(name).resolve(), chosen.sets)
        exercises = [e for s in project.sets for e in project.catalog(s)]
        starts = [project.catalog(s)[0] for s in project.sets]
        print(f"cold runs, load {os.getloadavg()[0]:.1f}")
        cold_times = [cold(project, e) for e in starts]
        learner = Learner(project, exercises[0])
        try:
            first = learner.start()
            learner.wait_for_sets()
            print(f"first verdict after {first:.1f} s; save to verdict, {chosen.saves} saves each:")
            times = measure(learner, exercises, chosen.saves)
            runs = []
            for exercise in exercises:
                payload = json.dumps({"submission": str(project.exercises), "exercise": exercise.id}).encode()
                run = learner.judge.warm.run("watch:verdict_and_memory", payload, seconds=100)
                runs.append(json.loads(run.value)["Private_Dirty"])
            before = leftovers(learner)
            print(f"{chosen.row} saves in a row ...", flush=True)
            row = [learner.save(learner.session.current, number % 2 == 1)[0] for number in range(chosen.row)]
            time.sleep(1)
            after = leftovers(learner)
        finally:
            learner.close()
    report(times, cold_times, first, runs, row, before, after, chosen.json)


def report(
    times: dict[str, list[float]],
    cold_times: list[float],
    first: float,
    runs: list[int],
    row: list[float],
    before: dict[str, int],
    after: dict[str, int],
    out: Path | None,
) -> None:
    p50 = {name: percentile(t, 0.5) for name, t in times.items()}
    p95 = {name: percentile(t, 0.95) for name, t in times.items()}
    slowest, tail = max(p50, key=lambda n: p50[n]), max(p95, key=lambda n: p95[n])
    everything = [t for each in times.values() for t in each]
    cold_time = statistics.median(cold_times)
    ratio = cold_time / percentile(everything, 0.5)
    grown = {name: after[name] - before[name] for name in before}
    least = cold_time / p50[slowest]
    counted = [f"{grown[k]} {k}" for k in COUNTED] + [f"{grown[k] / 1e6:.1f} MB of the {k}" for k in SIZED]
    print()
    print(f"save to verdict   p50 {percentile(everything, 0.5):.2f} s, p95 {percentile(everything, 0.95):.2f} s")
    print(f"  slowest p50     {p50[slowest]:.2f} s ({slowest})")
    print(f"  slowest p95     {p95[tail]:.2f} s ({tail})")
    print(f"a cold run        {cold_time:.1f} s: {ratio:.0f} times the median answer, {least:.0f} times the slowest")
    print(f"first verdict     {first:.1f} s after the start")
    print(f"memory            watcher {after['watcher'] / 1e6:.0f} MB, warm parent {after['warm parent'] / 1e6:.0f} MB")
    print(f"  of a run's own  {statistics.median(runs) / 1e6:.0f} MB, at most {max(runs) / 1e6:.0f} MB")
    print(f"{len(row)} saves in a row  p50 {percentile(row, 0.5):.2f} s; left behind: {', '.join(counted)}")
    missed = [f"{n}: p50 {p50[n]:.2f} s" for n in p50 if p50[n] > P50]
    missed += [f"{n}: p95 {p95[n]:.2f} s" for n in p95 if p95[n] > P95]
    missed += [f"only {ratio:.0f} times faster than cold"] if ratio < RATIO else []
    missed += [f"{grown[k]} {k} left behind" for k in COUNTED if grown[k] > 0]
    missed += [f"the {k} grew by {grown[k] / 1e6:.0f} MB" for k in SIZED if grown[k] > GROWTH]
    for line in missed:
        print(f"MISSED  {line}")
    if out:
        figures = {
            "p50": p50,
            "p95": p95,
            "cold": cold_times,
            "ratio": ratio,
            "least": least,
            "first": first,
            "runs": runs,
        }
        out.write_text(json.dumps({**figures, "before": before, "after": after, "load": os.getloadavg()}, indent=2))
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
