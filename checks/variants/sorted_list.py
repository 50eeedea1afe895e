"""Right answers to the sorted_list exercises, written otherwise than in the solutions."""

import torch
from einops import einsum, reduce

from kata.checking import variant
from solutions.sorted_list import dataset

PATTERN, QUERY = "blocks.0.attn.hook_pattern", "blocks.0.attn.hook_q"
TERMS = ("tok_tok", "tok_pos", "pos_tok", "pos_pos")


# -- dataset.py


@variant("make_sorting_tokens")
def row_by_row(lists):
    return torch.tensor([[50, *numbers, 51, *sorted(numbers)] for numbers in lists.tolist()])


@variant("make_sorting_tokens")
def filled_in(lists):
    made = lists.new_zeros(len(lists), 22)
    made[:, 0], made[:, 11] = 50, 51
    made[:, 1:11] = lists
    made[:, 12:] = lists.gather(1, lists.argsort(1))
    return made


@variant("sorting_metrics")
def from_log_probabilities(logits, tokens):
    steps, answers = logits[:, 11:-1].double(), tokens[:, 12:]
    log_probabilities = steps - steps.logsumexp(-1, keepdim=True)
    best = steps.amax(-1, keepdim=True)
    right = steps.gather(-1, answers[..., None]) == best
    return {
        "step_accuracy": reduce(right.double(), "batch step 1 -> step", "mean"),
        "list_accuracy": (right.sum((1, 2)) == 10).double().mean(),
        "token_accuracy": right.double().mean(),
        "loss": -log_probabilities.gather(-1, answers[..., None]).mean(),
    }


@variant("sorting_metrics")
def counted_in_loops(logits, tokens):
    hits, losses = torch.zeros(len(tokens), 10), []
    for b, sequence in enumerate(tokens):
        for step in range(10):
            here, answer = logits[b, 11 + step], sequence[12 + step]
            hits[b, step] = float(here.argmax() == answer)
            losses.append(torch.nn.functional.cross_entropy(here, answer))
    return {
        "loss": sum(losses).item() / len(losses),
        "token_accuracy": hits.sum() / hits.numel(),
        "list_accuracy": hits.all(1).sum() / len(hits),
        "step_accuracy": hits.mean(0),
    }


# -- circuits.py


@variant("ov_tables")
def one_einsum(model):
    path = "token d_model, d_model d_head, d_head d_out, d_out number -> token number"
    weights = (model.W_V[0, 0], model.W_O[0, 0], model.W_U)
    return einsum(model.W_E, *weights, path), einsum(model.W_pos, *weights, path)


@variant("ov_tables")
def backwards_in_double(model):
    back = model.W_U.double()
    for weight in (model.W_O[0, 0], model.W_V[0, 0], torch.cat([model.W_E, model.W_pos])):
        back = weight.double() @ back
    return back.split([52, 22])


@variant("qk_tables")
def through_the_modules(model):
    attn = model.blocks[0].attn
    sides = {"tok": model.W_E, "pos": model.W_pos}
    made = {}
    for dest, rows in sides.items():
        for src, columns in sides.items():
            made[f"{dest}_{src}"] = (attn.q(rows) / 128**0.25) @ (attn.k(columns) / 128**0.25).mT
    return made


@variant("qk_tables")
def one_table_cut_in_four(model):
    both = torch.cat([model.W_E, model.W_pos]).double()
    circuit = model.W_Q[0, 0].double() @ model.W_K[0, 0].double().mT
    (tok_tok, tok_pos), (pos_tok, pos_pos) = (
        rows.split([52, 22], 1) for rows in (both @ circuit @ both.mT / 128**0.5).split([52, 22])
    )
    return {"pos_pos": pos_pos, "pos_tok": pos_tok, "tok_pos": tok_pos, "tok_tok": tok_tok}


@variant("successor_fraction")
def in_a_loop(tok_tok):
    hits = 0
    for number in range(49):
        scores = tok_tok[number, :50].tolist()
        hits += scores.index(max(scores)) == number + 1
    return hits / 49


@variant("successor_fraction")
def by_the_maximum(tok_tok):
    numbers = tok_tok[:50, :50]
    return (numbers.diagonal(1) == numbers[:-1].amax(1)).float().mean()


@variant("score_terms")
def looked_up(model, tokens):
    scale = model.cfg.d_head**0.5
    circuit = model.W_Q[0, 0] @ model.W_K[0, 0].T
    tok_tok, pos_pos = model.W_E @ circuit @ model.W_E.T, model.W_pos @ circuit @ model.W_pos.T
    tok_pos, pos_tok = model.W_E @ circuit @ model.W_pos.T, model.W_pos @ circuit @ model.W_E.T
    terms = [
        tok_tok[tokens[:, :, None], tokens[:, None, :]],
        tok_pos[tokens],
        pos_tok.T[tokens].mT,
        pos_pos.expand(len(tokens), -1, -1),
    ]
    return torch.stack(terms) / scale


@variant("score_terms")
def from_cached_parts(model, tokens):
    _, kept = model.run_with_cache(tokens)
    attn = model.blocks[0].attn
    k_tok = attn.k(model.W_E[tokens])
    q_tok = attn.q(model.W_E[tokens])
    q_pos, k_pos = kept["q", 0][:, :, 0] - q_tok, kept["k", 0][:, :, 0] - k_tok
    return torch.stack([q @ k.mT for q in (q_tok, q_pos) for k in (k_tok, k_pos)]) / model.cfg.d_head**0.5


# -- attribution.py


@variant("source_attribution")
def all_fifty_logits_first(model, tokens):
    _, kept = model.run_with_cache(tokens)
    ov = model.W_V[0, 0] @ model.W_O[0, 0] @ model.W_U
    moved = (model.W_E @ ov)[tokens] + model.W_pos @ ov
    parts = kept["pattern", 0][:, 0, 11:21, :, None] * moved[:, None]
    direct = (model.W_E[tokens] + model.W_pos)[:, 11:21] @ model.W_U
    answers = tokens[:, 12:]

    def at_the_answer(logits, index):
        return logits.gather(-1, index).squeeze(-1) - logits.mean(-1)

    return at_the_answer(parts, answers[:, :, None, None].expand(-1, -1, 22, -1)), at_the_answer(
        direct, answers[..., None]
    )


@variant("source_attribution")
def from_cached_values(model, tokens):
    _, kept = model.run_with_cache(tokens)
    unembed = model.W_U.double()
    readers = unembed[:, tokens[:, 12:]] - unembed.mean(1)[:, None, None]
    results = kept["v", 0][:, :, 0].double() @ model.W_O[0, 0].double()
    credit = einsum(
        kept["pattern", 0][:, 0, 11:21].double(),
        results,
        readers,
        "batch step src, batch src d_model, d_model batch step -> batch step src",
    )
    here = kept["blocks.0.hook_resid_pre"][:, 11:21].double()
    return [credit, einsum(here, readers, "batch step d_model, d_model batch step -> batch step")]


@variant("split_ov")
def with_a_loop(ov_numbers):
    smooth, bump = ov_numbers.clone(), []
    for s in range(50):
        if s == 0:
            estimate = ov_numbers[s, 1] + (ov_numbers[s, 1] - ov_numbers[s, 2])
        elif s == 49:
            estimate = ov_numbers[s, 48] + (ov_numbers[s, 48] - ov_numbers[s, 47])
        else:
            estimate = ov_numbers[s, [s - 1, s + 1]].mean()
        smooth[s, s] = estimate
        bump.append(ov_numbers[s, s] - estimate)
    return smooth, torch.stack(bump)


@variant("split_ov")
def with_padded_rows(ov_numbers):
    table = ov_numbers.double()
    before = 2 * table[:, :1] - table[:, 1:2]
    after = 2 * table[:, -1:] - table[:, -2:-1]
    wide = torch.cat([before, table, after], 1)
    middle = (wide[:, :-2] + wide[:, 2:]) / 2
    middle[0, 0], middle[49, 49] = 2 * table[0, 1] - table[0, 2], 2 * table[49, 48] - table[49, 47]
    on_diagonal = torch.eye(50, dtype=torch.bool)
    smooth = torch.where(on_diagonal, middle, table)
    return smooth, (table - smooth)[on_diagonal]


# -- ablation.py


def logits_by_hand(model, tokens, pattern):
    """Pattern [batch, dest, src] to logits without running the model."""
    residual = model.W_E[tokens] + model.W_pos
    return (residual + pattern @ (residual @ model.W_V[0, 0]) @ model.W_O[0, 0]) @ model.W_U


def own_pattern(model, tokens):
    residual = model.W_E[tokens] + model.W_pos
    scores = (residual @ model.W_Q[0, 0]) @ (residual @ model.W_K[0, 0]).mT / model.cfg.d_head**0.5
    later = torch.arange(22)[None, :] > torch.arange(22)[:, None]
    return scores.masked_fill(later, float("-inf")).softmax(-1)


@variant("logits_with_terms")
def without_running_the_model(model, tokens, keep):
    token, place = model.W_E[tokens], model.W_pos[None].expand(len(tokens), -1, -1)
    scores = torch.zeros(len(tokens), 22, 22)
    for name in keep:
        q = (token if name.startswith("tok") else place) @ model.W_Q[0, 0]
        k = (token if name.endswith("tok") else place) @ model.W_K[0, 0]
        scores += q @ k.mT / model.cfg.d_head**0.5
    weights = scores.exp().tril()
    return logits_by_hand(model, tokens, weights / weights.sum(-1, keepdim=True))


@variant("logits_with_terms")
def dropped_terms_divided_out(model, tokens, keep):
    dropped = [name for name in TERMS if name not in keep]
    sides = {"tok": model.W_E[tokens].double(), "pos": model.W_pos.double().expand(len(tokens), -1, -1)}
    w_q, w_k = model.W_Q[0, 0].double(), model.W_K[0, 0].double()
    excess = torch.zeros(len(tokens), 22, 22, dtype=torch.float64)
    for name in dropped:
        dest, src = name.split("_")
        excess += sides[dest] @ w_q @ (sides[src] @ w_k).mT / model.cfg.d_head**0.5

    def divide(pattern, hook):
        return (pattern[:, 0].double().log() - excess).softmax(-1)[:, None].to(pattern.dtype)

    with model.hooks(fwd_hooks=[(PATTERN, divide)]):
        return model(tokens)


@variant("block_sources_hook")
def edited_in_place(pattern, hook, sources):
    pattern[:, :, 11:21, sources] = 0.0
    pattern[:, :, 11:21] /= pattern[:, :, 11:21].sum(-1, keepdim=True)
    return pattern


@variant("block_sources_hook")
def with_a_mask(pattern, hook, sources):
    hidden = torch.zeros(22, 22, dtype=torch.bool)
    for source in sources:
        hidden[11:21, source] = True
    left = pattern.masked_fill(hidden, 0)
    return left / left.sum(-1, keepdim=True)


@variant("block_sources_hook")
def by_the_scores(pattern, hook, sources):
    made = pattern.clone()
    scores = pattern[:, :, 11:21].log()
    scores[..., sources] = -torch.inf
    made[:, :, 11:21] = scores.softmax(-1)
    return made


@variant("block_sources")
def blocked_by_hand(model, tokens, sources):
    pattern = own_pattern(model, tokens)
    for step in range(11, 21):
        for source in sources:
            pattern[:, step, source] = 0
        pattern[:, step] /= pattern[:, step].sum(-1, keepdim=True)
    return logits_by_hand(model, tokens, pattern)


@variant("block_sources")
def blocked_through_values(model, tokens, sources):
    residual = (model.W_E[tokens] + model.W_pos).double()
    pattern = own_pattern(model, tokens).double()
    open_ = torch.ones(22, 22, dtype=torch.float64)
    open_[11:21, list(sources)] = 0
    moved = einsum(pattern * open_, residual, "batch dest src, batch src d_model -> batch dest d_model")
    moved = moved / (pattern * open_).sum(-1, keepdim=True)
    ov = model.W_V[0, 0].double() @ model.W_O[0, 0].double()
    return (residual + moved @ ov) @ model.W_U.double()


@variant("remove_term_keep_mass")
def divided_out_of_the_pattern(model, tokens, term):
    sides = {"tok": model.W_E[tokens], "pos": model.W_pos.expand(len(tokens), -1, -1)}
    dest, src = term.split("_")
    removed = sides[dest] @ model.W_Q[0, 0] @ (sides[src] @ model.W_K[0, 0]).mT / model.cfg.d_head**0.5

    def divide(pattern, hook):
        made = pattern.clone()
        part = pattern[:, 0, 11:21, 1:11]
        weights = part / removed[:, 11:21, 1:11].exp()
        made[:, 0, 11:21, 1:11] = part.sum(-1, keepdim=True) * weights / weights.sum(-1, keepdim=True)
        return made

    return model.run_with_hooks(tokens, fwd_hooks=[(PATTERN, divide)])


@variant("remove_term_keep_mass")
def step_by_step(model, tokens, term):
    pattern = own_pattern(model, tokens).double()
    numbers, places = model.W_E[tokens].double(), model.W_pos.double()
    w_q, w_k = model.W_Q[0, 0].double(), model.W_K[0, 0].double()
    for row in range(11, 21):
        scores = torch.zeros(len(tokens), 10, dtype=torch.float64)
        for name in TERMS:
            if name == term:
                continue
            query = (numbers[:, row] if name[:3] == "tok" else places[row]) @ w_q
            keys = (numbers[:, 1:11] if name[4:] == "tok" else places[1:11].expand(len(tokens), -1, -1)) @ w_k
            scores += (keys * query.expand(len(tokens), -1)[:, None]).sum(-1) / 128**0.5
        share = pattern[:, row, 1:11].sum(-1, keepdim=True)
        pattern[:, row, 1:11] = share * scores.softmax(-1)
    return logits_by_hand(model, tokens, pattern.to(model.W_E.dtype))


@variant("shift_query_position")
def queries_made_anew(model, tokens, shift):
    places = torch.arange(22)
    moved = places + shift
    allowed = (places >= 12) & (places <= 20) & (moved >= 12) & (moved <= 20)
    pretended = model.W_pos[torch.where(allowed, moved, places)]
    queries = (model.W_E[tokens] + pretended) @ model.W_Q[0, 0]
    return model.run_with_hooks(tokens, fwd_hooks=[(QUERY, lambda q, hook: queries[:, :, None])])


@variant("shift_query_position")
def position_after_position(model, tokens, shift):
    residual = (model.W_E[tokens] + model.W_pos).double()
    queries, keys = residual @ model.W_Q[0, 0].double(), residual @ model.W_K[0, 0].double()
    for p in range(12, 21):
        if 12 <= p + shift <= 20:
            queries[:, p] = (model.W_E[tokens[:, p]] + model.W_pos[p + shift]).double() @ model.W_Q[0, 0].double()
    scores = einsum(queries, keys, "batch dest d, batch src d -> batch dest src") / 128**0.5
    weights = (scores - scores.amax(-1, keepdim=True)).exp().tril()
    pattern = weights / weights.sum(-1, keepdim=True)
    return logits_by_hand(model, tokens, pattern.to(model.W_E.dtype))


# -- explain.py


@variant("failing_list")
def searched_at_random(model, kind):
    """Random lists of two far clusters, shuffled."""
    generator = torch.Generator().manual_seed(3)
    for _ in range(100):
        low = int(torch.randint(1, 9, (), generator=generator))
        gap = 2 if kind == "gap2" else 1
        numbers = torch.cat([gap * torch.arange(low), 49 - gap * torch.arange(10 - low)])
        numbers = numbers[torch.randperm(10, generator=generator)]
        tokens = dataset.make_sorting_tokens(numbers[None])
        said = model(tokens)[0, 11:21].argmax(-1)
        wrong = said != tokens[0, 12:]
        if kind == "invented":
            wrong = ~torch.isin(said, numbers)
        if wrong.any():
            return numbers
    raise RuntimeError("nothing found")


@variant("failing_list")
def one_low_and_nine_high(model, kind):
    return torch.tensor([0, *(range(33, 50, 2) if kind == "gap2" else range(41, 50))])


@variant("failing_list")
def descending_and_in_int32(model, kind):
    return torch.tensor([49, 47, 45, 43, 41, 39, 37, 35, 33, 0], dtype=torch.int32)


@variant("explain_step")
def source_by_source(tables, counts, previous, step):
    """Twelve sources per list: the ten numbers one by one, BOS and MID."""
    numbers = torch.stack([torch.repeat_interleave(torch.arange(50), row) for row in counts])
    said = []
    for tokens, group in [(numbers[:, i], 1) for i in range(10)] + [(None, 0), (None, 2)]:
        tokens = torch.full_like(previous, 50 + group // 2) if tokens is None else tokens
        score = tables["tok_tok"][previous, tokens] + tables["pos_tok"][step, tokens]
        score = score + tables["tok_pos"][previous, group] + tables["pos_pos"][step, group]
        said.append((score, tables["ov_tok"][tokens] + tables["ov_pos"][group]))
    weights = torch.stack([score for score, _ in said], 1).softmax(-1)
    logits = sum(weights[:, i, None] * rows for i, (_, rows) in enumerate(said))
    return (logits + tables["direct_tok"][previous] + tables["direct_pos"][step]).argmax(-1)


@variant("explain_step")
def normalised_at_the_end(tables, counts, previous, step):
    t = {name: table.double() for name, table in tables.items()}
    weights = (t["tok_tok"][previous] + t["pos_tok"][step]).exp()
    group = (t["tok_pos"][previous] + t["pos_pos"][step]).exp()
    listed = weights[:, :50] * counts * group[:, 1:2]
    bos, mid = weights[:, 50:51] * group[:, :1], weights[:, 51:] * group[:, 2:]
    total = listed.sum(-1, keepdim=True) + bos + mid
    mixture = listed @ (t["ov_tok"][:50] + t["ov_pos"][1]) + bos * (t["ov_tok"][50] + t["ov_pos"][0])
    mixture = mixture + mid * (t["ov_tok"][51] + t["ov_pos"][2])
    logits = mixture / total + t["direct_tok"][previous] + t["direct_pos"][step]
    return logits.max(dim=-1).indices.to(torch.int32)
