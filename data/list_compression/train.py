"""Train the checkpoints of list_compression: two families of one small transformer."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module
from transformer_lens.model_bridge.sources.native import NativeModel, initialize_native_model

SEP, DIGITS, WARM_UP = 10, 10, 100


def make_data(variant: str) -> tuple[Int[Tensor, "100 read"], Int[Tensor, "100 scored"], slice]:
    """All 100 lists: the tokens fed in, the labels, and the positions whose logits are scored."""
    digits = torch.arange(DIGITS)
    lists = torch.cartesian_prod(digits, digits)
    sep = torch.full((len(lists), 1), SEP)
    if variant == "teacher":  # next tokens of [d1, d2, SEP, d1, d2]
        row = torch.cat([lists, sep, lists], dim=1)
        return row[:, :-1], row[:, 1:], slice(0, 4)
    return torch.cat([lists, sep, sep, sep], dim=1), lists, slice(3, 5)  # the outputs are fed SEP


def new_model(cfg: TransformerBridgeConfig) -> NativeModel:
    """The native gpt2 init without its residual scaling, and W_V = 1 in both layers for good."""
    with torch.random.fork_rng(devices=[]):  # nn.Linear draws from the global generator when it is built
        model = NativeModel(cfg)
    initialize_native_model(model, cfg)  # draws from a generator of its own, seeded with cfg.seed
    with torch.no_grad():
        for layer in model.layers:
            layer.attn.o.weight *= math.sqrt(2 * cfg.n_layers)
            layer.attn.v.weight.copy_(torch.eye(cfg.d_model))
            layer.attn.v.weight.requires_grad_(False)
    return model


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up times a cosine to zero, as a fraction of the peak."""
    return min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))


def train(
    architecture: dict, checkpoint: dict, progress: Callable[[int, int, str], None]
) -> dict[str, Float[Tensor, "..."]]:
    """Train one checkpoint and return its bridge state dict.

    The task, the blocked attention and the frozen W_V = 1 are those of the notebook of
    github.com/Theosdoor/list-comp (variant "teacher"). The notebook used a constant learning rate and random
    batches; here every step sees all 100 lists and the rate falls along a cosine, which removes its accuracy
    dips. Variant "bottleneck" feeds SEP at both output positions, so that both answers have to come through
    the one vector at SEP. AdamW, weight decay 0.01, cross-entropy in nats. Only the initialisation is random.
    """
    steps, peak = checkpoint["recipe"]["steps"], checkpoint["recipe"]["lr"]
    native = "TransformerLensNative"
    cfg = TransformerBridgeConfig(architecture=native, seed=checkpoint["seed"], **architecture)
    model = new_model(cfg)
    tokens, labels, scored = make_data(checkpoint["variant"])
    mask = torch.zeros(1, 1, tokens.shape[1], tokens.shape[1], dtype=torch.bool)
    mask[..., 3:, :2] = True  # the output positions see neither digit

    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=peak, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, steps))
    for step in range(steps):
        logits = model(tokens, attention_mask=mask)[:, scored]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 50 == 0 or step + 1 == steps:
            progress(step + 1, steps, f"loss {loss.item():.4f}")

    bridge = build_bridge_from_module(model, architecture=native, tl_config=cfg, tokenizer=None)
    return {name: weight.detach().clone().contiguous() for name, weight in bridge.state_dict().items()}
