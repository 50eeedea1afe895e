"""Checkpoints: what `config.json` lists, as models that TransformerLens runs."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kata.project import KataError, Project

_ENTRY_FIELDS = {"role", "variant", "seed", "recipe", "sha256", "note"}
_VARIANT_FIELDS = {"architecture", "compatibility_mode", "note"}
_SET_FIELDS = {"title", "order", "files", "variants", "checkpoints"}
_ROLES = ("shown", "sibling")


@dataclass(frozen=True)
class Checkpoint:
    """One trained model of a set.

    Attributes:
        name: its key in config.json, and the stem of its weights file.
        role: "shown" (the texts talk about it) or "sibling" (it stops hard-coded answers).
        variant: which architecture or training family of the set it belongs to.
        architecture: fields of TransformerBridgeConfig.
        path: its weights; a file outside `data/` is a checkpoint that the user brought.
    """

    set: str
    name: str
    role: str
    variant: str
    seed: int
    path: Path
    architecture: dict[str, Any] = field(hash=False)
    compatibility_mode: bool = False
    recipe: str = ""
    sha256: str = ""

    @property
    def described(self) -> str:
        return f"the {self.name.replace('_', ' ')} checkpoint"


def checkpoints(project: Project, set_name: str) -> list[Checkpoint]:
    """The checkpoints that a set's config.json lists, shown ones first."""
    config = project.config(set_name)
    source = project.data / set_name / "config.json"
    _known(config, _SET_FIELDS, f"{source}")
    found = []
    for name, entry in config.get("checkpoints", {}).items():
        _known(entry, _ENTRY_FIELDS, f"{source}: checkpoint {name}")
        if entry.get("role") not in _ROLES:
            raise KataError(f"{source}: checkpoint {name} needs a role, one of {', '.join(_ROLES)}")
        variant = config.get("variants", {}).get(entry.get("variant"))
        if variant is None:
            raise KataError(f"{source}: checkpoint {name} names the unknown variant {entry.get('variant')!r}")
        _known(variant, _VARIANT_FIELDS, f"{source}: variant {entry['variant']}")
        found.append(
            Checkpoint(
                set=set_name,
                name=name,
                role=entry["role"],
                variant=entry["variant"],
                seed=int(entry.get("seed", 0)),
                path=project.data / set_name / f"{name}.safetensors",
                architecture=variant.get("architecture", {}),
                compatibility_mode=bool(variant.get("compatibility_mode", False)),
                recipe=entry.get("recipe", ""),
                sha256=entry.get("sha256", ""),
            )
        )
    if not found:
        raise KataError(f"{source} lists no checkpoints")
    return sorted(found, key=lambda c: c.role != "shown")


def brought(project: Project, set_name: str, file: Path, variant: str | None = None) -> Checkpoint:
    """A checkpoint of the user's own, in the native or the old HookedTransformer format, as the shown one.

    The variant, where a set has several, is one that the file's name begins with, else the first whose architecture
    takes the file's tensors.
    """
    if not file.is_file():
        raise KataError(f"there is no checkpoint at {file}")
    config = project.config(set_name)
    names = [variant] if variant else sorted(config["variants"], key=lambda name: not file.stem.startswith(name))
    problems = []
    for name in names:
        spec = config["variants"][name]
        mode = bool(spec.get("compatibility_mode", False))
        candidate = Checkpoint(set_name, file.stem, "shown", name, 0, file, spec["architecture"], mode)
        try:
            load_model(candidate)
        except KataError as error:
            problems.append(str(error))
        else:
            return candidate
    raise KataError(problems[0])


def load_model(checkpoint: Checkpoint) -> Any:
    """Boot a native TransformerBridge and load the checkpoint's weights, every key matched.

    Raises:
        KataError: the file is missing, truncated or not a checkpoint, or its tensors do not fit the architecture.
    """
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    state = read_weights(checkpoint.path)
    try:
        config = TransformerBridgeConfig(
            **checkpoint.architecture, architecture="TransformerLensNative", seed=checkpoint.seed
        )
    except TypeError as error:
        raise KataError(f"config.json of {checkpoint.set}, variant {checkpoint.variant}: {_tail(error)}") from None
    import torch

    with torch.random.fork_rng(devices=[]):
        model: Any = TransformerBridge.boot_native(config)  # type: ignore[attr-defined]
    if any(key.endswith(("W_E", "W_Q", "W_U")) for key in state):
        from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

        try:
            state = convert_tl_checkpoint(state, config)
        except ValueError as error:
            raise KataError(f"{checkpoint.path} does not fit {checkpoint.set}: {_tail(error)}") from None
    wanted = model.state_dict()
    for key in wanted:
        if key.endswith(".bias") and key not in state:
            state[key] = torch.zeros_like(wanted[key])  # old attention-only files may leave zero biases out
    for key in sorted(set(wanted) | set(state)):
        got, want = state.get(key), wanted.get(key)
        if got is None or want is None:
            what = "lacks" if got is None else "has the unknown tensor"
            raise KataError(f"{checkpoint.path} does not fit {checkpoint.set}: it {what} {key}")
        if got.shape != want.shape:
            raise KataError(
                f"{checkpoint.path} does not fit {checkpoint.set}: {key} has shape {list(got.shape)}, "
                f"the architecture wants {list(want.shape)}"
            )
    model.load_state_dict(state, strict=True)
    if checkpoint.compatibility_mode:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.enable_compatibility_mode()
    model.eval()
    return model.requires_grad_(False)


def read_weights(path: Path) -> dict[str, Any]:
    """Read a state dict: safetensors, or a torch file whose pickle holds nothing but tensors.

    Raises:
        KataError: with one line that says what is wrong with the file and how to get a good one.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise KataError(f"{path} is missing: `git checkout -- {path.name}` or `kata train` makes it again")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise KataError(f"{path} cannot be read (truncated or damaged?): {_tail(error)}") from None
    except Exception as error:  # pickle errors: the file wants to run code
        raise KataError(f"{path} is not a plain file of tensors, so it is not loaded: {_tail(error)}") from None
    state = loaded.get("state_dict", loaded.get("model", loaded)) if isinstance(loaded, dict) else loaded
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise KataError(f"{path} is not a state dict: expected names with tensors")
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _known(mapping: dict, fields: set[str], where: str) -> None:
    for key in mapping:
        if key not in fields:
            raise KataError(f"{where}: {Project.near(key, sorted(fields), 'field')}")


def _tail(error: BaseException) -> str:
    return (
        str(error).strip().splitlines()[-1].replace("TransformerBridgeConfig.__init__() ", "")[:200]
        if str(error)
        else type(error).__name__
    )
