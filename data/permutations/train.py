"""The recipe of this set's checkpoints: everything that happened between the seed and the weights."""

from collections.abc import Callable
from itertools import permutations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

SPACE, STOP, LETTERS = 1, 2, 62  # `>` is 0; the letters a..z, A..Z, 0..9 are tokens 3 to 64
RECIPE = {"steps": 3000, "batch": 4, "lr": 1e-4}


def train(architecture: dict, checkpoint: dict, progress: Callable[[int, int, str], None]) -> dict[str, Tensor]:
    """Train one checkpoint and return its state_dict.

    The recipe is that of the notebook that posed this problem (one of the "200 concrete open problems"):
    4 fresh sequences per step, 3000 steps, AdamW at a constant 1e-4 with betas (0.9, 0.99), gradients
    clipped to norm 1, mean cross-entropy over the rows that can be known (from the last character of
    the first term on). The characters of a sequence are sorted in vocabulary order, as they were there.
    A checkpoint's `recipe` may change steps, batch and lr; "sorted": false leaves the characters in
    random order. Weights start from the seed, data from the seed + 1000.
    """
    recipe = RECIPE | checkpoint.get("recipe", {})
    config = TransformerBridgeConfig(**architecture, architecture="TransformerLensNative", seed=checkpoint["seed"])
    start = TransformerBridge.boot_native(config).state_dict()
    weights = {name: weight.detach().clone().requires_grad_() for name, weight in start.items()}
    weights["unembed.bias"].requires_grad_(False)  # the native model has none: the bridge shows zeros
    trained = [weight for weight in weights.values() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe["lr"], betas=(0.9, 0.99), weight_decay=0.01)
    data = torch.Generator().manual_seed(1000 + checkpoint["seed"])
    n = {8: 2, 26: 3, 122: 4, 722: 5}[architecture["n_ctx"]]

    for step in range(recipe["steps"]):
        drawn = torch.rand(recipe["batch"], LETTERS, generator=data).argsort(dim=-1)[:, :n]
        chars = 3 + (drawn.sort(dim=-1).values if recipe.get("sorted", True) else drawn)
        tokens = write_out(chars)
        logits = forward(weights, tokens, config.eps)
        loss = F.cross_entropy(logits[:, n + 1 : -1].flatten(0, 1), tokens[:, n + 2 :].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        if step % 50 == 0 or step == recipe["steps"] - 1:
            progress(step + 1, recipe["steps"], f"loss {loss.item():.2g}")
    return {name: weight.detach().contiguous() for name, weight in weights.items()}


def write_out(chars: Int[Tensor, "batch n"]) -> Int[Tensor, "batch seq"]:
    """`>`, a space, and all permutations of the characters, separated by spaces, closed by a full stop."""
    n = chars.shape[1]
    terms = torch.tensor([place for term in permutations(range(n)) for place in (*term, n)])
    start, space, stop = chars.new_tensor([[0], [SPACE], [STOP]]).repeat(1, len(chars))[..., None]
    body = torch.cat([chars, space], dim=1)[:, terms]
    return torch.cat([start, space, body[:, :-1], stop], dim=1)


def forward(
    weights: dict[str, Tensor], tokens: Int[Tensor, "batch seq"], eps: float
) -> Float[Tensor, "batch seq vocab"]:
    """The bridge's logits from its state_dict, with torch's fused attention (twice as fast to train)."""
    d_model = weights["embed.weight"].shape[1]
    heads = {part: weights[f"blocks.0.attn.{part}.weight"] for part in "qkvo"}
    biases = {part: weights[f"blocks.0.attn.{part}.bias"] for part in "qkvo"}
    resid = weights["embed.weight"][tokens] + weights["pos_embed.weight"][: tokens.shape[1]]
    normed = F.layer_norm(resid, [d_model], weights["blocks.0.ln1.weight"], weights["blocks.0.ln1.bias"], eps)
    q, k, v = (F.linear(normed, heads[part], biases[part]) for part in "qkv")
    z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    resid = resid + F.linear(z, heads["o"], biases["o"])
    final = F.layer_norm(resid, [d_model], weights["ln_final.weight"], weights["ln_final.bias"], eps)
    return F.linear(final, weights["unembed.weight"], weights["unembed.bias"])
