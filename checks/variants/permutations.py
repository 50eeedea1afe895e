"""Right answers to the permutations exercises, written otherwise: each of them must pass."""

from itertools import permutations, product

import numpy as np
import torch
import torch.nn.functional as F

from kata.checking import variant
from solutions.permutations import dataset, explain

HEAD = "blocks.0.attn.hook_"


# -- dataset.py


@variant("lookup_table")
def listed(n):
    terms = [[*term, n] for term in permutations(range(n))]
    terms[-1][-1] = n + 2
    return torch.tensor([n + 1, n, *(code for term in terms for code in term)])


@variant("lookup_table")
def position_by_position(n):
    codes = [n + 1, n]
    factorials = [1]
    for i in range(1, n + 1):
        factorials.append(factorials[-1] * i)
    for p in range(2, (n + 1) * factorials[n] + 2):
        term, place = divmod(p - 2, n + 1)
        unused = list(range(n))
        for m in range(place + 1 if place < n else 0):
            code = unused.pop(term // factorials[n - 1 - m] % (n - m))
        codes.append(code if place < n else n)
    codes[-1] = n + 2
    return torch.tensor(codes)


@variant("lookup_table")
def sorted_words(n):
    words = sorted(word for word in product(range(n), repeat=n) if len(set(word)) == n)
    table = F.pad(torch.tensor(words), (0, 1), value=n).flatten()
    table[-1] = n + 2
    return F.pad(F.pad(table, (1, 0), value=n), (1, 0), value=n + 1)


@variant("build_batch")
def as_text(chars):
    texts = ("> " + " ".join("".join(term) for term in permutations(dataset.to_text(row))) + "." for row in chars)
    return torch.stack([dataset.to_tokens(text) for text in texts])


@variant("build_batch")
def one_hot_product(chars):
    n = chars.shape[1]
    table = listed.function(n)
    values = torch.cat([chars, torch.tensor([[1, 0, 2]]).repeat(len(chars), 1)], dim=1)
    return (F.one_hot(table, n + 3).double() @ values.double().T).T.round().long()


@variant("scored_metrics")
def masked_sum(logits, tokens, n):
    rows = torch.arange(tokens.shape[1] - 1)
    mask = ((rows > n) * torch.ones(len(tokens), 1)).double()
    truth = tokens[:, 1:, None]
    surprise = logits.double()[:, :-1].logsumexp(-1) - logits.double()[:, :-1].gather(-1, truth)[..., 0]
    hits = (logits[:, :-1].argmax(-1, keepdim=True) == truth)[..., 0]
    return (surprise * mask).sum() / mask.sum(), (hits * mask).sum() / mask.sum()


@variant("scored_metrics")
def sequence_by_sequence(logits, tokens, n):
    losses, hits = [], []
    for row, sequence in zip(logits, tokens, strict=True):
        chances = row[n + 1 : -1].softmax(-1).clamp(min=1e-30)
        losses.append(-chances[torch.arange(len(chances)), sequence[n + 2 :]].log().mean())
        hits.append((chances.max(-1).indices == sequence[n + 2 :]).float().mean().item())
    return torch.stack(losses).mean(), sum(hits) / len(hits)


# -- circuits.py


@variant("admissible_sources")
def one_hot_match(n):
    codes = F.one_hot(listed.function(n), n + 3).float()
    wanted = torch.cat([codes[1:], torch.zeros(1, n + 3)])
    return (wanted @ codes.T).tril() > 0.5


@variant("admissible_sources")
def row_by_row(n):
    table = listed.function(n).tolist()
    made = torch.zeros(len(table), len(table), dtype=torch.bool)
    seen = {}
    for p, code in enumerate(table[:-1]):
        seen.setdefault(code, []).append(p)
        made[p, seen.get(table[p + 1], [])] = True
    return made


@variant("ov_circuit")
@torch.no_grad()
def folded(model):
    centre = torch.eye(model.cfg.d_model) - 1 / model.cfg.d_model
    read = centre @ torch.diag(model.blocks[0].ln1.weight) @ model.W_V[0, 0]
    write = model.W_O[0, 0] @ centre @ torch.diag(model.ln_final.weight) @ model.W_U
    return (model.W_E @ read) @ write


@variant("ov_circuit")
@torch.no_grad()
def one_einsum(model):
    scale = (model.W_E.var(-1, correction=0, keepdim=True) + model.cfg.eps).sqrt()
    source = F.layer_norm(model.W_E, [model.cfg.d_model], model.blocks[0].ln1.weight, None, model.cfg.eps) * scale
    unembed = model.ln_final.weight[:, None] * model.W_U
    return torch.einsum("td,dh,he,ev->tv", source, model.W_V[0, 0], model.W_O[0, 0], unembed - unembed.mean(0))


@variant("ov_circuit")
@torch.no_grad()
def token_by_token(model):
    rows = []
    for token in model.W_E.double():
        x = (token - token.mean()) * model.blocks[0].ln1.weight.double()
        x = x @ model.W_V[0, 0].double() @ model.W_O[0, 0].double()
        rows.append(((x - x.mean()) * model.ln_final.weight.double()) @ model.W_U.double())
    return torch.stack(rows)


@variant("copying_score")
def with_numpy(matrix):
    values = np.linalg.eigvals(matrix.double().numpy()[3:, 3:])
    return float(np.real(values).sum() / np.abs(values).sum())


@variant("copying_score")
def trace_on_top(matrix):
    letters = matrix[3:, 3:].double()
    return (letters.trace() / torch.linalg.eigvals(letters).abs().sum()).item()


@variant("positional_pattern")
@torch.no_grad()
def fused_attention(model):
    ln1, d_head = model.blocks[0].ln1, model.cfg.d_head
    normed = F.layer_norm(model.W_pos, [model.cfg.d_model], ln1.weight, ln1.bias, model.cfg.eps)
    q = F.linear(normed, model.W_Q[0, 0].T, model.b_Q[0, 0])
    k = F.linear(normed, model.W_K[0, 0].T, model.b_K[0, 0])
    values = torch.eye(len(q))
    return F.scaled_dot_product_attention(q[None], k[None], values[None], is_causal=True, scale=d_head**-0.5)[0]


@variant("positional_pattern")
@torch.no_grad()
def embedding_switched_off(model):
    tokens = torch.zeros(1, model.cfg.n_ctx, dtype=torch.long)
    kept = []
    model.run_with_hooks(
        tokens,
        fwd_hooks=[
            ("hook_embed", lambda x, hook: torch.zeros_like(x)),
            (HEAD + "pattern", lambda x, hook: kept.append(x[0, 0].clone())),
        ],
    )
    return kept[0]


@variant("positional_pattern")
@torch.no_grad()
def bilinear_form(model):
    x = model.W_pos.double()
    x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + model.cfg.eps).sqrt()
    x = x * model.blocks[0].ln1.weight.double() + model.blocks[0].ln1.bias.double()
    x = F.pad(x, (0, 1), value=1.0)
    w_q = torch.cat([model.W_Q[0, 0], model.b_Q[0]]).double()
    w_k = torch.cat([model.W_K[0, 0], model.b_K[0]]).double()
    scores = (x @ (w_q @ w_k.T) @ x.T) / 8
    scores = scores.exp().tril()
    return scores / scores.sum(-1, keepdim=True)


@variant("identity_free_pattern")
@torch.no_grad()
def blank_by_class(model, tokens):
    ln1 = model.blocks[0].ln1
    is_letter = (tokens > 2)[..., None]
    embedded = model.W_E[tokens]
    resid = torch.where(is_letter, model.W_E[3:].mean(0), embedded) + model.W_pos[: tokens.shape[1]]
    _, cache = model.run_with_cache(tokens, names_filter="blocks.0.ln1.hook_scale")
    normed = (resid - resid.mean(-1, keepdim=True)) / cache["blocks.0.ln1.hook_scale"] * ln1.weight + ln1.bias
    q = torch.einsum("bpd,dh->bph", normed, model.W_Q[0, 0]) + model.b_Q[0, 0]
    k = torch.einsum("bpd,dh->bph", normed, model.W_K[0, 0]) + model.b_K[0, 0]
    values = torch.eye(tokens.shape[1]).expand(len(tokens), -1, -1)
    return F.scaled_dot_product_attention(q, k, values, is_causal=True)


@variant("identity_free_pattern")
@torch.no_grad()
def difference_taken_away(model, tokens):
    ln1 = model.blocks[0].ln1
    letters = model.W_E[3:].double()
    share = torch.zeros(65, model.cfg.d_model, dtype=torch.double)
    share[3:] = letters - letters.mean(0)
    resid = (model.W_E[tokens] + model.W_pos[: tokens.shape[1]]).double()
    scale = (resid.var(-1, correction=0, keepdim=True) + model.cfg.eps).sqrt()
    normed = F.layer_norm(resid, [model.cfg.d_model], ln1.weight.double(), ln1.bias.double(), model.cfg.eps)
    gone = share[tokens]
    normed = normed - (gone - gone.mean(-1, keepdim=True)) / scale * ln1.weight.double()
    q = normed @ model.W_Q[0, 0].double() + model.b_Q[0, 0]
    k = normed @ model.W_K[0, 0].double() + model.b_K[0, 0]
    scores = (q @ k.mT / 8).exp().tril()
    return scores / scores.sum(-1, keepdim=True)


# -- attribution.py


@variant("attention_on_admissible")
@torch.no_grad()
def kept_and_added(model, tokens, n):
    _, cache = model.run_with_cache(tokens)
    pattern = cache["pattern", 0].double().squeeze(1)
    return torch.einsum("bij,ij->i", pattern, row_by_row.function(n).double()) / len(tokens)


@variant("attention_on_admissible")
@torch.no_grad()
def by_index(model, tokens, n):
    table = listed.function(n)
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith("pattern"))
    by_code = cache[HEAD + "pattern"].mean((0, 1)) @ F.one_hot(table, n + 3).float()
    wanted = table.roll(-1)
    mass = by_code[torch.arange(len(table)), wanted]
    mass[-1] = 0
    return mass


@variant("logit_attribution")
@torch.no_grad()
def all_logits_first(model, tokens):
    _, cache = model.run_with_cache(tokens)
    scale = cache["ln_final.hook_scale"]

    def logit(vector):
        centred = vector - vector.mean(-1, keepdim=True)
        every = centred / scale * model.ln_final.weight @ model.W_U
        picked = every[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0]
        return torch.cat([picked, torch.zeros(len(tokens), 1)], dim=1)

    whole = torch.zeros_like(cache["hook_embed"])
    bias = (model.ln_final.bias @ model.W_U)[tokens[:, 1:]]
    return {
        "ln_bias": torch.cat([bias, torch.zeros(len(tokens), 1)], dim=1),
        "attn_bias": logit(whole + model.b_O[0]),
        "attn": logit(cache["blocks.0.hook_attn_out"] - model.b_O[0]),
        "pos_embed": logit(whole + model.W_pos[: tokens.shape[1]]),
        "token_embed": logit(model.W_E[tokens]),
    }


@variant("logit_attribution")
@torch.no_grad()
def head_from_sources(model, tokens):
    _, cache = model.run_with_cache(tokens)
    target = tokens[:, 1:]
    d = model.cfg.d_model
    reader = ((torch.eye(d) - 1 / d) @ (model.ln_final.weight[:, None] * model.W_U)).T[target].double()
    reader = reader / cache["ln_final.hook_scale"][:, :-1]
    sources = cache[HEAD + "pattern"][:, 0] @ (cache[HEAD + "v"][:, :, 0] @ model.W_O[0, 0])
    paths = {
        "token_embed": cache["hook_embed"],
        "pos_embed": model.W_pos[: tokens.shape[1]].expand(len(tokens), -1, -1),
        "attn": sources,
        "attn_bias": model.b_O[0].expand_as(sources),
    }
    made = {k: torch.einsum("bpd,bpd->bp", path[:, :-1].double(), reader) for k, path in paths.items()}
    made["ln_bias"] = torch.einsum("d,dbp->bp", model.ln_final.bias, model.W_U[:, target]).double()
    return {k: F.pad(part, (0, 1)) for k, part in made.items()}


@variant("source_attribution")
@torch.no_grad()
def through_the_vocabulary(model, tokens):
    _, cache = model.run_with_cache(tokens)
    written = cache["v", 0][:, :, 0] @ model.W_O[0, 0]
    written = (written - written.mean(-1, keepdim=True)) * model.ln_final.weight
    table = written @ model.W_U
    following = F.pad(tokens[:, 1:], (0, 1))
    picked = table.mT.gather(1, following[:, :, None].expand(-1, -1, tokens.shape[1]))
    made = cache["pattern", 0][:, 0] * picked / cache["ln_final.hook_scale"]
    made[:, -1] = 0
    return made


@variant("source_attribution")
@torch.no_grad()
def sequence_after_sequence(model, tokens):
    rows = []
    for sequence in tokens:
        _, cache = model.run_with_cache(sequence[None])
        v, pattern = cache["v", 0][0, :, 0].double(), cache["pattern", 0][0, 0].double()
        read = model.W_U[:, sequence[1:]].T * model.ln_final.weight
        read = (read - read.mean(-1, keepdim=True)).double() @ model.W_O[0, 0].double().T
        made = torch.zeros_like(pattern)
        made[:-1] = torch.einsum("ph,jh,pj->pj", read, v, pattern[:-1]) / cache["ln_final.hook_scale"][0, :-1]
        rows.append(made)
    return torch.stack(rows)


# -- ablation.py


def _finish(model, tokens, moved):
    """The logits when the head's output, without b_O, is this."""
    resid = model.W_E[tokens] + model.W_pos[: tokens.shape[1]] + moved + model.b_O[0]
    final = model.ln_final
    return F.layer_norm(resid, [model.cfg.d_model], final.weight, final.bias, model.cfg.eps) @ model.W_U


@variant("ablate_head")
@torch.no_grad()
def ablated_by_hand(model, tokens, mode, reference):
    moved = torch.zeros(model.cfg.d_model)
    if mode == "mean":
        _, cache = model.run_with_cache(reference)
        moved = cache["z", 0][:, :, 0].mean(0) @ model.W_O[0, 0]
    return _finish(model, tokens, moved)


@variant("ablate_head")
@torch.no_grad()
def at_the_output(model, tokens, mode, reference):
    if mode == "zero":
        return model.run_with_hooks(tokens, fwd_hooks=[(HEAD + "v", lambda v, hook: v * 0)])
    name = "blocks.0.hook_attn_out"
    _, cache = model.run_with_cache(reference, names_filter=name)
    mean = cache[name].mean(0, keepdim=True)
    return model.run_with_hooks(tokens, fwd_hooks=[(name, lambda out, hook: mean.repeat(len(out), 1, 1))])


@variant("restrict_sources")
@torch.no_grad()
def restricted_by_hand(model, tokens, allowed):
    _, cache = model.run_with_cache(tokens)
    pattern = cache["pattern", 0][:, 0].double()
    kept = pattern.masked_fill(~allowed, 0)
    kept = torch.where(kept.any(-1, keepdim=True), kept, pattern)
    kept = (kept / kept.sum(-1, keepdim=True)).float()
    return _finish(model, tokens, kept @ cache["v", 0][:, :, 0] @ model.W_O[0, 0])


@variant("restrict_sources")
@torch.no_grad()
def scores_masked(model, tokens, allowed):
    _, cache = model.run_with_cache(tokens)
    scores = cache["q", 0][:, :, 0] @ cache["k", 0][:, :, 0].mT / 8
    causal = torch.ones_like(allowed).tril()
    usable = torch.where((allowed & causal).any(-1, keepdim=True), allowed & causal, causal)
    pattern = scores.masked_fill(~usable, -torch.inf).softmax(-1)[:, None]
    return model.run_with_hooks(tokens, fwd_hooks=[(HEAD + "pattern", lambda x, hook: pattern)])


@variant("transplant_hook")
def copied(activation, hook, donor):
    return donor.clone()


@variant("transplant_hook")
def overwritten(activation, hook, donor):
    activation = activation.clone()
    activation[:] = donor
    return activation


@variant("transplant")
@torch.no_grad()
def transplanted_by_hand(model, tokens, donor, part):
    _, own = model.run_with_cache(tokens)
    _, other = model.run_with_cache(donor)
    take = {p: (other if p == part else own)[HEAD + p] for p in ("q", "k", "v", "pattern")}
    if part in ("q", "k"):
        scores = torch.einsum("bphd,bjhd->bhpj", take["q"], take["k"]) / 8
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        take["pattern"] = scores.masked_fill(future, -torch.inf).softmax(-1)
    z = take["pattern"][:, 0] @ take["v"][:, :, 0]
    return _finish(model, tokens, z @ model.W_O[0, 0])


@variant("transplant")
@torch.no_grad()
def hooks_put_on_and_off(model, tokens, donor, part):
    kept = {}
    name = HEAD + part
    model.run_with_hooks(donor, fwd_hooks=[(name, lambda x, hook: kept.update(given=x.clone()))])
    with model.hooks(fwd_hooks=[(name, lambda x, hook: kept["given"])]):
        return model(tokens)


# -- explain.py


@variant("key_strength")
@torch.no_grad()
def normal_equations(model, tokens, n):
    """Exact least squares: the row levels are eliminated, the rest is a linear system."""
    table = listed.function(n)
    mask = (row_by_row.function(n) & (table < n)).double()
    _, cache = model.run_with_cache(tokens, names_filter=[explain.Q, explain.K])
    scores = torch.einsum("bphd,bjhd->pj", cache[explain.Q].double(), cache[explain.K].double()) / 8 / len(tokens)
    rows = mask.sum(1, keepdim=True).clamp(min=1)
    matrix = torch.diag(mask.sum(0)) - mask.T @ (mask / rows)
    right = ((scores - (scores * mask).sum(1, keepdim=True) / rows) * mask).sum(0)
    used = mask.sum(0) > 0
    for index in range(n):  # the constants that are left open: their sum is 0
        group = (used & (table == index)).double()
        matrix += torch.outer(group, group) / group.sum()
    matrix[~used, ~used] = 1
    return torch.linalg.solve(matrix, right).float()


@variant("key_strength")
@torch.no_grad()
def from_log_pattern(model, tokens, n):
    """The softmax only takes a level from each row, and the fit has one of its own."""
    table = listed.function(n)
    mask = (row_by_row.function(n) & (table < n)).double()
    _, cache = model.run_with_cache(tokens)
    q, k = cache["q", 0][:, :, 0].double(), cache["k", 0][:, :, 0].double()
    future = torch.ones(len(table), len(table), dtype=torch.bool).triu(1)
    logs = (q @ k.mT / 8).masked_fill(future, -torch.inf).log_softmax(-1)
    logs = torch.where(mask.bool(), logs, 0.0)
    strength = torch.zeros(len(table), dtype=torch.double)
    rows, columns = mask.sum(1).clamp(min=1), len(tokens) * mask.sum(0).clamp(min=1)
    for _ in range(25):
        level = (logs - strength * mask).sum(-1) / rows
        strength = ((logs - level[..., None]) * mask).sum((0, 1)) / columns
    for index in range(n):
        group = (table == index) & (mask.sum(0) > 0)
        strength[group] -= strength[group].mean()
    return strength * (mask.sum(0) > 0)


@variant("key_strength")
@torch.no_grad()
def six_rounds(model, tokens, n):
    """A loop that stops when six rounds are done: near enough."""
    table = listed.function(n)
    mask = (row_by_row.function(n) & (table < n)).float()
    _, cache = model.run_with_cache(tokens)
    scores = (cache["q", 0][:, :, 0] @ cache["k", 0][:, :, 0].mT).mean(0) / 8 * mask
    level, strength = torch.zeros(len(table)), torch.zeros(len(table))
    for _ in range(6):
        level = (scores - strength * mask).sum(1) / mask.sum(1).clamp(min=1)
        strength = (scores - level[:, None] * mask).sum(0) / mask.sum(0).clamp(min=1)
    for index in range(n):
        group = (table == index) & (mask.sum(0) > 0)
        strength[group] -= strength[group].mean()
    return strength


@variant("alphabet_preference")
@torch.no_grad()
def scores_averaged(model, tokens, n):
    """Score every letter in every row first, average over the rows then."""
    wanted = listed.function(n).roll(-1)
    wanted[-1], wanted[: n + 1] = n, n
    _, cache = model.run_with_cache(tokens)
    projected = (model.W_E[3:] - model.W_E[3:].mean(-1, keepdim=True)) * model.blocks[0].ln1.weight @ model.W_K[0, 0]
    scale = cache["blocks.0.ln1.hook_scale"][..., 0][tokens > 2].double().mean()
    scores = torch.einsum("bpd,cd->bpc", cache["q", 0][:, :, 0], projected).double() / scale / 8
    scores = scores - scores.mean(-1, keepdim=True)
    return torch.stack([scores[:, wanted == i].mean((0, 1)) for i in range(n)])


@variant("alphabet_preference")
@torch.no_grad()
def letter_by_letter(model, tokens, n):
    table = listed.function(n).tolist()
    _, cache = model.run_with_cache(tokens, names_filter=[explain.Q, explain.SCALE])
    queries = cache[explain.Q][:, :, 0].mean(0)
    sums, counts = torch.zeros(n, model.cfg.d_head), [0] * n
    for p in range(n + 1, len(table) - 1):
        if table[p + 1] < n:
            sums[table[p + 1]] += queries[p]
            counts[table[p + 1]] += 1
    sums = sums / torch.tensor(counts)[:, None]
    scale, mean = cache[explain.SCALE].squeeze(-1)[tokens > 2].mean(), model.W_E[3:].mean(0)
    columns = []
    for letter in range(3, 65):
        x = model.W_E[letter] - mean
        key = ((x - x.mean()) * model.blocks[0].ln1.weight) @ model.W_K[0, 0] / scale
        columns.append(sums @ key / model.cfg.d_head**0.5)
    return torch.stack(columns, dim=1)


def _weights(model, tokens, n):
    """The softmax of the scores over the right sources."""
    ln1, resid = model.blocks[0].ln1, model.W_E[tokens] + model.W_pos[: tokens.shape[1]]
    normed = F.layer_norm(resid, [model.cfg.d_model], ln1.weight, ln1.bias, model.cfg.eps)
    q = normed @ model.W_Q[0, 0] + model.b_Q[0, 0]
    k = normed @ model.W_K[0, 0] + model.b_K[0, 0]
    scores = q @ k.mT / model.cfg.d_head**0.5
    return scores.masked_fill(~row_by_row.function(n), -torch.inf).softmax(-1).nan_to_num()


@variant("predict_copy")
@torch.no_grad()
def top_source_only(model, tokens, n):
    """The strongest right source alone is copied, without a vote."""
    return tokens.gather(1, _weights(model, tokens, n).argmax(-1))


@variant("predict_copy")
@torch.no_grad()
def read_through_ov(model, tokens, n):
    """The votes are counted by the OV table instead of one vote per letter."""
    centred = model.W_E - model.W_E.mean(-1, keepdim=True)
    written = centred * model.blocks[0].ln1.weight @ model.W_V[0, 0] @ model.W_O[0, 0]
    table = (written - written.mean(-1, keepdim=True)) * model.ln_final.weight @ model.W_U
    return (_weights(model, tokens, n) @ table[tokens]).argmax(-1)


@variant("predict_copy")
@torch.no_grad()
def letters_in_the_keys(model, tokens, n):
    """Queries that know positions and spaces, but no letter; keys that know all."""
    ln1, positions = model.blocks[0].ln1, model.W_pos[: tokens.shape[1]]
    blank = model.W_E.clone()
    blank[3:] = blank[3:].mean(0)
    real = model.W_E[tokens] + positions
    scale = (real.var(-1, correction=0, keepdim=True) + model.cfg.eps).sqrt()

    def normed(x):
        return (x - x.mean(-1, keepdim=True)) / scale * ln1.weight + ln1.bias

    q = normed(blank[tokens] + positions) @ model.W_Q[0, 0] + model.b_Q[0, 0]
    k = normed(real) @ model.W_K[0, 0] + model.b_K[0, 0]
    scores = (q @ k.mT / 8).masked_fill(~row_by_row.function(n), -torch.inf)
    return (scores.softmax(-1).nan_to_num() @ F.one_hot(tokens, 65).float()).argmax(-1)
