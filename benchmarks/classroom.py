"""What grading a class costs: against a cold process per submission, over 300 submissions, in time and memory.

    python benchmarks/classroom.py                        300 submissions of the first set
    python benchmarks/classroom.py --all-sets -n 40       fewer, with every set

The class is made of the solutions, of solutions with a mistake, and of stubs, in equal parts.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kata.project import Project

PAGE = resource.getpagesize()
KINDS = ("right", "wrong", "stubs")


def make_class(project: Project, sets: list[str], folder: Path, number: int) -> None:
    for i in range(number):
        kind = KINDS[i % 3]
        for name in sets:
            source = project.solutions if kind != "stubs" else project.exercises
            target = folder / f"{i:04}_{kind}" / name
            shutil.copytree(source / name, target, ignore=shutil.ignore_patterns("__pycache__", "*.md"))
            if kind == "wrong":  # every matrix product of the circuits is transposed or of the wrong weights
                path = target / "circuits.py"
                path.write_text(path.read_text(encoding="utf-8").replace("W_Q", "W_K"), encoding="utf-8")


def cpu(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def cold(project: Project, sets: list[str], submission: Path, times: int) -> tuple[float, float]:
    """Seconds on the clock, and of processor time, of one `pytest checks` per submission; medians."""
    clock, work = [], []
    checks = [str(project.checks / f"test_{s}.py") for s in sets]
    for _ in range(times):
        began, before = time.monotonic(), cpu(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "pytest", "-q", *checks, "--submission", str(submission)]
        subprocess.run(command, cwd=project.root, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        clock.append(time.monotonic() - began)
        work.append(cpu(resource.RUSAGE_CHILDREN) - before)
    return statistics.median(clock), statistics.median(work)


def memory(pid: int) -> dict[str, int]:
    """MB in memory of the supervisor, of the warm parent, and of its largest child (a judge)."""
    children: dict[int, list[int]] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry))
        except (OSError, IndexError):
            pass

    def mb(process: int) -> int:
        try:
            return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE >> 20
        except (OSError, IndexError):
            return 0

    warm = children.get(pid, [])
    judges = [mb(child) for parent in warm for child in children.get(parent, [])]
    return {"supervisor": mb(pid), "warm parent": max(map(mb, warm), default=0), "judge": max(judges, default=0)}


def grade(project: Project, sets: list[str], folder: Path, out: Path, workers: int) -> dict:
    """Grade the class; when each result was there, the memory at each tenth, and the processor time."""
    options = [x for s in sets for x in ("--set", s)]
    command = [sys.executable, "-m", "kata.cli", "grade", str(folder), "--out", str(out), "--seed", "1", *options]
    began, before = time.monotonic(), cpu(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        [*command, "--workers", str(workers)], cwd=project.root, stdout=subprocess.PIPE, text=True
    ) as process:
        arrivals, samples = [], []
        assert process.stdout
        total = len(list(folder.iterdir()))
        for line in process.stdout:
            if "points" in line:
                arrivals.append(time.monotonic() - began)
                if len(arrivals) % max(1, total // 10) == 0:
                    samples.append(memory(process.pid))
    if process.returncode not in (0, 1) or len(arrivals) != total:
        raise SystemExit(f"grading failed: {len(arrivals)} of {total} results, exit code {process.returncode}")
    work = cpu(resource.RUSAGE_CHILDREN) - before
    return {"arrivals": arrivals, "memory": samples, "seconds": time.monotonic() - began, "work": work}


def pace(arrivals: list[float], first: float, last: float) -> float:
    """Seconds per submission between two parts of the class."""
    a, b = int(first * (len(arrivals) - 1)), int(last * (len(arrivals) - 1))
    return (arrivals[b] - arrivals[a]) / max(1, b - a)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=300, help="submissions")
    parser.add_argument("--all-sets", action="store_true")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--cold", type=int, default=3, help="cold processes to time")
    chosen = parser.parse_args()
    project = Project.find(Path(__file__).parent)
    sets = project.sets if chosen.all_sets else project.sets[:1]
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        make_class(project, sets, top / "class", chosen.n)
        kinds = [cold(project, sets, next((top / "class").glob(f"*_{k}")), chosen.cold) for k in KINDS]
        done = grade(project, sets, top / "class", top / "out", chosen.workers)
        size = sum(p.stat().st_size for p in (top / "out").rglob("*") if p.is_file()) / 2**20
    clock, work = statistics.mean(k[0] for k in kinds), statistics.mean(k[1] for k in kinds)
    warm = pace(done["arrivals"], 0.1, 1.0)
    thirds = [pace(done["arrivals"], a, b) for a, b in ((0.1, 0.4), (0.4, 0.7), (0.7, 1.0))]
    first, last = done["memory"][0], done["memory"][-1]
    busy = done["work"] / done["seconds"]
    print(f"{chosen.n} submissions, {len(sets)} set(s), {chosen.workers} workers, load {os.getloadavg()[0]:.1f}")
    print(f"  cold process     {clock:6.2f} s on the clock, {work:6.2f} s of processor time (a third each of {KINDS})")
    print(f"  per submission   {warm:6.2f} s on the clock, {done['work'] / chosen.n:6.2f} s of processor time")
    print(f"  first result after {done['arrivals'][0]:.1f} s, the last after {done['seconds']:.1f} s")
    print(f"  seconds per submission by thirds of the class: {', '.join(f'{t:.2f}' for t in thirds)}")
    print(f"  memory at a tenth and at the end, MB: {first} {last}")
    print(f"  processor time per second on the clock: {busy:.2f}; results take {size / chosen.n:.2f} MB each")
    bars = {
        "at most 1/5 of a cold process": warm <= clock / 5,
        "linear: no third is 1.5 times another": max(thirds) <= 1.5 * min(thirds),
        "flat: the warm parent grows by less than 10%": last["warm parent"] <= 1.1 * first["warm parent"] + 10,
    }
    for text, holds in bars.items():
        print(f"  {'holds' if holds else 'FAILS'}: {text}")
    raise SystemExit(0 if all(bars.values()) else 1)


if __name__ == "__main__":
    main()
