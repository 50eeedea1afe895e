"""Fences around a learner's code: a clock, a bounded capture of what it prints, and what it must leave alone."""

import contextlib
import ctypes
import io
import random
import signal
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch

SEED = 20_077  # what the global generators stand at when a learner's function begins
PRINT_LIMIT = 20_000


class TimeUp(BaseException):
    """Raised inside a learner's code when its time is over; a BaseException so that `except Exception` lets it by."""

    kata_time_limit = True


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeUp in this thread after `seconds`, again every second after that until the block is left.

    Uses SIGALRM where there is one; elsewhere an asynchronous exception, which arrives at the next bytecode.
    """
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():

        def ring(*_: Any) -> None:
            raise TimeUp

        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        return
    thread = ctypes.c_ulong(threading.get_ident())
    timer = threading.Timer(
        seconds, lambda: ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(TimeUp))
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class BoundedText(io.StringIO):
    """Keeps the first characters that are written and drops the rest."""

    def write(self, text: str) -> int:
        room = PRINT_LIMIT - self.tell()
        if room > 0:
            super().write(text[:room])
        return len(text)


@contextlib.contextmanager
def captured() -> Iterator[BoundedText]:
    """Send prints, stderr and warnings of the block into one bounded text."""
    text = BoundedText()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield text


@contextlib.contextmanager
def own_random() -> Iterator[list[str]]:
    """Seed the global generators for the block and put them back after it; says which were seeded anew."""
    state, python_state = torch.get_rng_state(), random.getstate()
    torch.default_generator.manual_seed(SEED)  # torch.manual_seed walks the stack: 100 times slower
    random.seed(SEED)
    notes: list[str] = []
    try:
        yield notes
    finally:
        if torch.initial_seed() != SEED:
            notes.append("torch.manual_seed")
        torch.set_rng_state(state)
        random.setstate(python_state)


@dataclass
class Fingerprint:
    """What a learner's function must leave as it found it: its tensor arguments and the model."""

    tensors: dict[str, tuple[torch.Tensor, torch.Tensor]]
    model: Any = None
    hooks: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def take(arguments: dict[str, Any], model: Any) -> "Fingerprint":
        tensors: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        for name, value in arguments.items():
            parts = (
                value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else [value]
            )
            for i, part in enumerate(parts):
                if isinstance(part, torch.Tensor):
                    tensors[f"{name}#{i}"] = (part, part.clone())
        for i, slot in enumerate(_slots(model) if model is not None else []):
            tensors[f"model#{i}"] = (slot.memory, slot.memory.clone())
        return Fingerprint(tensors, model, _hooks(model))

    def changed(self) -> list[str]:
        """Names of the arguments that are no longer what they were; puts them back."""
        moved = [slot for slot in _slots(self.model) if not slot.kept()] if self.model is not None else []
        _forget_residue(self.model)
        names = ["model"] if moved else []
        for name, (tensor, before) in self.tensors.items():
            if tensor.shape != before.shape or not _same(tensor, before):
                names.append(name.split("#")[0])
                with torch.no_grad(), contextlib.suppress(RuntimeError):
                    tensor.copy_(before)
        return sorted(set(names))

    def hooks_left(self) -> list[str]:
        """Names of the hook points that carry more hooks than before; removes all hooks."""
        if self.model is None:
            return []
        left = [name for name, count in _hooks(self.model).items() if count > self.hooks.get(name, 0)]
        if left:
            self.model.reset_hooks(including_permanent=True)
            for module in self.model.modules():
                for table in _tables(module):
                    for key in [k for k, hook in table.items() if not _own(hook)]:
                        del table[key]
        return sorted(left)


@dataclass(frozen=True)
class _Slot:
    """Where a model holds one of its weights: the table of the module, and the memory that is there."""

    table: dict[str, Any]
    key: str
    tensor: torch.Tensor
    memory: torch.Tensor

    def kept(self) -> bool:
        """Whether the very same tensor is still there; puts it back where it is not."""
        if self.table.get(self.key) is self.tensor and self.tensor.data_ptr() == self.memory.data_ptr():
            return True
        self.table[self.key] = self.tensor
        self.tensor.data = self.memory
        return False


_SLOTS: WeakKeyDictionary[torch.nn.Module, list[_Slot]] = WeakKeyDictionary()


def _slots(model: torch.nn.Module) -> list[_Slot]:
    """A model's weights; found once, because collecting a state dict costs more than most calls."""
    if model not in _SLOTS:
        tables = [table for module in model.modules() for table in (module._parameters, module._buffers)]
        found = [(table, key, t) for table in tables for key, t in table.items() if t is not None]
        _SLOTS[model] = [_Slot(table, key, tensor, tensor.detach()) for table, key, tensor in found]
    return _SLOTS[model]


def _forget_residue(model: Any) -> None:
    """Take out what the library registers as a weight when a weight itself is sent through one of its norms.

    It keeps the last input of a norm as an attribute; a Parameter kept like that makes every later run fail.
    """
    if model is not None:
        known = {(id(slot.table), slot.key) for slot in _slots(model)}
        for module in _modules(model):
            for table in (module._parameters, module._buffers):
                for key in [k for k, t in table.items() if t is not None and (id(table), k) not in known]:
                    del table[key]
                    object.__setattr__(module, key, None)


_MODULES: WeakKeyDictionary[torch.nn.Module, list[torch.nn.Module]] = WeakKeyDictionary()


def _modules(model: torch.nn.Module) -> list[torch.nn.Module]:
    """A model's modules; walked once, because the walk costs more than most calls."""
    if model not in _MODULES:
        _MODULES[model] = list(model.modules())
    return _MODULES[model]


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    if torch.equal(a, b):
        return True
    return a.is_floating_point() and torch.equal(torch.nan_to_num(a, 0.25), torch.nan_to_num(b, 0.25))


def _tables(module: torch.nn.Module) -> tuple[dict[int, Any], ...]:
    return module._forward_hooks, module._forward_pre_hooks, module._backward_hooks


def _own(hook: Any) -> bool:
    """Whether the library put this hook there for itself (it does so on the first run of some modules)."""
    return str(getattr(hook, "__module__", "")).startswith("transformer_lens")


def _hooks(model: Any) -> dict[str, int]:
    """Number of hooks by the name of the hook point or module."""
    if model is None:
        return {}
    counts: dict[str, int] = {}
    for module in _modules(model):
        tables = _tables(module)
        if not any(tables):
            continue
        point = hasattr(module, "fwd_hooks")
        number = sum(point or not _own(hook) for table in tables for hook in table.values())
        if number:
            name = getattr(module, "name", None) or type(module).__name__
            counts[name] = counts.get(name, 0) + number
    return counts
