"""`kata autograder`: the zip that Gradescope takes, with the course in it."""

import stat
import zipfile
from pathlib import Path

from kata.classroom import rubric as rubrics
from kata.project import KataError, Project

_SETUP = """#!/usr/bin/env bash
# Run once by Gradescope, when the image is built.
set -euo pipefail
root="${AUTOGRADER_ROOT:-/autograder}"
python=""
for each in python3.13 python3.12 python3.11 python3; do
  if command -v "$each" >/dev/null && "$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python="$each"; break
  fi
done
if [ -z "$python" ]; then
  apt-get update
  apt-get install -y software-properties-common
  add-apt-repository -y ppa:deadsnakes/ppa
  apt-get install -y python3.12 python3.12-venv
  python=python3.12
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || { apt-get update; apt-get install -y "${python}-venv"; }
"$python" -m venv "$root/venv"
# The CPU build of torch: a tenth of the size of the default one.
"$root/venv/bin/pip" install --no-cache-dir torch ${KATA_TORCH_INDEX---index-url https://download.pytorch.org/whl/cpu}
"$root/venv/bin/pip" install --no-cache-dir -e "$root/source/course[classroom]"
chown -R root:root "$root/source" && chmod -R go-rwx "$root/source" && chmod go+x "$root/source" "$root/source/course"
chmod -R go+rX "$root/source/course/kata"  # submissions run as a user who can read the engine and nothing else
"""

_RUN = """#!/usr/bin/env bash
# Run by Gradescope for every submission, in a container of its own.
set -uo pipefail
root="${AUTOGRADER_ROOT:-/autograder}"
cd "$root/source/course"
mkdir -p "$root/results"
rm -rf "$root/kata-results"
"${KATA_BIN:-$root/venv/bin/kata}" grade "$root/submission" --out "$root/kata-results" --workers 1 \\
  --gradescope "$root/results/results.json" OPTIONS > "$root/kata.log" 2>&1
if [ ! -s "$root/results/results.json" ]; then
  message="The grader itself failed. This is not your mistake: please tell your instructor."
  printf '{"score": 0, "output": "%s", "stdout_visibility": "hidden"}\\n' "$message" > "$root/results/results.json"
  cat "$root/kata.log"
fi
"""

_PARTS = (".py", ".json", ".toml", ".md", ".safetensors", ".j2", ".css", ".txt", ".html", ".js")


def write(project: Project, out: Path, sets: list[str], rubric: Path | None) -> str:
    """Write the zip; returns a line that says what is in it."""
    for name in sets:
        if name not in project.sets:
            raise KataError(Project.near(name, project.sets, "problem set"))
    rubrics.read(rubric, project)
    options = [f"--set {name}" for name in sets]
    if rubric:
        options.append('--rubric "$root/source/rubric.toml"')
    folders = [project.solutions, project.exercises, project.checks, project.data, Path(__file__).parent.parent]
    files = sorted(p for f in folders for p in f.rglob("*") if p.suffix in _PARTS and "__pycache__" not in p.parts)
    files += [project.root / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        _script(archive, "setup.sh", _SETUP)
        _script(archive, "run_autograder", _RUN.replace("OPTIONS", " ".join(options)))
        if rubric:
            archive.write(rubric, "rubric.toml")
        for path in files:
            if path.is_file():
                archive.write(path, f"course/{path.relative_to(project.root)}")
    size = out.stat().st_size / 2**20
    return f"{out}: {size:.1f} MB, {len(sets or project.sets)} problem sets; it holds the solutions"


def _script(archive: zipfile.ZipFile, name: str, text: str) -> None:
    info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
    info.external_attr = (stat.S_IFREG | 0o755) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, text)
