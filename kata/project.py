"""Where things are: the course folders, and what the exercises say about themselves, read without importing."""

import ast
import difflib
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FILES = ("dataset", "circuits", "attribution", "ablation", "explain")


class KataError(Exception):
    """Something the user can mend; its text is one line that says how."""


@dataclass(frozen=True)
class Exercise:
    """What a solution file says about one exercise.

    Attributes:
        number: place in its set, from 1.
        signature: the source of `def name(...) -> ...`, without the body.
    """

    set: str
    name: str
    file: str
    number: int
    line: int
    difficulty: int
    importance: int
    minutes: int
    docstring: str
    signature: str

    @property
    def id(self) -> str:
        return f"{self.set}.{self.name}"

    @property
    def heading(self) -> str:
        """The heading of this exercise in the README of its set."""
        return f"{self.number}. {self.name}"

    @property
    def rating(self) -> str:
        return f"difficulty {self.difficulty}/5, importance {self.importance}/5, about {self.minutes} min"


@dataclass(frozen=True)
class Project:
    """A checkout of the course: the engine is told where its folders are by `[tool.kata]` in pyproject.toml."""

    root: Path
    solutions: Path
    exercises: Path
    checks: Path
    data: Path

    @staticmethod
    def find(start: Path | None = None) -> "Project":
        """Look for the course from `start` upwards, then beside this package (an editable install)."""
        start = (start or Path.cwd()).resolve()
        for folder in (start, *start.parents, Path(__file__).resolve().parent.parent):
            table = _kata_table(folder / "pyproject.toml")
            if table is not None:
                names = {key: table.get(key, key) for key in ("solutions", "exercises", "checks", "data")}
                return Project(folder, **{key: folder / name for key, name in names.items()})
        raise KataError(f"no course found from {start} upwards: run this inside a clone of circuit-kata")

    @cached_property
    def sets(self) -> list[str]:
        """The names of the problem sets that have landed, in teaching order."""
        found = [p.parent.name for p in self.data.glob("*/config.json") if (self.solutions / p.parent.name).is_dir()]
        return sorted(found, key=lambda name: (self.config(name).get("order", 99), name))

    def config(self, set_name: str) -> dict:
        path = self.data / set_name / "config.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise KataError(f"{path} is missing: {self.near(set_name, self.sets, 'problem set')}") from None
        except json.JSONDecodeError as error:
            raise KataError(f"{path} line {error.lineno} is not JSON: {error.msg}") from None

    def files(self, set_name: str) -> tuple[str, ...]:
        return tuple(self.config(set_name).get("files", FILES))

    def catalog(self, set_name: str) -> list[Exercise]:
        """The exercises of a set in teaching order, read from the source of its solutions."""
        if set_name not in self.sets:
            raise KataError(self.near(set_name, self.sets, "problem set"))
        return _catalog(self.solutions, set_name, self.files(set_name))

    def exercise(self, name: str) -> Exercise:
        """Find one exercise by `set.name`, `set/name` or just `name`."""
        everything = [e for s in self.sets for e in self.catalog(s)]
        wanted = name.replace("/", ".").replace("::", ".").removesuffix(".py")
        matches = [e for e in everything if wanted in (e.id, e.name)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise KataError(f"`{name}` is in several sets: say {' or '.join(e.id for e in matches)}")
        raise KataError(self.near(wanted, [x for e in everything for x in (e.id, e.name)], "exercise"))

    @staticmethod
    def near(name: str, known: list[str], what: str) -> str:
        """One line that says that a name is unknown and which one was probably meant."""
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        if close:
            return f"there is no {what} `{name}`: did you mean `{close[0]}`?"
        return f"there is no {what} `{name}`" + (f": there are {', '.join(known)}" if len(known) < 12 else "")

    def readme_heading(self, exercise: Exercise) -> tuple[Path, int]:
        """The README of the exercise's set and the line of its heading (1 where it is missing)."""
        path = self.exercises / exercise.set / "README.md"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:
            return path, 1
        for number, line in enumerate(lines, 1):
            if line.startswith("#") and line.lstrip("#").strip().replace("`", "") == exercise.heading:
                return path, number
        return path, 1


def _kata_table(path: Path) -> dict | None:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("kata")
    except (OSError, ValueError):
        return None


def exercise_functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, dict[str, int]]]:
    """The functions of a module that carry `@exercise(...)`, with its arguments."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "exercise":
                yield node, {k.arg: ast.literal_eval(k.value) for k in decorator.keywords if k.arg}


def is_todo(node: ast.FunctionDef) -> bool:
    """Whether a function's body is still the stub's: a docstring and `raise NotImplementedError`."""
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    if len(body) != 1 or not isinstance(body[0], ast.Raise):
        return False
    raised = body[0].exc
    raised = raised.func if isinstance(raised, ast.Call) else raised
    return getattr(raised, "id", "") == "NotImplementedError"


_CATALOGS: dict[tuple[Path, str], tuple[list[float], list[Exercise]]] = {}


def _catalog(solutions: Path, set_name: str, files: tuple[str, ...]) -> list[Exercise]:
    paths = [p for p in (solutions / set_name / f"{file}.py" for file in files) if p.exists()]
    stamps = [p.stat().st_mtime for p in paths]
    cached = _CATALOGS.get((solutions, set_name))
    if cached and cached[0] == stamps:
        return cached[1]
    found: list[Exercise] = []
    for path in paths:
        source = path.read_text(encoding="utf-8")
        for node, rating in exercise_functions(ast.parse(source)):
            lines = source.splitlines()[node.lineno - 1 : node.body[0].lineno - 1] or [
                source.splitlines()[node.lineno - 1]
            ]
            found.append(
                Exercise(
                    set=set_name,
                    name=node.name,
                    file=path.name,
                    number=len(found) + 1,
                    line=node.lineno,
                    docstring=ast.get_docstring(node) or "",
                    signature="\n".join(lines).strip(),
                    **rating,
                )
            )
    _CATALOGS[solutions, set_name] = (stamps, found)
    return found
