"""Right answers of the list_compression exercises that are written otherwise: the grader must let them pass."""

import math

import einops
import torch

from kata.checking import variant

SEP = 10
BLOCKED = torch.zeros(1, 1, 5, 5, dtype=torch.bool)
BLOCKED[..., 3:, :2] = True


def is_teacher(model):
    return bool((model.ln_final.bias @ model.W_U)[SEP] > (model.ln_final.bias @ model.W_U)[:SEP].mean())


# -- make_tokens


@variant("make_tokens")
def filled_in_place(lists, teacher_forced):
    made = torch.full((len(lists), 5), SEP, dtype=lists.dtype)
    made[:, :2] = lists
    if teacher_forced:
        made[:, 3:] = lists
    return made


@variant("make_tokens")
def row_by_row(lists, teacher_forced):
    rows = [[a, b, SEP, *((a, b) if teacher_forced else (SEP, SEP))] for a, b in lists.tolist()]
    return torch.tensor(rows, dtype=torch.int32)


# -- block_mask


@variant("block_mask")
def sliced(seq, list_len=2):
    mask = torch.zeros(1, 1, seq, seq, dtype=torch.bool)
    mask[:, :, list_len + 1 :, :list_len] = True
    return mask


@variant("block_mask")
def entry_by_entry(seq, list_len=2):
    entries = [[query > list_len and key < list_len for key in range(seq)] for query in range(seq)]
    return torch.tensor(entries).reshape(1, 1, seq, seq)


# -- loss_by_position


@variant("loss_by_position")
@torch.no_grad()
def by_cross_entropy(model, tokens, mask):
    logits = model(tokens, attention_mask=mask)[:, :-1]
    return torch.nn.functional.cross_entropy(logits.mT, tokens[:, 1:], reduction="none").mean(0)


@variant("loss_by_position")
@torch.no_grad()
def by_log_sum_exp_in_float64(model, tokens, mask):
    logits = model(tokens, attention_mask=mask).double()
    losses = []
    for i in range(tokens.shape[1] - 1):
        right = logits[torch.arange(len(tokens)), i, tokens[:, i + 1]]
        losses.append((logits[:, i].exp().sum(-1).log() - right).mean())
    return torch.stack(losses)


@variant("loss_by_position")
@torch.no_grad()
def with_an_additive_mask(model, tokens, mask):
    added = torch.zeros(mask.shape).masked_fill(mask, -torch.inf)
    added = added.masked_fill(torch.ones(mask.shape[-2:], dtype=torch.bool).triu(1), -torch.inf)
    log_probs = model(tokens, attention_mask=added).log_softmax(-1)
    codes = torch.nn.functional.one_hot(tokens[:, 1:], 11)
    return -(log_probs[:, :-1] * codes).sum(-1).mean(0)


# -- greedy_decode


@variant("greedy_decode")
@torch.no_grad()
def in_one_buffer(model, lists):
    tokens = torch.full((len(lists), 5), SEP)
    tokens[:, :2] = lists
    if not is_teacher(model):
        return model(tokens, attention_mask=BLOCKED)[:, 3:].argmax(-1)
    for place in (2, 3):  # what comes later cannot be seen yet, so the buffer may hold anything there
        tokens[:, place + 1] = model(tokens, attention_mask=BLOCKED)[:, place].argmax(-1)
    return tokens[:, 3:]


@variant("greedy_decode")
@torch.no_grad()
def list_by_list(model, lists):
    answers = []
    for pair in lists.tolist():
        read = [*pair, SEP]
        if is_teacher(model):
            for _ in range(2):
                n = len(read)
                logits = model(torch.tensor([read]), attention_mask=BLOCKED[..., :n, :n])
                read.append(int(logits[0, -1].softmax(-1).argmax()))
            answers.append(read[3:])
        else:
            logits = model(torch.tensor([[*read, SEP, SEP]]), attention_mask=BLOCKED)
            answers.append([int(i) for i in logits[0, -2:].argmax(-1)])
    return torch.tensor(answers)


# -- mean_std_pattern


@variant("mean_std_pattern")
@torch.no_grad()
def from_moments(model, tokens, mask, layer):
    kept = []

    def keep(pattern, hook):
        kept.append(pattern[:, 0].double())

    model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_pattern", keep)], attention_mask=mask)
    mean = kept[0].sum(0) / len(tokens)
    return mean.float(), (kept[0] - mean).square().mean(0).sqrt().float()


@variant("mean_std_pattern")
@torch.no_grad()
def from_queries_and_keys(model, tokens, mask, layer):
    _, cache = model.run_with_cache(tokens, attention_mask=mask)
    q, k = (cache[f"blocks.{layer}.attn.hook_{x}"][:, :, 0] for x in "qk")
    scores = einops.einsum(q, k, "batch q d, batch k d -> batch q k") / 4
    forbidden = mask[0, 0] | torch.ones_like(mask[0, 0]).triu(1)
    pattern = scores.masked_fill(forbidden, -torch.inf).softmax(-1)
    deviation, mean = torch.std_mean(pattern, dim=0, correction=0)
    return [mean, deviation]


# -- strength_table


@variant("strength_table")
@torch.no_grad()
def by_entries(model):
    ln1, W_Q, W_K = model.blocks[0].ln1, model.W_Q[0, 0], model.W_K[0, 0]
    query = ln1(model.W_E[SEP] + model.W_pos[2]) @ W_Q + model.b_Q[0, 0]

    def score(token, position):
        key = ln1(model.W_E[token] + model.W_pos[position]) @ W_K + model.b_K[0, 0]
        return query.dot(key) / math.sqrt(16)

    table = torch.stack([torch.stack([score(t, p) for t in range(10)]) for p in range(2)])
    return table, score(SEP, 2)


@variant("strength_table")
@torch.no_grad()
def through_one_matrix(model):
    """In float64, with the layer norm by hand and a one appended to carry the biases."""
    norm = model.blocks[0].ln1

    def seen(x):
        x = x.double() - x.double().mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + model.cfg.eps).sqrt() * norm.weight.double() + norm.bias.double()
        return torch.cat([x, torch.ones_like(x[..., :1])], dim=-1)

    def block(W, b):
        return torch.cat([W, b[None]]).double()

    QK = block(model.W_Q[0, 0], model.b_Q[0, 0]) @ block(model.W_K[0, 0], model.b_K[0, 0]).T / model.cfg.d_head**0.5
    sep = seen(model.W_E[SEP] + model.W_pos[2])
    digits = seen(model.W_E[None, :SEP] + model.W_pos[:2, None])
    return (einops.einsum(sep, QK, digits, "i, i j, p t j -> p t")).float(), (sep @ QK @ sep).item()


@variant("strength_table")
@torch.no_grad()
def read_off_runs(model):
    """Log attention, up to the constant that no softmax sees."""
    digits = torch.arange(10)
    rows = torch.cat([torch.cartesian_prod(digits, digits), torch.full((100, 1), SEP)], dim=1)
    _, cache = model.run_with_cache(rows, attention_mask=BLOCKED[..., :3, :3])
    log = cache["blocks.0.attn.hook_pattern"][:, 0, 2].double().log()
    table = torch.stack([(log[:, 0] - log[:, 2]).view(10, 10).mean(1), (log[:, 1] - log[:, 2]).view(10, 10).mean(0)])
    return table.float(), torch.zeros(())


# -- copy_table


@variant("copy_table")
@torch.no_grad()
def folded_into_matrices(model, which):
    """Means taken out by matrices, norm weights folded into the weights that follow."""
    centre = torch.eye(16) - 1 / 16
    hop = [model.W_V[i, 0] @ model.W_O[i, 0] for i in (0, 1)]
    out = centre @ model.blocks[1].ln1.weight.diag() @ hop[1] @ centre @ model.ln_final.weight.diag() @ model.W_U
    x = model.W_E[:10] + model.W_pos[int(which == "d2")]
    found = model.blocks[0].ln1(x) @ hop[0] + (x if which == "d1" else 0)
    return (torch.eye(10) - 0.1) @ found @ out


@variant("copy_table")
@torch.no_grad()
def with_biases_that_cancel(model, which):
    """The stream as the model holds it, in float64: what is the same for every digit goes with the mean."""
    first, norm, last = model.blocks[0], model.blocks[1].ln1, model.ln_final
    x = model.W_E[:10] + model.W_pos[0 if which == "d1" else 1]
    moved = (first.ln1(x) @ model.W_V[0, 0] + model.b_V[0, 0]) @ model.W_O[0, 0] + model.b_O[0]
    found = (moved + x if which == "d1" else moved).double()
    found = (found - found.mean(1, keepdim=True)) * norm.weight.double()
    moved = found @ (model.W_V[1, 0] @ model.W_O[1, 0]).double()
    table = (moved - moved.mean(1, keepdim=True)) * last.weight.double() @ model.W_U.double()
    return (table - table.mean(0)).float()


# -- place_vs_digit


@variant("place_vs_digit")
@torch.no_grad()
def pair_by_pair(model, mask):
    pairs = [(a, b) for a in range(10) for b in range(10) if a != b]
    tokens = torch.tensor([[a, b, SEP, SEP, SEP] for a, b in pairs])
    _, cache = model.run_with_cache(tokens, attention_mask=mask)
    row = cache["blocks.0.attn.hook_pattern"][:, 0, 2].double()
    d = {pair: (row[i, 0] - row[i, 1]).item() for i, pair in enumerate(pairs)}
    odd = sum(((d[a, b] - d[b, a]) / 2) ** 2 for a, b in pairs)
    even = sum(((d[a, b] + d[b, a]) / 2) ** 2 for a, b in pairs)
    here, there = (torch.tensor(x).double() for x in (list(d.values()), [-d[b, a] for a, b in pairs]))
    here, there = here - here.mean(), there - there.mean()
    correlation = (here @ there / (here.norm() * there.norm())).item()
    return {"digit_bound": odd / (odd + even), "correlation": correlation}


@variant("place_vs_digit")
@torch.no_grad()
def with_the_whole_tokens(model, mask):
    lists = torch.cartesian_prod(torch.arange(10), torch.arange(10))
    lists = lists[lists[:, 0] != lists[:, 1]]

    def d(pairs):
        tokens = torch.cat([pairs, torch.full((90, 1), SEP), pairs], dim=1)
        _, cache = model.run_with_cache(tokens, attention_mask=mask)
        row = cache["blocks.0.attn.hook_pattern"][:, 0, 2]
        return row[:, 0] - row[:, 1]

    own, other = d(lists), d(lists.flip(1))
    share = ((own - other) / 2).square().sum() / own.square().sum()
    covariance = torch.cov(torch.stack([own, -other]).double())
    return {"digit_bound": share, "correlation": covariance[0, 1] / (covariance[0, 0] * covariance[1, 1]).sqrt()}


# -- dla_components


@variant("dla_components")
@torch.no_grad()
def folded_unembedding(model, tokens, mask):
    _, cache = model.run_with_cache(tokens, attention_mask=mask)
    W = (torch.eye(16) - 1 / 16) @ (model.ln_final.weight[:, None] * model.W_U)
    first, second = (cache[f"blocks.{i}.hook_resid_post"] for i in (0, 1))
    start = cache["hook_embed"] + model.W_pos[: tokens.shape[1]]
    stream = [start, first - start, second - first]
    constant = (model.ln_final.bias @ model.W_U).expand(*tokens.shape, 11)
    return torch.stack([*((x / cache["ln_final.hook_scale"]) @ W for x in stream), constant])


@variant("dla_components")
@torch.no_grad()
def from_values_in_float64(model, tokens, mask):
    _, cache = model.run_with_cache(tokens, attention_mask=mask)
    stream = [cache["hook_embed"].double() + model.W_pos[: tokens.shape[1]]]
    for i in (0, 1):
        pattern, value = (cache[f"blocks.{i}.attn.hook_{x}"].double() for x in ("pattern", "v"))
        moved = einops.einsum(pattern, value, "b h q k, b k h d -> b q h d")
        W_O = model.W_O[i].double()
        stream.append(einops.einsum(moved, W_O, "b q h d, h d m -> b q m") + model.b_O[i].double())
    scale = (sum(stream).var(-1, correction=0, keepdim=True) + model.cfg.eps).sqrt()
    gamma, beta = model.ln_final.weight.double(), model.ln_final.bias.double()
    normed = [(x - x.mean(-1, keepdim=True)) / scale * gamma for x in stream]
    parts = torch.stack([*normed, beta.expand_as(normed[0])])
    return (parts @ model.W_U.double()).float()


# -- dla_attn1_by_source


@variant("dla_attn1_by_source")
@torch.no_grad()
def one_einsum(model, tokens, mask, query):
    _, cache = model.run_with_cache(tokens, attention_mask=mask)
    W = model.W_O[1, 0] @ (torch.eye(16) - 1 / 16) @ model.ln_final.weight.diag() @ model.W_U
    pattern, value = cache["blocks.1.attn.hook_pattern"][:, 0, query], cache["blocks.1.attn.hook_v"][:, :, 0]
    scale = cache["ln_final.hook_scale"][:, query, 0]
    return einops.einsum(pattern, value, 1 / scale, W, "b k, b k d, b, d v -> b k v")


@variant("dla_attn1_by_source")
@torch.no_grad()
def key_by_key(model, tokens, mask, query):
    _, cache = model.run_with_cache(tokens, attention_mask=mask)
    stream = cache["blocks.0.hook_resid_post"]
    values = (model.blocks[1].ln1(stream) @ model.W_V[1, 0] + model.b_V[1, 0]).double()
    scale = cache["ln_final.hook_scale"][:, query].double()
    found = []
    for key in range(tokens.shape[1]):
        weight = cache["blocks.1.attn.hook_pattern"][:, 0, query, key, None].double()
        moved = weight * (values[:, key] @ model.W_O[1, 0].double())
        moved = (moved - moved.mean(-1, keepdim=True)) / scale * model.ln_final.weight.double()
        found.append(moved @ model.W_U.double())
    return torch.stack(found, dim=1).float()


# -- variance_explained


@variant("variance_explained")
def by_eigh_and_lstsq(x, labels, n_pcs=3):
    x = (x - x.mean(0)).double()
    components = torch.linalg.eigh(x.T @ x).eigenvectors.flip(1)[:, :n_pcs]
    scores = x @ components
    design = torch.cat([torch.ones(len(x), 1), labels], dim=1).double()
    fit = design @ torch.linalg.lstsq(design, scores, driver="gelsd").solution
    return (fit.square().sum() / scores.square().sum()).item()  # the scores have mean 0, so fit and rest are orthogonal


@variant("variance_explained")
def by_projection(x, labels, n_pcs=3):
    """Centred labels need no constant."""
    U, S, _ = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    scores = U[:, :n_pcs] * S[:n_pcs]
    centred = labels - labels.mean(0)
    basis, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    basis = basis[:, sizes > 1e-4 * sizes[0]]
    return (basis.T @ scores).square().sum() / scores.square().sum()


# -- pattern_ablation_hook


@variant("pattern_ablation_hook")
def by_masked_fill(pattern, hook, kind, mask):
    if kind == "zero":
        return pattern * 0
    if kind == "mean_pattern":
        return pattern.mean(0).repeat(len(pattern), 1, 1, 1)
    causal = torch.ones(pattern.shape[-2:], dtype=torch.bool).triu(1)
    scores = torch.zeros_like(pattern).masked_fill(mask | causal, -torch.inf)
    return scores.softmax(-1)


@variant("pattern_ablation_hook")
def cell_by_cell(pattern, hook, kind, mask):
    made = torch.zeros_like(pattern)
    if kind == "mean_pattern":
        made[:] = sum(pattern.unbind(0)) / len(pattern)
    if kind == "uniform":
        for query in range(pattern.shape[-1]):
            keys = [key for key in range(query + 1) if not mask[0, 0, query, key]]
            made[:, :, query, keys] = 1 / len(keys)
    return made


# -- ablate_attention


def next_token_loss(logits, tokens):
    log_probs = logits.log_softmax(-1)
    return -torch.gather(log_probs[:, :-1], 2, tokens[:, 1:, None]).mean().item()


@variant("ablate_attention")
@torch.no_grad()
def with_a_hook_of_its_own(model, tokens, mask, layer, kind):
    name = f"blocks.{layer}.attn.hook_pattern"
    logits, cache = model.run_with_cache(tokens, attention_mask=mask)
    allowed = (~(mask | torch.ones_like(mask).triu(1))).float()
    instead = {
        "zero": torch.zeros_like(allowed),
        "mean_pattern": cache[name].mean(0, keepdim=True),
        "uniform": allowed / allowed.sum(-1, keepdim=True),
    }[kind]
    after = model.run_with_hooks(
        tokens, fwd_hooks=[(name, lambda pattern, hook: instead.expand_as(pattern))], attention_mask=mask
    )
    return {"before": next_token_loss(logits, tokens), "after": next_token_loss(after, tokens)}


@variant("ablate_attention")
@torch.no_grad()
def by_replacing_z(model, tokens, mask, layer, kind):
    logits, cache = model.run_with_cache(tokens, attention_mask=mask)
    pattern, values = (cache[f"blocks.{layer}.attn.hook_{x}"] for x in ("pattern", "v"))
    if kind == "zero":
        pattern = torch.zeros_like(pattern)
    elif kind == "mean_pattern":
        pattern = pattern.mean(0, keepdim=True).expand_as(pattern)
    else:
        pattern = (~mask).float().tril().expand_as(pattern)
        pattern = pattern / pattern.sum(-1, keepdim=True)
    z = einops.einsum(pattern, values, "b h q k, b k h d -> b q h d")
    after = model.run_with_hooks(
        tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", lambda old, hook: z)], attention_mask=mask
    )
    return {"before": next_token_loss(logits, tokens), "after": next_token_loss(after, tokens)}


# -- patch_sep


def read(model, lists):
    teacher = is_teacher(model)
    rest = lists if teacher else torch.full_like(lists, SEP)
    return torch.cat([lists, torch.full_like(lists[:, :1], SEP), rest], dim=1), 2 if teacher else 3


@variant("patch_sep")
@torch.no_grad()
def all_rows_then_left_out(model, lists, donor, mask, layer):
    """Patch every row and leave rows out when counting."""
    own, at = read(model, lists)
    name = f"blocks.{layer}.hook_resid_post"
    vectors = []
    model.run_with_hooks(
        read(model, donor)[0], fwd_hooks=[(name, lambda x, hook: vectors.append(x[:, 2].clone()))], attention_mask=mask
    )

    def put(x, hook):
        return torch.cat([x[:, :2], vectors[0][:, None], x[:, 3:]], dim=1)

    said = model.run_with_hooks(own, fwd_hooks=[(name, put)], attention_mask=mask)[:, at : at + 2].argmax(-1)
    use = (lists[:, 0] != donor[:, 0]) & (lists[:, 1] != donor[:, 1])
    return {
        f"o{i + 1}_{who}": (said[:, i] == digits[:, i])[use].float().mean().item()
        for who, digits in (("donor", donor), ("recipient", lists))
        for i in (0, 1)
    }


@variant("patch_sep")
@torch.no_grad()
def patched_through_attention(model, lists, donor, mask, layer):
    """After layer 0 or 1 at SEP: patch what attention writes. SEP starts alike in both lists, but after layer 0 the
    stream that enters layer 1 differs too, so the difference of the streams is what is added."""
    use = (lists != donor).all(1)
    own, at = read(model, lists[use])
    other, _ = read(model, donor[use])
    name = f"blocks.{layer}.hook_resid_post"
    here, there = (model.run_with_cache(x, attention_mask=mask)[1][name][:, 2] for x in (own, other))

    def add(out, hook):
        out = out.clone()
        out[:, 2] += there - here
        return out

    hooks = [(f"blocks.{layer}.hook_attn_out", add)]
    said = model.run_with_hooks(own, fwd_hooks=hooks, attention_mask=mask)[:, at : at + 2].argmax(-1)
    found = {}
    for i in (0, 1):
        found[f"o{i + 1}_recipient"] = (said[:, i] == lists[use, i]).float().mean().item()
        found[f"o{i + 1}_donor"] = (said[:, i] == donor[use, i]).float().mean().item()
    return found


# -- gate_from_reversed


@variant("gate_from_reversed")
@torch.no_grad()
def both_orders_in_one_batch(model, lists, mask):
    lists = lists[lists[:, 0] != lists[:, 1]]
    n = len(lists)
    tokens = torch.cat([torch.cat([lists, lists.flip(1)]), torch.full((2 * n, 3), SEP)], dim=1)

    def exchange(pattern, hook):
        pattern = pattern.clone()
        pattern[:, :, 4] = pattern[:, :, 4].roll(n, 0)
        return pattern

    hooks = [("blocks.1.attn.hook_pattern", exchange)]
    said = model.run_with_hooks(tokens, fwd_hooks=hooks, attention_mask=mask)[:n, 4].argmax(-1)
    return (said == lists[:, 0]).float().mean()


@variant("gate_from_reversed")
@torch.no_grad()
def by_replacing_z_at_o2(model, lists, mask):
    use = (lists[:, 0] - lists[:, 1]).nonzero()[:, 0]
    own, other = (torch.nn.functional.pad(x[use], (0, 3), value=SEP) for x in (lists, lists.flip(1)))
    _, cache = model.run_with_cache(own, attention_mask=mask)
    _, reversed_cache = model.run_with_cache(other, attention_mask=mask)
    row, values = reversed_cache["blocks.1.attn.hook_pattern"][:, 0, 4], cache["blocks.1.attn.hook_v"][:, :, 0]
    z = cache["blocks.1.attn.hook_z"].clone()
    z[:, 4, 0] = torch.bmm(row[:, None], values)[:, 0]
    logits = model.run_with_hooks(own, fwd_hooks=[("blocks.1.attn.hook_z", lambda old, hook: z)], attention_mask=mask)
    return sum(int(said) == int(d1) for said, d1 in zip(logits[:, 4].argmax(-1), own[:, 0], strict=True)) / len(use)


# -- predict_from_weights


def layer_norm(x, norm, eps):
    x = x - x.mean(-1, keepdim=True)
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * norm.weight + norm.bias


@variant("predict_from_weights")
@torch.no_grad()
def the_whole_formula(model, lists):
    """Every layer by hand, list by position at once: exact, and explains nothing."""
    n, eps = len(lists), model.cfg.eps
    teacher = is_teacher(model)
    answers = torch.full((n, 2), SEP)
    for step in (0, 1):
        tokens = torch.cat([lists, torch.full((n, 1), SEP), answers], dim=1)
        x = model.W_E[tokens] + model.W_pos
        for i in (0, 1):
            y = layer_norm(x, model.blocks[i].ln1, eps)
            q, k, v = (
                y @ W[i, 0] + b[i, 0]
                for W, b in ((model.W_Q, model.b_Q), (model.W_K, model.b_K), (model.W_V, model.b_V))
            )
            scores = (q @ k.mT / 4).masked_fill(BLOCKED[0, 0] | torch.ones(5, 5, dtype=torch.bool).triu(1), -torch.inf)
            x = x + scores.softmax(-1) @ v @ model.W_O[i, 0] + model.b_O[i]
        said = (layer_norm(x, model.ln_final, eps) @ model.W_U).argmax(-1)
        if not teacher:
            return said[:, 3:]
        answers = torch.stack([said[:, 2], said[:, 3] if step else answers[:, 1]], dim=1)
    return answers


@variant("predict_from_weights")
@torch.no_grad()
def with_mean_attention(model, lists):
    """Teacher: what a digit adds to the logits in the streams as the model holds them, with SEP's mean attention.
    Bottleneck: layer by layer, with only the three positions that can be seen."""
    eps = model.cfg.eps
    W_V, W_O, b_V, b_O = model.W_V[:, 0], model.W_O[:, 0], model.b_V[:, 0], model.b_O
    start = layer_norm(model.W_E[:10] + model.W_pos[:2, None], model.blocks[0].ln1, eps)
    sep = layer_norm(model.W_E[SEP] + model.W_pos[2:], model.blocks[0].ln1, eps)
    move = [lambda x, i=i: (x @ W_V[i] + b_V[i]) @ W_O[i] for i in (0, 1)]

    def scores(i, query, keys):
        return (keys @ model.W_K[i, 0] + model.b_K[i, 0]) @ (query @ model.W_Q[i, 0] + model.b_Q[i, 0]) / 4

    first, second = lists.unbind(1)
    if is_teacher(model):
        found = model.W_E[:10] + model.W_pos[0] + move[0](start[0]) + b_O[0]
        one = (move[1](layer_norm(found, model.blocks[1].ln1, eps)) @ model.W_U).double()
        says_1 = (one - one.mean(0)).argmax(-1)
        table = scores(0, sep[0], start[1])
        weight = (table.mean().exp() / (table.mean().exp() + scores(0, sep[0], sep[:1]).exp())).item()
        held = model.W_E[SEP] + model.W_pos[2] + weight * move[0](start[1]) + (1 - weight) * move[0](sep[0]) + b_O[0]
        two = (move[1](layer_norm(held, model.blocks[1].ln1, eps)) @ model.W_U).double()
        says_2 = (two - two.mean(0)).argmax(-1)
        return torch.stack([says_1[first], says_2[second]], dim=1)

    strength = torch.stack([scores(0, sep[0], start[p]) for p in (0, 1)])
    itself = scores(0, sep[0], sep[:1]).expand(len(lists))
    weights = torch.stack([strength[0, first], strength[1, second], itself], dim=1).softmax(1)
    carried = torch.stack(
        [move[0](start[0])[first], move[0](start[1])[second], move[0](sep[0]).expand(len(lists), 16)], 1
    )
    fixed = [scores(0, sep[i], sep[: i + 1]).softmax(0) @ move[0](sep[: i + 1]) for i in (1, 2)]
    stream = [(weights[..., None] * carried).sum(1), *(x.expand(len(lists), 16) for x in fixed)]
    stream = torch.stack([x + model.W_E[SEP] + model.W_pos[2 + i] + b_O[0] for i, x in enumerate(stream)], dim=1)
    seen = layer_norm(stream, model.blocks[1].ln1, eps)
    answers = []
    for i in (1, 2):
        query = seen[:, i] @ model.W_Q[1, 0] + model.b_Q[1, 0]
        row = (seen[:, : i + 1] @ model.W_K[1, 0] + model.b_K[1, 0]) @ query[..., None] / 4
        out = stream[:, i] + (row.softmax(1) * move[1](seen[:, : i + 1])).sum(1) + b_O[1]
        answers.append((layer_norm(out, model.ln_final, eps) @ model.W_U).argmax(-1))
    return torch.stack(answers, dim=1)
