"""The kill matrix as text."""

import math

from kata.audit import Row


def table(rows: list[Row]) -> list[str]:
    """One line per exercise, then one line per trial that is wrong about something."""
    lines = []
    if rows:
        lines.append(f"{rows[0].set}")
        lines.append(f"  {'exercise':<26} {'killed':>9} {'right':>7} {'noise':>9} {'nearest':>9} {'seconds':>8}")
    for row in rows:
        wrong = [t for t in row.trials if not t.right]
        right = [t for t in row.trials if t.right]
        killed = sum(t.status != "passed" for t in wrong)
        passed = sum(t.status == "passed" for t in right)
        nearest = min((t.excess for t in wrong if t.excess > 1), default=math.inf)
        near = "-" if math.isinf(nearest) else f"{nearest:.3g}"
        lines.append(
            f"  {row.exercise:<26} {f'{killed}/{len(wrong)}':>9} {f'{passed}/{len(right)}':>7} "
            f"{row.noise:>9.2g} {near:>9} {row.seconds:>8.3f}"
        )
        lines += [f"    ! {problem}" for problem in row.problems]
    lines.append("  noise: largest distance of a right answer; nearest: smallest of a mistake; both in tolerances")
    return lines
