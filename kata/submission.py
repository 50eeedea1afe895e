"""A submission: any folder with the layout of `exercises/`, loaded file by file."""

import ast
import difflib
import importlib
import itertools
import linecache
import sys
import traceback
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kata.project import Exercise, KataError, exercise_functions, is_todo

_SERIAL = itertools.count()


@dataclass(frozen=True)
class CodeError:
    """An exception in a learner's code, told from the learner's side.

    Attributes:
        kind: the exception's class name.
        message: its text, at most a few lines.
        file, line, text: the learner's own line where it happened (innermost frame inside the submission).
    """

    kind: str
    message: str
    file: str = ""
    line: int = 0
    text: str = ""

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}" if self.file else ""

    @staticmethod
    def of(error: BaseException, root: Path) -> "CodeError":
        kind = type(error).__name__
        message = "\n".join(str(error).strip().splitlines()[:6])[:800]
        if isinstance(error, SyntaxError):
            text = (error.text or "").strip()
            return CodeError(kind, error.msg or message, _shown(error.filename or "", root), error.lineno or 0, text)
        own = [f for f in traceback.extract_tb(error.__traceback__) if _inside(f.filename, root)]
        if not own:
            return CodeError(kind, message)
        last = own[-1]
        return CodeError(kind, message, _shown(last.filename, root), last.lineno or 0, last.line or "")


def _inside(filename: str, root: Path) -> bool:
    try:
        return Path(filename).resolve().is_relative_to(root)
    except (OSError, ValueError):
        return False


def _shown(filename: str, root: Path) -> str:
    """A path as the learner knows it: relative to where they stand, else to the submission's parent."""
    path = Path(filename)
    for base in (Path.cwd(), root.parent):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return filename


class Submission:
    """Loads a learner's files as a package of its own, so that relative imports inside a set work."""

    def __init__(self, root: Path):
        self.root = root.resolve()
        if not self.root.is_dir():
            raise KataError(f"{root} is not a folder: name one with the layout of exercises/")
        self.package = f"kata_submission_{next(_SERIAL)}"
        self._modules: dict[tuple[str, str], types.ModuleType | CodeError] = {}

    def path(self, exercise: Exercise) -> Path:
        return self.root / exercise.set / exercise.file

    def shown(self, exercise: Exercise) -> str:
        """`file:line` of the exercise in this submission, as a terminal can open it."""
        node = self.find(exercise)
        path = _shown(str(self.path(exercise)), self.root)
        return f"{path}:{node.lineno}" if node else path

    def find(self, exercise: Exercise) -> ast.FunctionDef | None:
        """The function's syntax tree, without running anything; None where file or function is missing."""
        tree = self.tree(exercise)
        if not isinstance(tree, ast.Module):
            return None
        named = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == exercise.name]
        return named[-1] if named else None

    def tree(self, exercise: Exercise) -> ast.Module | CodeError:
        """The file's syntax tree, or why there is none."""
        path = self.path(exercise)
        if not path.is_file():
            missing = f"{exercise.set}/" if not path.parent.is_dir() else f"{exercise.set}/{exercise.file}"
            return CodeError("FileNotFoundError", f"the submission has no {missing}")
        try:
            return ast.parse(path.read_bytes(), filename=str(path))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return CodeError.of(error, self.root)

    def problem(self, exercise: Exercise) -> CodeError | None:
        """What stops this exercise before any code runs: no file, no parse, no such function."""
        tree = self.tree(exercise)
        if isinstance(tree, CodeError):
            return tree
        names = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
        names |= {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
        names |= {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
        if exercise.name in names:
            return None
        marked = {n.name for n, _ in exercise_functions(tree)}
        near = difflib.get_close_matches(exercise.name, sorted(names - marked) + sorted(marked), n=1, cutoff=0.75)
        hint = f"is `{near[0]}` meant to be it? " if near and near[0] != exercise.name else ""
        where = _shown(str(self.path(exercise)), self.root)
        return CodeError(
            "NameError",
            f"{where} has no function `{exercise.name}`: {hint}put it back with this name and its arguments",
        )

    def todo(self, exercise: Exercise) -> bool:
        """Whether the function is still the stub; nothing is imported to find out."""
        node = self.find(exercise)
        return node is not None and is_todo(node)

    def load(self, exercise: Exercise) -> Callable | CodeError:
        """Import the exercise's file (once) and return the function. Runs the learner's code."""
        key = (exercise.set, Path(exercise.file).stem)
        if key not in self._modules:
            self._modules[key] = self._import(*key)
        module = self._modules[key]
        if isinstance(module, CodeError):
            return module
        function = getattr(module, exercise.name, None)
        if not callable(function):
            return CodeError("NameError", f"`{exercise.name}` in {exercise.file} is not a function")
        return function

    def _import(self, set_name: str, stem: str) -> types.ModuleType | CodeError:
        for name, path in ((self.package, self.root), (f"{self.package}.{set_name}", self.root / set_name)):
            if name not in sys.modules:
                package = types.ModuleType(name)
                package.__path__ = [str(path)]
                sys.modules[name] = package
        linecache.checkcache()
        keep, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            return importlib.import_module(f"{self.package}.{set_name}.{stem}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a learner's file may raise anything, SystemExit included
            if getattr(error, "kata_time_limit", False):
                raise
            return CodeError.of(error, self.root)
        finally:
            sys.dont_write_bytecode = keep
