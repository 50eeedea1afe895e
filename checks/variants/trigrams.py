"""Right answers to the trigrams exercises, written otherwise than the solutions: they must pass."""

from collections import Counter
from itertools import pairwise

import torch

from kata.checking import variant

PATTERN, POST = "blocks.0.attn.hook_pattern", "blocks.0.mlp.hook_post"


# -- dataset.py


@variant("sample_sequences")
def one_token_at_a_time(table, n_seqs, seq_len, generator):
    rules = {(a, b): int(table[a, b]) for a, b in (table >= 0).nonzero().tolist()}
    rows = []
    for _ in range(n_seqs):
        row = []
        for _ in range(seq_len):
            forced = rules.get(tuple(row[-2:])) if len(row) > 1 else None
            row.append(int(torch.randint(len(table), (), generator=generator)) if forced is None else forced)
        rows.append(row)
    return torch.tensor(rows)


@variant("sample_sequences")
def column_after_column(table, n_seqs, seq_len, generator):
    uniform = torch.full((len(table),), 1 / len(table))

    def draw():
        return torch.multinomial(uniform, n_seqs, replacement=True, generator=generator)

    columns = [draw(), draw()]
    while len(columns) < seq_len:
        forced = table[columns[-2], columns[-1]]
        fresh = draw()
        fresh[forced >= 0] = forced[forced >= 0]
        columns.append(fresh)
    return torch.stack(columns, dim=1)


@variant("required_next_token")
def by_dictionary(tokens, table):
    rules = {(a, b): int(table[a, b]) for a, b in (table >= 0).nonzero().tolist()}
    return torch.tensor([[-1] + [rules.get((a, b), -1) for a, b in pairwise(r)] for r in tokens.tolist()])


@variant("required_next_token")
def by_windows(tokens, table):
    first, second = tokens.unfold(1, 2, 1).unbind(-1)
    return torch.nn.functional.pad(table.flatten()[first * len(table) + second], (1, 0), value=-1)


# -- circuits.py


@variant("score_terms")
@torch.no_grad()
def nine_matrix_products(model, tokens):
    w_q, w_k = model.W_Q[0, 0], model.W_K[0, 0]
    n, scale = len(tokens), model.cfg.d_head**-0.5
    queries = [model.W_E[tokens] @ w_q, model.W_pos[:n] @ w_q, model.b_Q[0, 0].repeat(n, 1)]
    keys = [model.W_E[tokens] @ w_k, model.W_pos[:n] @ w_k, model.b_K[0, 0].repeat(n, 1)]
    return torch.stack([torch.stack([scale * q @ k.T for k in keys]) for q in queries])


@variant("score_terms")
@torch.no_grad()
def through_the_qk_matrix(model, tokens):
    """In double precision, with W_Q and W_K (biases as a row of their own) multiplied first."""
    w_q = torch.cat([model.W_Q[0, 0], model.b_Q[0]]).double()
    w_k = torch.cat([model.W_K[0, 0], model.b_K[0]]).double()
    n, d = len(tokens), model.cfg.d_model
    x = torch.zeros(3, n, d + 1, dtype=torch.float64)
    x[0, :, :d], x[1, :, :d], x[2, :, d] = model.W_E[tokens], model.W_pos[:n], 1
    return torch.einsum("iqd,de,jke->ijqk", x, w_q @ w_k.T / model.cfg.d_head**0.5, x)


@variant("previous_token_attention")
@torch.no_grad()
def softmax_of_two_scores(model, query_pos=1):
    e, pos = model.W_E.double(), model.W_pos.double()
    w_q, w_k, b_q, b_k = (w[0, 0].double() for w in (model.W_Q, model.W_K, model.b_Q, model.b_K))
    query = (e + pos[query_pos]) @ w_q + b_q
    before, own = (e + pos[query_pos - 1]) @ w_k + b_k, (e + pos[query_pos]) @ w_k + b_k
    scores = torch.stack([before @ query.T, (own * query).sum(1).expand(len(e), -1)]) / 4
    return scores.softmax(0)[0]


@variant("previous_token_attention")
@torch.no_grad()
def one_second_token_at_a_time(model, query_pos=1):
    columns = []
    for b in range(model.cfg.d_vocab):
        query = (model.W_E[b] + model.W_pos[query_pos]) @ model.W_Q[0, 0] + model.b_Q[0, 0]
        wanted = model.W_K[0, 0] @ query / model.cfg.d_head**0.5  # what this query finds in a stream; b_K cancels
        before = (model.W_E + model.W_pos[query_pos - 1]) @ wanted
        own = (model.W_E[b] + model.W_pos[query_pos]) @ wanted
        columns.append(1 / (1 + (own - before).exp()))
    return torch.stack(columns, dim=1)


@variant("detected_pairs")
@torch.no_grad()
def detected_from_weights(model, threshold=0.2):
    return softmax_of_two_scores.function(model) > threshold


@variant("detected_pairs")
@torch.no_grad()
def one_first_token_at_a_time(model, threshold=0.2):
    second, rows = torch.arange(model.cfg.d_vocab), []

    def keep(pattern, hook):
        rows.append(pattern[:, 0, -1, 0] > threshold)

    for a in range(model.cfg.d_vocab):
        both = torch.stack([torch.full_like(second, a), second], dim=1)
        model.run_with_hooks(both, fwd_hooks=[(PATTERN, keep)])
    return torch.stack(rows)


@variant("precision_recall")
def with_sets(found, table):
    ours = {tuple(p) for p in found.nonzero().tolist()}
    real = {tuple(p) for p in (table != -1).nonzero().tolist()}
    return len(ours & real) / len(ours) if ours else 0.0, len(ours & real) / len(real)


@variant("precision_recall")
def with_means(found, table):
    real = (table + 1).bool()
    precision = real[found].double().mean().nan_to_num(0.0)
    return precision, found[real].double().mean()


@variant("recency_penalty")
@torch.no_grad()
def position_after_position(model):
    rows = []
    for p in range(1, model.cfg.n_ctx - 1):
        query = (model.W_E + model.W_pos[p]) @ model.W_Q[0, 0] + model.b_Q[0, 0]
        here, before = ((model.W_E + model.W_pos[i]) @ model.W_K[0, 0] + model.b_K[0, 0] for i in (p, p - 1))
        rows.append((query * (here - before)).sum(-1) / 4)
    return torch.stack(rows)


@variant("recency_penalty")
@torch.no_grad()
def penalty_from_the_qk_matrix(model):
    between = (model.W_Q[0, 0] @ model.W_K[0, 0].T).double() / model.cfg.d_head**0.5
    step = model.W_pos[:-1].diff(dim=0).double()
    queries = model.W_E[None] + model.W_pos[1:-1, None]
    bias = (step @ model.W_K[0, 0].double()) @ model.b_Q[0, 0].double() / model.cfg.d_head**0.5
    return torch.einsum("pxd,de,pe->px", queries.double(), between, step) + bias[:, None]


# -- attribution.py


@variant("logit_parts")
@torch.no_grad()
def unembedded_one_by_one(model, tokens, targets):
    _, cache = model.run_with_cache(tokens)
    stack, _ = cache.decompose_resid(layer=1, incl_embeds=True, return_labels=True)
    logits = stack[:, :, -1] @ model.W_U
    logits = torch.cat([logits, model.b_U.expand(1, len(tokens), -1)])
    return logits[:, torch.arange(len(tokens)), targets] - logits.mean(-1)


@variant("logit_parts")
@torch.no_grad()
def by_differences_of_the_stream(model, tokens, targets):
    """Read the stream before and after each part; in double precision."""
    _, cache = model.run_with_cache(tokens)
    position = model.W_pos[tokens.shape[1] - 1]
    stream = [cache["resid_pre", 0][:, -1] - position, cache["resid_pre", 0][:, -1]]
    stream += [cache["resid_mid", 0][:, -1], cache["resid_post", 0][:, -1]]
    levels = torch.stack([torch.zeros_like(stream[0]), *stream]).double()
    weights = model.W_U.double()
    direction = weights.T[targets] - weights.mean(1)
    bias = model.b_U.double()
    return torch.cat([(levels.diff(dim=0) * direction).sum(-1), (bias[targets] - bias.mean())[None]])


@variant("neuron_firing")
@torch.no_grad()
def counted_in_loops(model, tokens, table):
    _, cache = model.run_with_cache(tokens)
    pre = cache["pre", 0]
    sums, numbers = torch.zeros(2, pre.shape[-1]), [0, 0]
    for row, sequence in enumerate(tokens.tolist()):
        for i, b in enumerate(sequence[:-1]):
            kind = 0 if i and table[sequence[i - 1], b] >= 0 else 1
            sums[kind] += pre[row, i] > 0
            numbers[kind] += 1
    return sums / torch.tensor(numbers)[:, None]


@variant("neuron_firing")
@torch.no_grad()
def as_a_weighted_mean(model, tokens, table):
    _, cache = model.run_with_cache(tokens)
    stream = (cache["resid_pre", 0] + cache["attn_out", 0])[:, :-1]
    on = (stream @ model.W_in[0] + model.b_in[0]).sign().clamp(min=0)
    before = torch.nn.functional.pad(tokens, (1, 0), value=0)[:, :-2]
    forced = (table[before, tokens[:, :-1]] >= 0).float()
    forced[:, 0] = 0
    weights = torch.stack([forced, 1 - forced])
    return torch.einsum("kbs,bsu->ku", weights, on) / weights.sum((1, 2))[:, None]


@variant("mlp_jacobian")
@torch.no_grad()
def in_closed_form(model, resid_mid):
    on = (resid_mid @ model.W_in[0] + model.b_in[0] > 0).float()
    return torch.einsum("du,nu,ue->ned", model.W_in[0], on, model.W_out[0])


@variant("mlp_jacobian")
def one_backward_pass_per_output(model, resid_mid):
    with torch.enable_grad():
        x = resid_mid.clone().requires_grad_()
        out = model.blocks[0].mlp(x)
        rows = [torch.autograd.grad(out[:, i].sum(), x, retain_graph=True)[0] for i in range(out.shape[1])]
    return torch.stack(rows, dim=1).detach()


@variant("mlp_jacobian")
def forwards_and_one_by_one(model, resid_mid):
    return torch.stack([torch.func.jacfwd(model.blocks[0].mlp)(x).detach() for x in resid_mid])


@variant("linearise_mlp")
@torch.no_grad()
def counted_as_tuples(model, tokens):
    _, cache = model.run_with_cache(tokens)
    seen = Counter(tuple(p) for row in (cache["post", 0] > 0)[:, :-1].tolist() for p in row)
    on = torch.tensor(seen.most_common(1)[0][0])
    w_in, w_out = model.W_in[0][:, on], model.W_out[0][on]
    return w_out.T @ w_in.T, model.b_in[0][on] @ w_out + model.b_out[0]


@variant("linearise_mlp")
@torch.no_grad()
def at_a_position_that_has_it(model, tokens):
    """Find one position with the most frequent pattern; there, J is the derivative and the constant what is left."""
    _, cache = model.run_with_cache(tokens)
    on = (cache["pre", 0] > 0)[:, :-1].flatten(0, 1)
    _, which, counts = on.unique(dim=0, return_inverse=True, return_counts=True)
    x = cache["resid_mid", 0][:, :-1].flatten(0, 1)[(which == counts.argmax()).nonzero()[0, 0]]
    jacobian = torch.func.jacrev(model.blocks[0].mlp)(x)
    return jacobian, model.blocks[0].mlp(x[None])[0] - jacobian @ x


@variant("subspace_overlap")
def from_svd_bases(w_write, w_read):
    write = torch.linalg.svd(w_write, full_matrices=False).Vh
    read = torch.linalg.svd(w_read, full_matrices=False).U
    return torch.linalg.svdvals(write @ read).clamp(0, 1)


@variant("subspace_overlap")
def from_projections(w_write, w_read):
    """The squared cosines are the eigenvalues of one projection seen from the other subspace."""
    write = torch.linalg.qr(w_write.T.double()).Q
    read = torch.linalg.qr(w_read.double()).Q
    inside = write.T @ read @ read.T @ write
    squares = torch.linalg.eigvalsh(inside).flip(0)[: min(len(w_write), w_read.shape[1])]
    return squares.clamp(0, 1).sqrt()


# -- ablation.py


@variant("force_previous_hook")
def row_put_together(pattern, hook, p_prev):
    batch, head, _, key = pattern.shape
    p_prev = p_prev[:, None, None, None].expand(batch, head, 1, 1)
    row = torch.cat([torch.zeros(batch, head, 1, key - 2), p_prev, 1 - p_prev], dim=-1)
    return torch.cat([pattern[:, :, :-1], row], dim=2)


@variant("force_previous_hook")
def from_one_hot_keys(pattern, hook, p_prev):
    key = torch.arange(pattern.shape[-1]) - pattern.shape[-1]
    row = torch.where(key == -2, p_prev[:, None], torch.where(key == -1, 1 - p_prev[:, None], 0.0))
    last = (torch.arange(pattern.shape[-2]) == pattern.shape[-2] - 1)[:, None]
    return torch.where(last, row[:, None, None], pattern)


@torch.no_grad()
def _mixed_by_hand(model, tokens, p_prev):
    x = model.W_E[tokens] + model.W_pos[:2]
    shares = torch.stack([p_prev, 1 - p_prev], dim=1)
    value = torch.einsum("bs,bsd->bd", shares, x @ model.W_V[0, 0]) + model.b_V[0, 0]
    stream = x[:, 1] + value @ model.W_O[0, 0] + model.b_O[0]
    post = (stream @ model.W_in[0] + model.b_in[0]).relu()
    return stream, post


@variant("with_previous_attention")
@torch.no_grad()
def forced_from_weights(model, tokens, p_prev):
    stream, post = _mixed_by_hand(model, tokens, p_prev)
    return (stream + post @ model.W_out[0] + model.b_out[0]) @ model.W_U + model.b_U


@variant("with_previous_attention")
@torch.no_grad()
def by_the_head_output(model, tokens, p_prev):
    """Mix the two value vectors where the head hands them on."""
    _, cache = model.run_with_cache(tokens)
    v = cache["v", 0].flatten(2)

    def mix(z, hook):
        mixed = p_prev[:, None] * v[:, 0] + (1 - p_prev)[:, None] * v[:, 1]
        z = z.clone()
        z[:, -1] = mixed.view(z[:, -1].shape)
        return z

    return model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_z", mix)])[:, 1]


@variant("accuracy_without_neurons")
@torch.no_grad()
def one_unit_at_a_time(model, trigrams, neurons, fill=None):
    def edit(post, hook):
        post = post.clone()
        for unit in neurons.nonzero().flatten().tolist():
            post[..., unit] = 0.0 if fill is None else fill[unit]
        return post

    right = 0
    for chunk in trigrams.split(100):
        logits = model.run_with_hooks(chunk[:, :2], fwd_hooks=[(POST, edit)])
        right += int((logits[:, 1].argmax(-1) == chunk[:, 2]).sum())
    return right / len(trigrams)


@variant("accuracy_without_neurons")
@torch.no_grad()
def without_from_weights(model, trigrams, neurons, fill=None):
    _, cache = model.run_with_cache(trigrams[:, :2])
    stream, post = cache["resid_mid", 0][:, 1], cache["post", 0][:, 1]
    kept = post * ~neurons + (0 if fill is None else fill * neurons)
    logits = (stream + kept @ model.W_out[0] + model.b_out[0]) @ model.W_U + model.b_U
    return (logits.argmax(-1) == trigrams[:, 2]).float().mean()


# -- explain.py


@variant("current_token_lookup")
@torch.no_grad()
def with_the_attention_forced(model, query_pos=1):
    tokens = torch.arange(model.cfg.d_vocab)[:, None].repeat(1, query_pos + 1)
    tokens[:, 0] = 3  # what stands before does not matter

    def own(pattern, hook):
        return torch.eye(pattern.shape[-1]).expand_as(pattern)

    return model.run_with_hooks(tokens, fwd_hooks=[(PATTERN, own)])[:, -1].argmax(-1)


@variant("current_token_lookup")
@torch.no_grad()
def in_double_precision(model, query_pos=1):
    w = {k: v.double() for k, v in model.state_dict().items()}
    x = w["embed.weight"] + w["pos_embed.weight"][query_pos]

    def linear(x, name):
        return torch.nn.functional.linear(x, w[f"blocks.0.{name}.weight"], w[f"blocks.0.{name}.bias"])

    x = x + linear(linear(x, "attn.v"), "attn.o")
    x = x + linear(linear(x, "mlp.in").relu(), "mlp.out")
    return (x @ w["unembed.weight"].T + w["unembed.bias"]).topk(1, dim=-1).indices[:, 0]


@torch.no_grad()
def _pair_probabilities(model, shares):
    """The probabilities after every pair, if the first token gets this share of the attention."""
    every = torch.arange(model.cfg.d_vocab)
    both = torch.cartesian_prod(every, every)
    stream, post = _mixed_by_hand(model, both, shares.flatten())
    logits = (stream + post @ model.W_out[0] + model.b_out[0]) @ model.W_U + model.b_U
    return logits.softmax(-1).unflatten(0, shares.shape)


def _spread(pair_probabilities, tokens):
    first = torch.cat([tokens[:, :1], tokens[:, :-1]], dim=1)
    return pair_probabilities[first, tokens]


@variant("explain")
def attention_pair_by_pair(model, table, tokens):
    """No trigram table: the soft attention from the weights, and the MLP on the mixture."""
    return _spread(_pair_probabilities(model, softmax_of_two_scores.function(model).float()), tokens)


@variant("explain")
def gate_with_one_weight(model, table, tokens):
    """Every detected pair gets the same share: the mean of the detected ones."""
    shares = softmax_of_two_scores.function(model).float()
    gate = shares > 0.2
    return _spread(_pair_probabilities(model, gate * shares[gate & (table >= 0)].mean()), tokens)


@variant("explain")
def two_modes_in_a_loop(model, table, tokens):
    shares = softmax_of_two_scores.function(model)
    lookup = _pair_probabilities(model, torch.zeros_like(shares).float())[0]
    answer = lookup[tokens].clone()
    for row, sequence in enumerate(tokens.tolist()):
        for i, (a, b) in enumerate(pairwise(sequence), 1):
            if table[a, b] >= 0 and shares[a, b] > 0.2:
                answer[row, i] = 0.01 / (len(table) - 1)
                answer[row, i, table[a, b]] = 0.99
    return answer
