"""The recipe of the trigram models: random tokens with 277 rules hidden in them, one small transformer."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import floor, sqrt
from typing import Any

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

POOL, BATCH, PLANT = 40_000, 32, 0.25
NATURAL_SHARE = 0.047  # of natural positions, a trigram's end comes next: p / (1 + p) with p = 277 / 75**2

RECIPES: dict[str, dict[str, Any]] = {
    "natural": {"steps": 8000, "lr": 4e-3, "weight": (NATURAL_SHARE, NATURAL_SHARE)},
    "annealed": {"steps": 6000, "lr": 5e-3, "weight": (0.2, NATURAL_SHARE)},
}


def make_trigrams(seed: int, d_vocab: int = 75) -> Int[Tensor, "n 3"]:
    """The trigrams (a, b -> c) of a seed, sorted: as many as 5 % of the pairs with a != b.

    A pair has one completion (no contradictions), a pair that ends a trigram begins none (no chains), and
    a = b = c is left out; a = b alone is allowed. Those of each shipped checkpoint stand in `tables.json`
    as well, so that nothing needs to trust this generator.
    """
    generator = torch.Generator().manual_seed(seed)
    wanted = floor(0.05 * d_vocab * (d_vocab - 1))
    begins: dict[tuple[int, int], int] = {}
    ends: set[tuple[int, int]] = set()
    while len(begins) < wanted:
        a, b, c = torch.randint(d_vocab, (3,), generator=generator).tolist()
        if (a, b) in begins or (a, b) in ends or (b, c) in begins or a == b == c:
            continue
        begins[a, b] = c
        ends.add((b, c))
    return torch.tensor([(a, b, c) for (a, b), c in sorted(begins.items())])


def make_pool(
    trigrams: Int[Tensor, "n 3"], seq_len: int, d_vocab: int, generator: torch.Generator
) -> tuple[Int[Tensor, "pool seq"], Int[Tensor, "pool seq"]]:
    """Sequences with many planted trigrams, and the token that must follow each position (-1: any may)."""
    table = torch.full((d_vocab, d_vocab), -1)
    table[trigrams[:, 0], trigrams[:, 1]] = trigrams[:, 2]
    tokens = torch.randint(d_vocab, (POOL, seq_len), generator=generator)
    last = torch.full((POOL,), -3)  # where the row's latest plant begins
    for i in range(seq_len - 2):
        plant = (torch.rand(POOL, generator=generator) < PLANT) & (last < i - 2)
        chosen = trigrams[torch.randint(len(trigrams), (POOL,), generator=generator)]
        tokens[plant, i : i + 3] = chosen[plant]
        last[plant] = i
    required = torch.full_like(tokens, -1)
    for i in range(1, seq_len):  # left to right: a token written here may begin or end the next pair
        required[:, i] = table[tokens[:, i - 1], tokens[:, i]]
        if i + 1 < seq_len:
            tokens[:, i + 1] = torch.where(required[:, i] >= 0, required[:, i], tokens[:, i + 1])
    return tokens, required


def initial_weights(a: dict[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
    """Every matrix normal with the standard deviation 0.8 / sqrt(d_model), every bias zero."""
    attn, mlp, d = "blocks.0.attn.", "blocks.0.mlp.", a["d_model"]
    shapes = {
        "embed.weight": (a["d_vocab"], d),
        "pos_embed.weight": (a["n_ctx"], d),
        **{attn + x + ".weight": (a["d_head"], d) for x in "qkv"},
        attn + "o.weight": (d, a["d_head"]),
        mlp + "in.weight": (a["d_mlp"], d),
        mlp + "out.weight": (d, a["d_mlp"]),
        "unembed.weight": (a["d_vocab_out"], d),
    }
    std = 0.8 / sqrt(d)
    weights = {name: torch.randn(shape, generator=generator) * std for name, shape in shapes.items()}
    for name in [name for name in shapes if "embed" not in name] + ["unembed.weight"]:
        weights[name.replace("weight", "bias")] = torch.zeros(shapes[name][0])
    return weights


def forward(w: dict[str, Tensor], tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
    """The transformer by hand: one head, one ReLU layer, no normalisation, and a bias b_U that is trained
    too."""

    def linear(x: Tensor, name: str) -> Tensor:
        return torch.nn.functional.linear(x, w[name + ".weight"], w[name + ".bias"])

    attn, mlp, n = "blocks.0.attn.", "blocks.0.mlp.", tokens.shape[1]
    x = w["embed.weight"][tokens] + w["pos_embed.weight"][:n]
    q, k, v = (linear(x, attn + name) for name in "qkv")
    scores = einsum(q, k, "batch query d, batch key d -> batch query key") / sqrt(q.shape[-1])
    pattern = scores.masked_fill(torch.ones(n, n).triu(1).bool(), float("-inf")).softmax(-1)
    x = x + linear(pattern @ v, attn + "o")
    x = x + linear(linear(x, mlp + "in").relu(), mlp + "out")
    return linear(x, "unembed")


def expected_loss(
    logits: Float[Tensor, "batch seq vocab"], required: Int[Tensor, "batch seq"], weight: float
) -> Float[Tensor, ""]:
    """Cross-entropy with the true next-token distribution: one token where a trigram asks for it, else
    uniform."""
    log_probs = rearrange(logits.log_softmax(-1), "batch seq vocab -> (batch seq) vocab")
    wanted = rearrange(required, "batch seq -> (batch seq)")
    ruled: Bool[Tensor, "positions"] = wanted >= 0
    on_trigrams = -log_probs[ruled].gather(1, wanted[ruled, None]).mean()
    elsewhere = -log_probs[~ruled].mean()
    return weight * on_trigrams + (1 - weight) * elsewhere


@contextmanager
def one_thread() -> Iterator[None]:
    """Work on one thread: fastest for matrices this small, and the same result however many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(
    architecture: dict[str, Any], checkpoint: dict[str, Any], progress: Callable[[int, int, str], None]
) -> dict[str, Tensor]:
    """Train one checkpoint from its seed and recipe: about a minute of one CPU core.

    The task is the November 2024 problem of ARENA's "Monthly Algorithmic Problems" (Callum McDougall), and so
    is the architecture. The recipe is ours. There, 100,000 natural sequences were shown 100 times with the
    next token as the label; 95 % of those labels are noise. Here, a pool of sequences made once has many
    planted trigrams, and the label is the exact distribution of the next token: one token after a trigram's
    pair, uniform elsewhere. `weight` is the share of the loss that falls on the positions after a pair.
    "natural" keeps it at the share of natural data, which leaves the optimum where it was; "annealed" starts
    higher and falls to that share over the first 70 % of the steps. AdamW (betas 0.9 and 0.99, weight decay
    0.001), batches of 32, 100 steps of warm-up, then linear decay to 2 %.
    """
    recipe, seed = RECIPES[checkpoint["recipe"]], checkpoint["seed"]
    draw = torch.Generator().manual_seed(seed + 7)
    tokens, required = make_pool(
        make_trigrams(seed, architecture["d_vocab"]), architecture["n_ctx"], architecture["d_vocab"], draw
    )
    weights = initial_weights(architecture, torch.Generator().manual_seed(1000 + seed))
    for weight in weights.values():
        weight.requires_grad_()
    steps, warm_up, (first, final) = recipe["steps"], 100, recipe["weight"]
    optimizer = torch.optim.AdamW(weights.values(), lr=recipe["lr"], betas=(0.9, 0.99), weight_decay=1e-3)
    with torch.enable_grad(), one_thread():
        for step in range(steps):
            done = step / steps
            share = final + (first - final) * max(0.0, 1 - done / 0.7)
            optimizer.param_groups[0]["lr"] = recipe["lr"] * min((step + 1) / warm_up, 1 - 0.98 * done)
            rows = torch.randint(POOL, (BATCH,), generator=draw)
            loss = expected_loss(forward(weights, tokens[rows])[:, :-1], required[rows, :-1], share)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 50 == 0 or step + 1 == steps:
                progress(step + 1, steps, f"loss {loss.item():.4f}")
    return {name: weight.detach().clone() for name, weight in weights.items()}


if __name__ == "__main__":  # the trigrams of a seed, as `<checkpoint file>.table.json` holds them
    if len(sys.argv) != 2 or not sys.argv[1].isdigit():
        sys.exit("say a seed: python data/trigrams/train.py 5 > seed5.safetensors.table.json")
    print(json.dumps(make_trigrams(int(sys.argv[1])).tolist()))
