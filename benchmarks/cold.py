"""What a cold run costs: every set graded from nothing, against the bare import of what a check needs.

    python benchmarks/cold.py [--runs 3]

Prints the median of each, the ratio, and `kata --help`. Runs alternate, so that a drift of the machine hits both.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMPORT = "import torch, pytest, typeguard, jaxtyping; from transformer_lens.model_bridge import TransformerBridge"


def seconds(command: list[str]) -> float:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    sets = sorted(p.stem.removeprefix("test_") for p in (ROOT / "checks").glob("test_*.py"))
    commands = {"import": [sys.executable, "-c", IMPORT]}
    grade = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--submission", "solutions"]
    commands |= {name: [*grade, f"checks/test_{name}.py"] for name in sets}
    commands["all sets"] = [*grade, "checks"]
    commands["kata --help"] = [sys.executable, "-m", "kata.cli", "--help"]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs + 1):  # the first round warms the disk and is not counted
        for name, command in commands.items():
            times[name].append(seconds(command))
    bare = statistics.median(times["import"][1:])
    print(f"{'':<20} {'median s':>9} {'beyond import':>14} {'ratio':>6}")
    for name, values in times.items():
        median = statistics.median(values[1:])
        print(f"{name:<20} {median:>9.2f} {median - bare:>14.2f} {median / bare:>6.2f}")


if __name__ == "__main__":
    main()
