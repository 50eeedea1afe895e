"""Train a checkpoint of this set again."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources.native import NativeModel, initialize_native_model

NULL = 10  # "?": the first token, and the answer where every letter so far has a twin
BRIDGE_NAMES = {
    "tok_embed": "embed",
    "pos": "pos_embed",
    "layers": "blocks",
    "ln_out": "ln_final",
    "head": "unembed",
}


def labels_of(tokens: Int[Tensor, "batch seq"]) -> Int[Tensor, "batch seq"]:
    """The first letter that occurs exactly once up to each position, or NULL."""
    seq = tokens.shape[1]
    is_letter = F.one_hot(tokens, NULL + 1)[:, :, :NULL]
    count = is_letter.cumsum(1)
    first = torch.where(is_letter.any(1), is_letter.argmax(1), seq)
    place = torch.where(count == 1, first[:, None], seq)
    earliest, letter = place.min(-1)
    return torch.where(earliest < seq, letter, NULL)


def train(architecture: dict, checkpoint: dict, progress: Callable[[int, int, str], None]) -> dict[str, Tensor]:
    """7000 batches of 128 fresh random sequences, cross-entropy over all positions, AdamW without decay.

    The task and the architecture are those of the monthly problem of August 2023 (Callum McDougall, ARENA),
    whose model saw a fixed set of 100,000 sequences 50 times at lr 1e-3. The recipe here is this kit's own:
    the lr rises to its peak within 200 steps and falls along a cosine to zero, and a fifth of those sequences
    are enough. It trains the plain module, not the bridge around it, which would cost a third more time. What
    is returned is the raw model, before any folding.
    """
    seed, recipe = checkpoint["seed"], checkpoint.get("recipe", {})
    peak, steps, warmup, batch = recipe.get("lr", 3e-3), recipe.get("steps", 7000), 200, 128
    config = TransformerBridgeConfig(**architecture, architecture="TransformerLensNative", seed=seed)
    with torch.random.fork_rng(devices=[]):
        model = NativeModel(config)
        initialize_native_model(model, config)
    generator = torch.Generator().manual_seed(1000 + seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.99), weight_decay=0.0)
    start = torch.full((batch, 1), NULL)

    for step in range(steps):
        rise = min(1.0, (step + 1) / warmup)
        fall = 0.5 * (1 + math.cos(math.pi * max(0, step - warmup) / (steps - warmup)))
        optimizer.param_groups[0]["lr"] = peak * rise * fall
        letters = torch.randint(0, NULL, (batch, config.n_ctx - 1), generator=generator)
        tokens = torch.cat([start, letters], dim=1)
        loss = F.cross_entropy(model(tokens).flatten(0, 1), labels_of(tokens).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 50 == 0 or step + 1 == steps:
            progress(step + 1, steps, f"loss {loss.item():.4f}")

    weights = TransformerBridge.boot_native(config).state_dict()
    for name, value in model.state_dict().items():
        head, _, tail = name.partition(".")
        weights[f"{BRIDGE_NAMES[head]}.{tail}"] = value
    return {name: value.detach().clone().contiguous() for name, value in weights.items()}
