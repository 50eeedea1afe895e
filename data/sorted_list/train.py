"""Train a checkpoint of sorted_list: one attention head, no MLP, that sorts ten numbers."""

import math
from collections.abc import Callable

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

BOS, MID, NUMBERS, LENGTH = 50, 51, 50, 10
RECIPE = {
    "steps": 10_000,
    "batch": 256,
    "lr": 1e-3,
    "constant": 0.7,  # the part of the steps before the learning rate falls, in a line, to zero
    "weight_decay": 0.01,
    "betas": (0.9, 0.98),
    "init": 0.8,  # standard deviation of every matrix, times sqrt(d_model)
}


def batch_of_tokens(size: int, generator: torch.Generator) -> Int[Tensor, "batch 22"]:
    """BOS, ten uniform numbers, MID, the same numbers in ascending order."""
    numbers = torch.randint(0, NUMBERS, (size, LENGTH), generator=generator)
    bos, mid = torch.full((size, 1), BOS), torch.full((size, 1), MID)
    return torch.cat([bos, numbers, mid, numbers.sort(dim=1).values], dim=1)


def logits_at_loss(w: dict[str, Tensor], tokens: Int[Tensor, "batch 22"]) -> Float[Tensor, "batch 10 50"]:
    """The transformer's logits at positions 11..20, by way of its tables.

    A model of one layer without norms or biases is a sum of look-ups. Write the input as a 74-vector with
    two ones, token and position: then scores, moved logits and direct logits are products with three small
    tables, which are made once per batch. Exact, and three times faster than the usual forward pass.
    """
    x = torch.cat([w["E"], w["P"]])
    qk = (x @ w["Q"]) @ (x @ w["K"]).T / math.sqrt(w["Q"].shape[1])
    direct = x @ w["U"]
    ov = x @ w["V"] @ w["O"] @ w["U"]

    n_vocab, n_ctx = len(w["E"]), len(w["P"])
    places = one_hot(n_vocab + torch.arange(n_ctx), n_vocab + n_ctx)
    inputs = (one_hot(tokens, n_vocab + n_ctx) + places).to(x.dtype)
    dests = inputs[:, LENGTH + 1 : -1]
    scores = einsum(dests @ qk, inputs, "batch dest feature, batch src feature -> batch dest src")
    future = torch.ones(n_ctx, n_ctx, dtype=torch.bool).triu(1)[LENGTH + 1 : -1]
    pattern = scores.masked_fill(future, -torch.inf).softmax(dim=-1)
    return (pattern @ inputs) @ ov + dests @ direct


def train(architecture: dict, checkpoint: dict, progress: Callable[[int, int, str], None]) -> dict[str, torch.Tensor]:
    """Return the state dict of a TransformerBridge, trained from the checkpoint's seed.

    Task, shape and recipe follow C. Kissane's notebook (github.com/ckkissane/mech-interp-practice): 10 000
    steps of 256 fresh lists, AdamW, lr 1e-3. One thing is ours: the learning rate stays constant for 70 %
    of the steps only, and then falls in a line to zero.
    All seven matrices start as N(0, 0.8 / sqrt(d_model)); there are no biases, the bridge's stay zero.
    The loss is the mean cross entropy of the ten sorted numbers, with the true tail as input.
    """
    recipe = RECIPE | checkpoint.get("recipe", {})
    seed, steps = checkpoint["seed"], recipe["steps"]
    d_vocab, d_out, n_ctx = architecture["d_vocab"], architecture["d_vocab_out"], architecture["n_ctx"]
    d_model, d_head = architecture["d_model"], architecture["d_head"]
    shapes = {"E": (d_vocab, d_model), "P": (n_ctx, d_model), "U": (d_model, d_out), "O": (d_head, d_model)}
    shapes |= dict.fromkeys("QKV", (d_model, d_head))

    init = torch.Generator().manual_seed(seed)
    data = torch.Generator().manual_seed(1000 + seed)
    std = recipe["init"] / math.sqrt(d_model)
    w = {
        name: (std * torch.randn(shapes[name], generator=init)).requires_grad_()
        for name in ("E", "P", "Q", "K", "V", "O", "U")
    }
    optimizer = torch.optim.AdamW(
        w.values(), lr=recipe["lr"], betas=recipe["betas"], weight_decay=recipe["weight_decay"]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (steps - step) / (steps * (1 - recipe["constant"])))
    )
    for step in range(1, steps + 1):
        tokens = batch_of_tokens(recipe["batch"], data)
        logits = logits_at_loss(w, tokens)
        loss = cross_entropy(logits.flatten(0, 1), tokens[:, LENGTH + 2 :].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps:
            progress(step, steps, f"loss {loss.item():.4f}")

    w = {name: matrix.detach() for name, matrix in w.items()}
    state = {"embed.weight": w["E"], "pos_embed.weight": w["P"]}
    for name in "QKVO":
        state[f"blocks.0.attn.{name.lower()}.weight"] = w[name].T.contiguous()
        state[f"blocks.0.attn.{name.lower()}.bias"] = torch.zeros(w[name].shape[1])
    return state | {"unembed.weight": w["U"].T.contiguous(), "unembed.bias": torch.zeros(d_out)}
