"""Known wrong versions of the permutations exercises, each with what it is called when a learner makes it."""

from itertools import permutations
from math import factorial

import torch
import torch.nn.functional as F

from checks.test_permutations import agreement, first_term
from kata.checking import exchanged, mistake
from solutions.permutations import ablation, attribution, circuits, dataset, explain

# -- dataset.py


def _written(terms, n):
    body = [place for term in terms for place in (*term, n)]
    return torch.tensor([n + 1, n, *body[:-1], n + 2])


@mistake("lookup_table", "Your table says to which place each character goes; asked is which character stands here")
def inverse_permutations(n):
    return _written([tuple(p.index(i) for i in range(n)) for p in permutations(range(n))], n)


@mistake("lookup_table", "You took the digits for the indices: a digit counts only the indices that are still unused")
def digits_not_removed(n):
    digits = [[k // factorial(n - 1 - i) % (n - i) for i in range(n)] for k in range(factorial(n))]
    return _written(digits, n)


@mistake("lookup_table", "Your terms follow each other without a gap: a separator stands behind every term")
def no_separators(n):
    return torch.tensor([n + 1, n, *(i for p in permutations(range(n)) for i in p), n + 2])


@mistake("lookup_table", "Your table ends in a space: what closes the last term is the full stop, code n+2")
def last_separator_is_space(n):
    table = dataset.lookup_table(n)
    table[-1] = n
    return table


@mistake("lookup_table", "Your first term starts one position too early: `>` and a space stand before it")
def no_space_after_start(n):
    table = dataset.lookup_table(n)
    return torch.cat([table[:1], table[2:]])


@mistake("lookup_table", "You exchanged two codes: the space is n and `>` is n+1")
def codes_exchanged(n):
    table = dataset.lookup_table(n)
    return torch.where(table == n, n + 1, torch.where(table == n + 1, n, table))


@mistake("lookup_table", "In your list the first place changes fastest: in lexicographic order it is the last")
def first_place_fastest(n):
    return _written(sorted(permutations(range(n)), key=lambda term: term[::-1]), n)


@mistake("lookup_table", "You numbered the places from 1: the codes of the letters are 0 to n-1")
def from_one(n):
    table = dataset.lookup_table(n)
    return torch.where(table < n, table + 1, table)


def _lists(chars, terms_of):
    rows = []
    for row in chars.tolist():
        body = [token for term in terms_of(row) for token in (*term, 1)]
        rows.append([0, 1, *body[:-1], 2])
    return torch.tensor(rows)


@mistake(
    "build_batch", "You sorted the characters first: the order of the list is that of the input, not of the alphabet"
)
def sorted_characters(chars):
    return dataset.build_batch(chars.sort(dim=1).values)


@mistake("build_batch", "You sorted the finished terms: they keep the order that permuting the places gives")
def sorted_terms(chars):
    return _lists(chars, lambda row: sorted(permutations(row)))


@mistake(
    "build_batch", "You dropped terms that look the same: places are permuted, so equal characters make equal terms"
)
def repeated_terms_dropped(chars):
    return _lists(chars, lambda row: dict.fromkeys(permutations(row)))


@mistake(
    "build_batch",
    "You sorted the terms and dropped those that look the same: places are permuted, in the order of the input",
)
def sorted_set(chars):
    return _lists(chars, lambda row: sorted(set(permutations(row))))


@mistake("build_batch", "Your sequences end in a space: the full stop takes the place of the last separator")
def space_for_the_full_stop(chars):
    made = dataset.build_batch(chars)
    made[:, -1] = dataset.SPACE
    return made


@mistake("build_batch", "Your sequences have a space before the full stop: it follows the last term at once")
def space_before_the_full_stop(chars):
    made = dataset.build_batch(chars)
    return torch.cat([made[:, :-1], torch.full((len(chars), 1), dataset.SPACE), made[:, -1:]], dim=1)


@mistake(
    "build_batch", "You wrote to which place each character goes; a term lists which character stands at each place"
)
def characters_sent_away(chars):
    n = chars.shape[1]
    table = inverse_permutations.function(n)
    return torch.cat([chars, chars.new_tensor([[1, 0, 2]]).expand(len(chars), 3)], dim=1)[:, table]


@mistake("build_batch", "All your sequences are lists of the first row's characters")
def first_row_only(chars):
    return dataset.build_batch(chars[:1].expand_as(chars))


def _metrics(logits, targets):
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    return loss, (logits.argmax(-1) == targets).to(loss.dtype).mean()


@mistake("scored_metrics", "You counted every row: the first term cannot be foreseen, so its rows are not scored")
def no_mask(logits, tokens, n):
    return _metrics(logits[:, :-1], tokens[:, 1:])


@mistake(
    "scored_metrics",
    "Your loss is over the scored rows, but your accuracy is over all rows; both leave the first term out",
)
def accuracy_of_every_row(logits, tokens, n):
    return dataset.scored_metrics(logits, tokens, n)[0], no_mask.function(logits, tokens, n)[1]


@mistake(
    "scored_metrics",
    "Your accuracy is over the scored rows, but your loss is over all rows; both leave the first term out",
)
def loss_of_every_row(logits, tokens, n):
    return no_mask.function(logits, tokens, n)[0], dataset.scored_metrics(logits, tokens, n)[1]


@mistake("scored_metrics", "You begin one row too early: that row is to foretell the last letter of the first term")
def one_row_early(logits, tokens, n):
    return _metrics(logits[:, n:-1], tokens[:, n + 1 :])


@mistake(
    "scored_metrics", "You begin one row too late: the first term's last letter already tells that a space comes next"
)
def one_row_late(logits, tokens, n):
    return _metrics(logits[:, n + 2 : -1], tokens[:, n + 3 :])


@mistake("scored_metrics", "You compare each row with its own token: row p foretells the token at p+1")
def no_shift(logits, tokens, n):
    return _metrics(logits[:, n + 1 : -1], tokens[:, n + 1 : -1])


@mistake("scored_metrics", "You leave out the row that foretells the full stop: it is the last one that is scored")
def no_full_stop(logits, tokens, n):
    return _metrics(logits[:, n + 1 : -2], tokens[:, n + 2 : -1])


@mistake("scored_metrics", "You divide by the number of all rows; the means are over the scored ones")
def divided_by_all_rows(logits, tokens, n):
    rows = tokens.shape[1]
    return tuple(x * (rows - n - 2) / (rows - 1) for x in dataset.scored_metrics(logits, tokens, n))


@mistake("scored_metrics", "Your loss is in bits; asked are nats, the natural logarithm")
def in_bits(logits, tokens, n):
    loss, accuracy = dataset.scored_metrics(logits, tokens, n)
    return loss * 1.4426950, accuracy


@mistake("scored_metrics", "You score the letters alone: the spaces and the full stop count too")
def letters_only(logits, tokens, n):
    targets = tokens[:, n + 2 :]
    rows = targets > 2
    return _metrics(logits[:, n + 1 : -1][rows][None], targets[rows][None])


@mistake("scored_metrics", "Your accuracy counts whole sequences that are right; asked is the share of rows")
def whole_sequences(logits, tokens, n):
    loss, _ = dataset.scored_metrics(logits, tokens, n)
    right = logits[:, n + 1 : -1].argmax(-1) == tokens[:, n + 2 :]
    return loss, right.all(dim=1).to(loss.dtype).mean()


# -- circuits.py


def _codes(n, stop=None):
    table = dataset.lookup_table(n)
    if stop is not None:
        table[-1] = stop
    return table, torch.cat([table[1:], torch.tensor([-1])])


@mistake(
    "admissible_sources",
    "Your sources hold the index that stands at p; to write p+1, the head must look for what comes next",
)
def of_the_current_token(n):
    table, _ = _codes(n)
    return (table[:, None] == table).tril()


@mistake("admissible_sources", "Your rows use positions that come later: a causal head sees only j <= p")
def not_causal(n):
    table, wanted = _codes(n)
    return wanted[:, None] == table


@mistake("admissible_sources", "You left out the spaces: a space that comes next can be copied from an earlier one")
def without_spaces(n):
    table, _ = _codes(n)
    return circuits.admissible_sources(n) & (table < n)


@mistake("admissible_sources", "You let the full stop be copied from a space: no full stop has occurred before")
def full_stop_is_a_space(n):
    table, wanted = _codes(n, stop=n)
    return (wanted[:, None] == table).tril()


@mistake("admissible_sources", "Rows and columns are exchanged: rows are destinations, columns are sources")
def rows_are_sources(n):
    return circuits.admissible_sources(n).T


@mistake("admissible_sources", "You allow the first term alone: every later copy of the wanted index is as good")
def first_term_only(n):
    table, _ = _codes(n)
    allowed = circuits.admissible_sources(n)
    allowed[:, n + 2 :] &= table[n + 2 :] >= n
    return allowed


@mistake("admissible_sources", "You allow one source per row, the first; all of them are asked for")
def first_source_only(n):
    allowed = circuits.admissible_sources(n)
    return allowed & (allowed.cumsum(dim=1) == 1)


@mistake("admissible_sources", "You allow one source per row, the most recent; all of them are asked for")
def latest_source_only(n):
    allowed = circuits.admissible_sources(n)
    return allowed & (allowed.flip(1).cumsum(dim=1).flip(1) == 1)


@mistake(
    "admissible_sources",
    "You leave out j = p",
    accepted="a position never holds the index that comes next, so the table is the same",
)
def without_itself(n):
    return circuits.admissible_sources(n).tril(-1)


def _centred(x):
    return x - x.mean(dim=-1, keepdim=True)


def _ov(model, source, before=None, after=None, v=None, o=None):
    """The OV path with pieces exchanged: what is done to the head's output before W_U."""
    v, o = model.W_V[0, 0] if v is None else v, model.W_O[0, 0] if o is None else o
    weight = model.ln_final.weight
    after = after or (lambda written: _centred(written) * weight)
    return after(source @ v @ o) @ model.W_U


def _source(model):
    return _centred(model.W_E) * model.blocks[0].ln1.weight


@mistake("ov_circuit", "Your rows are logits and your columns source tokens: it is the other way round")
@torch.no_grad()
def ov_transposed(model):
    return circuits.ov_circuit(model).T


@mistake("ov_circuit", "You built W_E W_U, the direct path that goes round the head: put W_V W_O between")
@torch.no_grad()
def direct_path(model):
    return _centred(model.W_E) * model.ln_final.weight @ model.W_U


@mistake("ov_circuit", "You built a QK table: it says who attends to whom, not what is written then")
@torch.no_grad()
def qk_for_ov(model):
    source = _source(model)
    return (source @ model.W_Q[0, 0]) @ (source @ model.W_K[0, 0]).T


@mistake("ov_circuit", "You left both LayerNorms out: neither the centring nor the weights are there")
@torch.no_grad()
def ov_without_layernorms(model):
    return _ov(model, model.W_E, after=lambda written: written)


@mistake("ov_circuit", "You centred, but left the weights of the two LayerNorms out")
@torch.no_grad()
def ov_without_weights(model):
    return _ov(model, _centred(model.W_E), after=_centred)


@mistake("ov_circuit", "You left ln1 out: before W_V the embedding is centred and multiplied by ln1's weight")
@torch.no_grad()
def ov_without_ln1(model):
    return _ov(model, model.W_E)


@mistake("ov_circuit", "You left ln_final out: before W_U the head's output is centred and multiplied by its weight")
@torch.no_grad()
def ov_without_ln_final(model):
    return _ov(model, _source(model), after=lambda written: written)


@mistake("ov_circuit", "You did not centre before ln_final's weight: LayerNorm takes the mean over d_model out first")
@torch.no_grad()
def ov_not_centred_at_the_end(model):
    return _ov(model, _source(model), after=lambda written: written * model.ln_final.weight)


@mistake("ov_circuit", "You did not centre the embedding: ln1 takes its mean over d_model out first")
@torch.no_grad()
def ov_not_centred_at_the_source(model):
    return _ov(model, model.W_E * model.blocks[0].ln1.weight)


@mistake("ov_circuit", "You centre after ln1's weight: LayerNorm centres first and multiplies then")
@torch.no_grad()
def ov_centred_too_late(model):
    return _ov(model, _centred(model.W_E * model.blocks[0].ln1.weight))


@mistake("ov_circuit", "You centre after ln_final's weight: LayerNorm centres first and multiplies then")
@torch.no_grad()
def ov_centred_too_late_at_the_end(model):
    return _ov(model, _source(model), after=lambda written: _centred(written * model.ln_final.weight))


@mistake(
    "ov_circuit", "You divide each embedding by its own scale: no scale belongs in, as it depends on the position too"
)
@torch.no_grad()
def ov_with_scale(model):
    return _ov(model, F.layer_norm(model.W_E, [model.cfg.d_model], model.blocks[0].ln1.weight, None, model.cfg.eps))


@mistake("ov_circuit", "You added biases: ln1's bias or b_V say the same for every source token")
@torch.no_grad()
def ov_with_biases(model):
    constant = model.blocks[0].ln1.bias @ model.W_V[0, 0] + model.b_V[0, 0]
    ends = _centred((_source(model) @ model.W_V[0, 0] + constant) @ model.W_O[0, 0]) * model.ln_final.weight
    return ends @ model.W_U


def _cut(matrix):
    return matrix[circuits.FIRST_LETTER :, circuits.FIRST_LETTER :]


@mistake("copying_score", "You kept the three special tokens: the score is that of the 62 letters")
def all_tokens(matrix):
    values = torch.linalg.eigvals(matrix)
    return (values.real.sum() / values.abs().sum()).item()


@mistake("copying_score", "You summed absolute values on top: a negative eigenvalue must pull the score down")
def absolute_real_parts(matrix):
    values = torch.linalg.eigvals(_cut(matrix))
    return (values.real.abs().sum() / values.abs().sum()).item()


@mistake(
    "copying_score", "You took the absolute value of the sum: the sign says whether letters are raised or held down"
)
def absolute_sum(matrix):
    values = torch.linalg.eigvals(_cut(matrix))
    return (values.sum().abs() / values.abs().sum()).item()


@mistake(
    "copying_score", "You made the matrix symmetric (eigvalsh reads half of it): then there are no complex eigenvalues"
)
def symmetric(matrix):
    values = torch.linalg.eigvalsh(_cut(matrix))
    return (values.sum() / values.abs().sum()).item()


@mistake("copying_score", "You divide by singular values: below the line stand the absolute eigenvalues")
def singular_values(matrix):
    return (_cut(matrix).trace() / torch.linalg.svdvals(_cut(matrix)).sum()).item()


@mistake(
    "copying_score", "You divide by the absolute real parts: the whole absolute value belongs there, imaginary part too"
)
def only_real_parts(matrix):
    values = torch.linalg.eigvals(_cut(matrix)).real
    return (values.sum() / values.abs().sum()).item()


@mistake("copying_score", "You counted positive eigenvalues: large ones must weigh more than small ones")
def counted(matrix):
    return (torch.linalg.eigvals(_cut(matrix)).real > 0).double().mean().item()


@mistake("copying_score", "You compared the diagonal with the whole matrix: asked are its eigenvalues")
def diagonal_share(matrix):
    return (_cut(matrix).trace() / _cut(matrix).abs().sum()).item()


def _attend(model, queries, keys=None, divide=None, causal=True, exchanged=False, biases=True):
    """The pattern of these normalised residuals, with one thing done otherwise."""
    q, k = (model.W_Q[0, 0], model.b_Q[0, 0]), (model.W_K[0, 0], model.b_K[0, 0])
    q, k = (k, q) if exchanged else (q, k)
    keys = queries if keys is None else keys
    scores = (queries @ q[0] + biases * q[1]) @ (keys @ k[0] + biases * k[1]).mT
    scores = scores / (model.cfg.d_head**0.5 if divide is None else divide)
    if causal:
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(diagonal=1)
        scores = scores.masked_fill(future, float("-inf"))
    return scores.softmax(dim=-1)


def _ln1(model, x, weight=True, bias=True):
    ln1 = model.blocks[0].ln1
    normed = _centred(x) / (x.var(dim=-1, correction=0, keepdim=True) + model.cfg.eps).sqrt()
    return normed * (ln1.weight if weight else 1) + (ln1.bias if bias else 0)


@mistake(
    "positional_pattern",
    "Query and key are exchanged: the destination asks through W_Q, the source answers through W_K",
)
@torch.no_grad()
def positional_exchanged(model):
    return _attend(model, _ln1(model, model.W_pos), exchanged=True)


@mistake("positional_pattern", "You did not divide the scores by sqrt(d_head): the pattern is far too sharp")
@torch.no_grad()
def positional_unscaled(model):
    return _attend(model, _ln1(model, model.W_pos), divide=1)


@mistake("positional_pattern", "You divided the scores by d_head instead of its square root: the pattern is too flat")
@torch.no_grad()
def positional_too_flat(model):
    return _attend(model, _ln1(model, model.W_pos), divide=model.cfg.d_head)


@mistake("positional_pattern", "You divided by sqrt(d_model): queries and keys have d_head entries")
@torch.no_grad()
def positional_sqrt_d_model(model):
    return _attend(model, _ln1(model, model.W_pos), divide=model.cfg.d_model**0.5)


@mistake("positional_pattern", "You left LayerNorm out: without the division by its scale the softmax is nearly flat")
@torch.no_grad()
def positional_without_ln(model):
    return _attend(model, model.W_pos)


@mistake("positional_pattern", "You left ln1's weight and bias out")
@torch.no_grad()
def positional_without_affine(model):
    return _attend(model, _ln1(model, model.W_pos, weight=False, bias=False))


@mistake("positional_pattern", "You left ln1's bias out")
@torch.no_grad()
def positional_without_ln_bias(model):
    return _attend(model, _ln1(model, model.W_pos, bias=False))


@mistake("positional_pattern", "You left the biases of queries and keys out")
@torch.no_grad()
def positional_without_biases(model):
    return _attend(model, _ln1(model, model.W_pos), biases=False)


@mistake(
    "positional_pattern", "Your rows look into the future: mask the sources after the destination before the softmax"
)
@torch.no_grad()
def positional_not_causal(model):
    return _attend(model, _ln1(model, model.W_pos), causal=False)


@mistake("positional_pattern", "You masked after the softmax: your rows do not sum to 1")
@torch.no_grad()
def positional_masked_late(model):
    return _attend(model, _ln1(model, model.W_pos), causal=False).tril()


@mistake(
    "positional_pattern", "Your LayerNorm divides by torch.std with n-1 below the line: LayerNorm uses n (correction=0)"
)
@torch.no_grad()
def positional_unbiased(model):
    x = model.W_pos
    scale = (x.var(dim=-1, keepdim=True) + model.cfg.eps).sqrt()
    return _attend(model, _centred(x) / scale * model.blocks[0].ln1.weight + model.blocks[0].ln1.bias)


@mistake("positional_pattern", "Your LayerNorm has no epsilon: position embeddings are small enough to feel it")
@torch.no_grad()
def positional_without_eps(model):
    x = model.W_pos
    scale = x.std(dim=-1, correction=0, keepdim=True)
    return _attend(model, _centred(x) / scale * model.blocks[0].ln1.weight + model.blocks[0].ln1.bias)


@mistake(
    "positional_pattern", "You added the mean token embedding to the positions; asked is the pattern of W_pos alone"
)
@torch.no_grad()
def positional_with_mean_token(model):
    return _attend(model, _ln1(model, model.W_pos + model.W_E.mean(dim=0)))


@mistake(
    "positional_pattern",
    "You left out b_K",
    accepted="q . b_K is the same for all sources of a row, and the softmax drops it",
)
@torch.no_grad()
def positional_without_key_bias(model):
    normed = _ln1(model, model.W_pos)
    q = normed @ model.W_Q[0, 0] + model.b_Q[0, 0]
    scores = q @ (normed @ model.W_K[0, 0]).T / model.cfg.d_head**0.5
    future = torch.ones_like(scores, dtype=torch.bool).triu(diagonal=1)
    return scores.masked_fill(future, float("-inf")).softmax(dim=-1)


def _blank(model, tokens, letters="mean", specials=False, own_scale=False):
    """ln1's output with the letters' embeddings exchanged for a constant."""
    ln1, positions, table = model.blocks[0].ln1, model.W_pos[: tokens.shape[1]], model.W_E.clone()
    if letters == "mean":
        table[3:] = table[3:].mean(dim=0)
    elif letters == "zero":
        table[3:] = 0
    elif letters == "all":
        table[3:] = table.mean(dim=0)
    elif letters == "batch":
        table[3:] = table[tokens[tokens > 2]].mean(dim=0)
    if specials:
        table[:] = model.W_E.mean(dim=0)
    blank, real = table[tokens] + positions, model.W_E[tokens] + positions
    scale = ((blank if own_scale else real).var(dim=-1, correction=0, keepdim=True) + model.cfg.eps).sqrt()
    return _centred(blank) / scale * ln1.weight + ln1.bias


@mistake(
    "identity_free_pattern",
    "You took the identity out of the scale as well: keep the scale that ln1 has on the real tokens",
)
@torch.no_grad()
def scale_recomputed(model, tokens):
    return _attend(model, _blank(model, tokens, own_scale=True))


@mistake(
    "identity_free_pattern", "You set the letters to zero: their mean embedding says `this is a letter`, and must stay"
)
@torch.no_grad()
def letters_zeroed(model, tokens):
    return _attend(model, _blank(model, tokens, letters="zero"))


@mistake("identity_free_pattern", "You gave `>`, space and full stop a mean embedding too: they keep their own")
@torch.no_grad()
def specials_too(model, tokens):
    return _attend(model, _blank(model, tokens, specials=True))


@mistake("identity_free_pattern", "Your mean is over all 65 tokens: it is that of the 62 letters")
@torch.no_grad()
def mean_of_all_tokens(model, tokens):
    return _attend(model, _blank(model, tokens, letters="all"))


@mistake("identity_free_pattern", "Your mean is over the letters of this batch: it is that of all 62 letters")
@torch.no_grad()
def mean_of_the_batch(model, tokens):
    return _attend(model, _blank(model, tokens, letters="batch"))


@mistake("identity_free_pattern", "The letters are blank in your keys only: the queries must not know them either")
@torch.no_grad()
def keys_only(model, tokens):
    return _attend(model, _blank(model, tokens, letters="real"), _blank(model, tokens))


@mistake("identity_free_pattern", "The letters are blank in your queries only: the keys must not know them either")
@torch.no_grad()
def queries_only(model, tokens):
    return _attend(model, _blank(model, tokens), _blank(model, tokens, letters="real"))


@mistake("identity_free_pattern", "This is the model's real pattern: no letter was replaced")
@torch.no_grad()
def real_pattern(model, tokens):
    return _attend(model, _blank(model, tokens, letters="real"))


@mistake("identity_free_pattern", "You took all token embeddings away: a letter must still be told from a space")
@torch.no_grad()
def positions_only(model, tokens):
    return circuits.positional_pattern(model)[None].expand(len(tokens), -1, -1)


# -- attribution.py


def _pattern(model, tokens):
    _, cache = model.run_with_cache(tokens, names_filter=attribution.PATTERN)
    return cache[attribution.PATTERN][:, 0]


@mistake(
    "attention_on_admissible", "Your pattern is transposed: in the cache rows are destinations, columns are sources"
)
@torch.no_grad()
def pattern_transposed(model, tokens, n):
    return (_pattern(model, tokens).mT * circuits.admissible_sources(n)).sum(-1).mean(0)


@mistake(
    "attention_on_admissible",
    "You summed over destinations: that is what each source receives, not what each row spends",
)
@torch.no_grad()
def received(model, tokens, n):
    return (_pattern(model, tokens) * circuits.admissible_sources(n)).sum(1).mean(0)


@mistake("attention_on_admissible", "You averaged over the sources: the mass of a row is a sum")
@torch.no_grad()
def mean_over_sources(model, tokens, n):
    return (_pattern(model, tokens) * circuits.admissible_sources(n)).mean(-1).mean(0)


@mistake("attention_on_admissible", "You divided by the number of right sources: asked is their attention together")
@torch.no_grad()
def per_source(model, tokens, n):
    allowed = circuits.admissible_sources(n)
    return (_pattern(model, tokens) * allowed).sum(-1).mean(0) / allowed.sum(-1).clamp(min=1)


@mistake("attention_on_admissible", "You summed over the batch: asked is the mean of its sequences")
@torch.no_grad()
def summed_batch(model, tokens, n):
    return (_pattern(model, tokens) * circuits.admissible_sources(n)).sum(-1).sum(0)


@mistake(
    "attention_on_admissible", "Your sources hold what stands at p: row p writes p+1 and looks for what comes there"
)
@torch.no_grad()
def mass_on_current(model, tokens, n):
    return (_pattern(model, tokens) * of_the_current_token.function(n)).sum(-1).mean(0)


@mistake("attention_on_admissible", "You left the spaces out: rows whose next token is a space have sources too")
@torch.no_grad()
def mass_on_letters(model, tokens, n):
    return (_pattern(model, tokens) * without_spaces.function(n)).sum(-1).mean(0)


@mistake("attention_on_admissible", "You count spaces as sources of the full stop: no full stop has occurred before")
@torch.no_grad()
def stop_from_spaces(model, tokens, n):
    return (_pattern(model, tokens) * full_stop_is_a_space.function(n)).sum(-1).mean(0)


@mistake(
    "attention_on_admissible",
    "You compare tokens, not indices: where two letters are equal, a source of one is no source of the other",
)
@torch.no_grad()
def by_equal_tokens(model, tokens, n):
    following = F.pad(tokens[:, 1:], (0, 1), value=-1)
    return (_pattern(model, tokens) * (following[:, :, None] == tokens[:, None])).sum(-1).mean(0)


@mistake("attention_on_admissible", "Your result is that of the first sequence: take the mean over the batch")
@torch.no_grad()
def first_sequence_only(model, tokens, n):
    return attribution.attention_on_admissible(model, tokens[:1], n)


@mistake("attention_on_admissible", "Your result stands one row too late: entry p is the row of p, which writes p+1")
@torch.no_grad()
def mass_one_row_late(model, tokens, n):
    return attribution.attention_on_admissible(model, tokens, n).roll(1)


def _run(model, tokens):
    names = [attribution.PATTERN, attribution.V, attribution.Z, attribution.FINAL_SCALE, "blocks.0.ln1.hook_scale"]
    logits, cache = model.run_with_cache(tokens, names_filter=names)
    return logits, cache


def _read(model, cache, target, scale=None, centre=True, weight=True, mean_token=False):
    """The direction that reads the logit of `target` [batch, seq-1] from the residual stream before ln_final."""
    unembed = model.W_U.T[target]
    if mean_token:
        unembed = unembed - model.W_U.mean(dim=-1)
    direction = unembed * model.ln_final.weight if weight else unembed
    direction = _centred(direction) if centre else direction
    return direction / (cache[attribution.FINAL_SCALE][:, :-1] if scale is None else scale), unembed


def _parts(model, tokens, target=None, ln_bias=True, extra="attn", scale_of="", **how):
    logits, cache = _run(model, tokens)
    if target == "answer":
        target = logits[:, :-1].argmax(-1)
    target = tokens[:, 1:] if target is None else target
    if scale_of:
        how["scale"] = cache[scale_of][:, :-1]
    reader, unembed = _read(model, cache, target, **how)
    moved = cache[attribution.Z][:, :-1, 0] @ model.W_O[0, 0]
    value_bias = model.b_V[0, 0] @ model.W_O[0, 0]
    parts = {
        "token_embed": model.W_E[tokens[:, :-1]] * reader,
        "pos_embed": model.W_pos[: tokens.shape[1] - 1] * reader,
        "attn": (moved if extra == "attn" else moved - value_bias) * reader,
        "attn_bias": (model.b_O[0] if extra == "attn" else model.b_O[0] + value_bias) * reader,
        "ln_bias": (model.ln_final.bias if ln_bias else 0 * model.ln_final.bias) * unembed,
    }
    return {name: F.pad(part.sum(dim=-1), (0, 1)) for name, part in parts.items()}


@mistake("logit_attribution", "You did not divide by ln_final's scale: your parts do not add up to the logit")
@torch.no_grad()
def parts_without_scale(model, tokens):
    return _parts(model, tokens, scale=1.0)


@mistake("logit_attribution", "You did not centre: ln_final takes each part's mean over d_model out")
@torch.no_grad()
def parts_not_centred(model, tokens):
    return _parts(model, tokens, centre=False)


@mistake("logit_attribution", "You split the logit of the token that stands at p: asked is that of the next one")
@torch.no_grad()
def parts_of_current(model, tokens):
    return _parts(model, tokens, target=tokens[:, :-1])


@mistake(
    "logit_attribution", "You split the logit of the model's answer: asked is that of the token which really comes next"
)
@torch.no_grad()
def parts_of_answer(model, tokens):
    return _parts(model, tokens, target="answer")


@mistake("logit_attribution", "ln_final's bias is missing: it raises some logits by itself")
@torch.no_grad()
def parts_without_ln_bias(model, tokens):
    return _parts(model, tokens, ln_bias=False)


@mistake("logit_attribution", "ln_final's weight is missing in your parts")
@torch.no_grad()
def parts_without_ln_weight(model, tokens):
    return _parts(model, tokens, weight=False)


@mistake("logit_attribution", "You divided by ln1's scale: the parts pass through ln_final")
@torch.no_grad()
def parts_with_ln1_scale(model, tokens):
    return _parts(model, tokens, scale_of="blocks.0.ln1.hook_scale")


@mistake(
    "logit_attribution",
    "You took the mean over all tokens' logits out: that is the lead over the others, not the logit",
)
@torch.no_grad()
def parts_as_lead(model, tokens):
    return _parts(model, tokens, mean_token=True)


@mistake("logit_attribution", "You moved b_V to the bias: what the head carries from its sources includes b_V")
@torch.no_grad()
def value_bias_moved(model, tokens):
    return _parts(model, tokens, extra="bias")


def _sources(model, tokens, target=None, bias="", flat=False, source_scale=False, **how):
    _, cache = _run(model, tokens)
    target = tokens[:, 1:] if target is None else target
    if source_scale:
        how["scale"] = 1.0
    reader, _ = _read(model, cache, target, **how)
    values = cache[attribution.V][:, :, 0]
    values = values - model.b_V[0, 0] if bias == "no b_V" else values
    written = values @ model.W_O[0, 0] + (model.b_O[0] if bias == "b_O" else 0)
    if source_scale:
        written = written / cache[attribution.FINAL_SCALE]
    pattern = cache[attribution.PATTERN][:, 0, :-1]
    pattern = torch.ones_like(pattern).tril() if flat else pattern
    return F.pad(pattern * (reader @ written.mT), (0, 0, 0, 1))


@mistake("source_attribution", "You did not divide by ln_final's scale")
@torch.no_grad()
def sources_without_scale(model, tokens):
    return _sources(model, tokens, scale=1.0)


@mistake(
    "source_attribution", "You divided by the scale at the source: ln_final acts at the destination, after the head"
)
@torch.no_grad()
def scale_of_the_source(model, tokens):
    return _sources(model, tokens, source_scale=True)


@mistake("source_attribution", "You did not centre: ln_final takes the mean over d_model out of what the head writes")
@torch.no_grad()
def sources_not_centred(model, tokens):
    return _sources(model, tokens, centre=False)


@mistake("source_attribution", "ln_final's weight is missing")
@torch.no_grad()
def sources_without_ln_weight(model, tokens):
    return _sources(model, tokens, weight=False)


@mistake("source_attribution", "You read the logit of the token at p: asked is that of the next one")
@torch.no_grad()
def sources_of_current(model, tokens):
    return _sources(model, tokens, target=tokens[:, :-1])


@mistake(
    "source_attribution", "The attention is missing: this is what each source would write if it were attended to fully"
)
@torch.no_grad()
def without_attention(model, tokens):
    return _sources(model, tokens, flat=True)


@mistake("source_attribution", "b_V is missing: it is part of every value")
@torch.no_grad()
def without_value_bias(model, tokens):
    return _sources(model, tokens, bias="no b_V")


@mistake("source_attribution", "You gave b_O to the sources: it is added once, after the head")
@torch.no_grad()
def with_output_bias(model, tokens):
    return _sources(model, tokens, bias="b_O")


@mistake("source_attribution", "You took the mean over all tokens' logits out: asked is the part of the logit itself")
@torch.no_grad()
def sources_as_lead(model, tokens):
    return _sources(model, tokens, mean_token=True)


@mistake("source_attribution", "Rows and columns are exchanged: [b, p, j] is what p gets from j")
@torch.no_grad()
def sources_transposed(model, tokens):
    return attribution.source_attribution(model, tokens).mT


# -- ablation.py

HOOKS = ablation.HOOKS


def _kept(model, tokens, name):
    return model.run_with_cache(tokens, names_filter=name)[1][name]


def _hooked(model, tokens, name, function):
    return model.run_with_hooks(tokens, fwd_hooks=[(name, function)])


@mistake("ablate_head", "Nothing was ablated: these are the model's own logits (the hook must return what it edited)")
@torch.no_grad()
def ablation_without_effect(model, tokens, mode, reference):
    return model(tokens)


@mistake(
    "ablate_head", "Your mean is over the sequences that you ablate: it still holds their letters. Use the reference"
)
@torch.no_grad()
def mean_of_own_batch(model, tokens, mode, reference):
    return ablation.ablate_head(model, tokens, mode, tokens)


@mistake("ablate_head", "Your mean is over the positions too: each position keeps a mean of its own")
@torch.no_grad()
def mean_over_positions(model, tokens, mode, reference):
    if mode == "zero":
        return ablation.ablate_head(model, tokens, mode, reference)
    constant = _kept(model, reference, HOOKS["z"]).mean(dim=(0, 1))
    return _hooked(model, tokens, HOOKS["z"], lambda z, hook: constant.expand_as(z))


@mistake("ablate_head", "You used one reference sequence: the mean is over all of them")
@torch.no_grad()
def one_reference(model, tokens, mode, reference):
    return ablation.ablate_head(model, tokens, mode, reference[:1])


@mistake("ablate_head", "You exchanged the two modes")
@torch.no_grad()
def modes_exchanged(model, tokens, mode, reference):
    return ablation.ablate_head(model, tokens, "mean" if mode == "zero" else "zero", reference)


@mistake("ablate_head", "You take zero whatever the mode: `mean` puts the reference's mean there")
@torch.no_grad()
def always_zero(model, tokens, mode, reference):
    return ablation.ablate_head(model, tokens, "zero", reference)


@mistake("ablate_head", "In mode zero you took b_O away too: zero is for z, before W_O")
@torch.no_grad()
def output_zeroed(model, tokens, mode, reference):
    if mode == "mean":
        return ablation.ablate_head(model, tokens, mode, reference)
    return _hooked(model, tokens, "blocks.0.hook_attn_out", lambda x, hook: torch.zeros_like(x))


@mistake("ablate_head", "You ablated position 0 alone: z is [batch, pos, head, d_head], the head is its third axis")
@torch.no_grad()
def position_for_head(model, tokens, mode, reference):
    constant = 0.0 if mode == "zero" else _kept(model, reference, HOOKS["z"]).mean(dim=0)[0]

    def edit(z, hook):
        z = z.clone()
        z[:, 0] = constant
        return z

    return _hooked(model, tokens, HOOKS["z"], edit)


@mistake(
    "restrict_sources", "Nothing was restricted: these are the model's own logits (the hook must return what it edited)"
)
@torch.no_grad()
def restriction_without_effect(model, tokens, allowed):
    return model(tokens)


def _restricted(model, tokens, edit):
    return _hooked(model, tokens, HOOKS["pattern"], lambda pattern, hook: edit(pattern))


@mistake("restrict_sources", "Your rows do not sum to 1: scale what is left of the attention up again")
@torch.no_grad()
def not_scaled_up(model, tokens, allowed):
    return _restricted(model, tokens, lambda x: torch.where((x * allowed).sum(-1, keepdim=True) > 0, x * allowed, x))


@mistake(
    "restrict_sources", "You only multiplied by the mask: scale the rest up to 1, and keep rows that have nothing left"
)
@torch.no_grad()
def only_masked(model, tokens, allowed):
    return _restricted(model, tokens, lambda x: x * allowed)


@mistake("restrict_sources", "You blocked the allowed sources and left the others")
@torch.no_grad()
def blocked_the_allowed(model, tokens, allowed):
    return ablation.restrict_sources(model, tokens, ~allowed)


@mistake("restrict_sources", "You used the mask transposed: its rows are destinations")
@torch.no_grad()
def mask_transposed(model, tokens, allowed):
    return ablation.restrict_sources(model, tokens, allowed.T)


@mistake("restrict_sources", "Your rows without any allowed source are all zero: they keep their pattern")
@torch.no_grad()
def empty_rows_zero(model, tokens, allowed):
    return _restricted(model, tokens, lambda x: (x * allowed) / (x * allowed).sum(-1, keepdim=True).clamp(min=1e-30))


@mistake("restrict_sources", "You divided 0 by 0: rows without any allowed source keep their pattern")
@torch.no_grad()
def empty_rows_nan(model, tokens, allowed):
    return _restricted(model, tokens, lambda x: (x * allowed) / (x * allowed).sum(-1, keepdim=True))


@mistake("restrict_sources", "You spread the attention evenly: the allowed sources keep their proportions")
@torch.no_grad()
def spread_evenly(model, tokens, allowed):
    def edit(x):
        even = allowed.tril().to(x.dtype)
        total = even.sum(-1, keepdim=True)
        return torch.where(total > 0, even / total.clamp(min=1), x)

    return _restricted(model, tokens, edit)


@mistake("restrict_sources", "You took a softmax of the pattern: it is a softmax already, so divide by the sum")
@torch.no_grad()
def softmax_twice(model, tokens, allowed):
    return _restricted(
        model,
        tokens,
        lambda x: torch.where((x * allowed).sum(-1, keepdim=True) > 0, (x * allowed).softmax(-1), x),
    )


@mistake("transplant_hook", "Your hook returns nothing: the model then goes on with what it had")
def hook_returns_nothing(activation, hook, donor):
    return None


@mistake("transplant_hook", "Your hook gives back the activation it was called with: nothing is transplanted")
def hook_keeps(activation, hook, donor):
    return activation


@mistake("transplant_hook", "You added the donor's activation to that of this run: it takes its place")
def hook_adds(activation, hook, donor):
    return activation + donor


@mistake("transplant_hook", "You mixed the two runs: the donor's activation takes the whole place")
def hook_mixes(activation, hook, donor):
    return (activation + donor) / 2


@mistake("transplant_hook", "You transplanted the first sequence alone: every sequence of the batch gets its donor's")
def hook_first_sequence(activation, hook, donor):
    return donor[:1].expand_as(donor)


@mistake("transplant_hook", "You averaged the donors: sequence b of the donor gives to sequence b")
def hook_mean_donor(activation, hook, donor):
    return donor.mean(dim=0, keepdim=True).expand_as(donor)


@mistake("transplant_hook", "You transplanted the last position alone: all positions are the donor's")
def hook_last_position(activation, hook, donor):
    axis = 2 if str(hook.name).endswith("pattern") else 1
    made = activation.clone()
    made.select(axis, -1).copy_(donor.select(axis, -1))
    return made


@mistake("transplant", "Nothing was transplanted: these are the logits on the tokens")
@torch.no_grad()
def transplant_without_effect(model, tokens, donor, part):
    return model(tokens)


@mistake("transplant", "These are the donor's own logits: only one part comes from the donor, the run is on the tokens")
@torch.no_grad()
def donor_run(model, tokens, donor, part):
    return model(donor)


@mistake("transplant", "The roles are exchanged: the run is on the tokens, the part comes from the donor")
@torch.no_grad()
def roles_exchanged(model, tokens, donor, part):
    return ablation.transplant(model, donor, tokens, part)


@mistake("transplant", "For v you transplanted z: z is attention times values, so the donor's attention came along")
@torch.no_grad()
def z_for_v(model, tokens, donor, part):
    if part != "v":
        return ablation.transplant(model, tokens, donor, part)
    kept = _kept(model, donor, HOOKS["z"])
    return _hooked(model, tokens, HOOKS["z"], lambda z, hook: kept)


@mistake("transplant", "You transplant the values whatever part is asked for")
@torch.no_grad()
def always_values(model, tokens, donor, part):
    return ablation.transplant(model, tokens, donor, "v")


@mistake("transplant", "Queries and keys are exchanged")
@torch.no_grad()
def queries_for_keys(model, tokens, donor, part):
    return ablation.transplant(model, tokens, donor, {"q": "k", "k": "q"}.get(part, part))


@mistake("transplant", "You averaged the donors: sequence b of the donor gives to sequence b of the tokens")
@torch.no_grad()
def mean_donor(model, tokens, donor, part):
    kept = _kept(model, donor, HOOKS[part]).mean(dim=0, keepdim=True)
    return _hooked(model, tokens, HOOKS[part], lambda x, hook: kept.expand_as(x))


@mistake("transplant", "You mixed the two runs: the donor's part takes the whole place")
@torch.no_grad()
def mixed(model, tokens, donor, part):
    kept = _kept(model, donor, HOOKS[part])
    return _hooked(model, tokens, HOOKS[part], lambda x, hook: (x + kept) / 2)


# -- explain.py


def _scores(model, tokens):
    """Mean scores over the batch, from queries and keys."""
    _, cache = model.run_with_cache(tokens, names_filter=[explain.Q, explain.K])
    return (cache[explain.Q][:, :, 0] @ cache[explain.K][:, :, 0].mT).mean(0) / model.cfg.d_head**0.5


def _fit(scores, mask, n, rounds=30, centre="index"):
    """Row levels and source strengths by alternation, on the cells of the mask."""
    mask = mask.to(scores.dtype)
    cells_of_row, cells_of_source = mask.sum(1).clamp(min=1), mask.sum(0).clamp(min=1)
    strength = scores.new_zeros(len(scores))
    if rounds == 0:
        strength = (scores * mask).sum(0) / cells_of_source
    for _ in range(rounds):
        level = ((scores * mask).sum(1) - mask @ strength) / cells_of_row
        strength = ((scores * mask).sum(0) - level @ mask) / cells_of_source
    used, table = mask.sum(0) > 0, dataset.lookup_table(n)
    if centre == "all":
        strength[used] -= strength[used].mean()
    for index in table.unique() if centre == "index" else ():
        group = used & (table == index)
        if group.any():
            strength[group] -= strength[group].mean()
    return torch.where(used, strength, 0.0)


def _cells(n):
    return without_spaces.function(n)


@mistake(
    "key_strength",
    "You fitted the attention pattern: the scores are what stands before the softmax (the cached hook_attn_scores is "
    "the pattern)",
)
@torch.no_grad()
def pattern_for_scores(model, tokens, n):
    return _fit(_pattern(model, tokens).mean(0), _cells(n), n)


@mistake(
    "key_strength", "You averaged each column of the scores: rows have levels of their own, which must be fitted along"
)
@torch.no_grad()
def column_means(model, tokens, n):
    return _fit(_scores(model, tokens), _cells(n), n, rounds=0)


@mistake(
    "key_strength",
    "You took the levels out once and stopped: levels and strengths depend on each other, so go round again",
)
@torch.no_grad()
def one_round(model, tokens, n):
    return _fit(_scores(model, tokens), _cells(n), n, rounds=1)


@mistake(
    "key_strength", "Your strengths have mean 0 over all positions: each index has a mean of its own to be taken out"
)
@torch.no_grad()
def one_mean_for_all(model, tokens, n):
    return _fit(_scores(model, tokens), _cells(n), n, centre="all")


@mistake("key_strength", "The constant of each index is still in your strengths: their mean is to be 0 for every index")
@torch.no_grad()
def not_centred(model, tokens, n):
    return _fit(_scores(model, tokens), _cells(n), n, centre="")


@mistake("key_strength", "Your scores are not divided by sqrt(d_head) = 8")
@torch.no_grad()
def strength_unscaled(model, tokens, n):
    return explain.key_strength(model, tokens, n) * model.cfg.d_head**0.5


@mistake(
    "key_strength",
    "You fitted the cells whose source holds the index that stands at p: take those that hold the next one",
)
@torch.no_grad()
def strength_of_current(model, tokens, n):
    table, _ = _codes(n)
    return _fit(_scores(model, tokens), of_the_current_token.function(n) & (table < n), n)


@mistake("key_strength", "You fitted cells above the diagonal too: the head never sees a source after its row")
@torch.no_grad()
def strength_not_causal(model, tokens, n):
    table, wanted = _codes(n)
    return _fit(_scores(model, tokens), (wanted[:, None] == table) & (table < n), n)


@mistake("key_strength", "You fitted all cells up to the diagonal: only those count from which the row could copy")
@torch.no_grad()
def all_cells(model, tokens, n):
    full = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril()
    return _fit(_scores(model, tokens), full, n)


@mistake(
    "key_strength", "You fitted the rows of the spaces too: their sources get 0, as no letter row can copy from them"
)
@torch.no_grad()
def spaces_too(model, tokens, n):
    return _fit(_scores(model, tokens), circuits.admissible_sources(n), n)


@mistake("key_strength", "Your scores are transposed: rows are queries, columns are keys")
@torch.no_grad()
def scores_transposed(model, tokens, n):
    return _fit(_scores(model, tokens).T, _cells(n), n)


@mistake("key_strength", "You fitted the first sequence alone")
@torch.no_grad()
def strength_of_first(model, tokens, n):
    return explain.key_strength(model, tokens[:1], n)


@mistake("key_strength", "This is the attention that each source receives, not a strength from the scores")
@torch.no_grad()
def attention_received(model, tokens, n):
    return (_pattern(model, tokens).mean(0) * _cells(n)).sum(0)


def _preference(
    model, tokens, n, rows="next", mean="letters", weight=True, scale="letters", sqrt=True, bias=False, query_side=False
):
    """alphabet_preference with one thing done otherwise."""
    table, wanted = _codes(n)
    wanted = torch.where(wanted < 0, n, wanted)
    if rows == "here":
        wanted = table.clone()
    if rows != "first term too":
        wanted[: n + 1] = n
    _, cache = model.run_with_cache(tokens, names_filter=[explain.Q, explain.SCALE])
    queries = cache[explain.Q][:, :, 0].mean(dim=0)
    queries = torch.stack([queries[wanted == index].mean(dim=0) for index in range(n)])
    letters = model.W_E[3:]
    letters = letters - {"letters": letters.mean(0), "all": model.W_E.mean(0), "none": 0}[mean]
    letters = _centred(letters) * (model.blocks[0].ln1.weight if weight else 1)
    scales = cache[explain.SCALE]
    scales = {"letters": scales[tokens > 2].mean(), "all": scales.mean(), "none": 1.0}[scale]
    if bias:
        letters = letters + model.blocks[0].ln1.bias * scales
    keys = letters @ (model.W_Q if query_side else model.W_K)[0, 0] / scales
    if bias:
        keys = keys + model.b_K[0, 0]
    return queries @ keys.T / (model.cfg.d_head**0.5 if sqrt else 1)


@mistake("alphabet_preference", "Your scores are not divided by sqrt(d_head) = 8")
@torch.no_grad()
def preference_unscaled(model, tokens, n):
    return _preference(model, tokens, n, sqrt=False)


@mistake("alphabet_preference", "You did not divide the keys by ln1's mean scale on the letters")
@torch.no_grad()
def preference_without_scale(model, tokens, n):
    return _preference(model, tokens, n, scale="none")


@mistake("alphabet_preference", "Your mean scale is over all positions: take that of the letters")
@torch.no_grad()
def scale_of_everything(model, tokens, n):
    return _preference(model, tokens, n, scale="all")


@mistake("alphabet_preference", "ln1's weight is missing in the keys")
@torch.no_grad()
def preference_without_weight(model, tokens, n):
    return _preference(model, tokens, n, weight=False)


@mistake(
    "alphabet_preference",
    "The mean embedding of the letters is still in your keys: what all letters share is no preference",
)
@torch.no_grad()
def mean_letter_left(model, tokens, n):
    return _preference(model, tokens, n, mean="none")


@mistake("alphabet_preference", "You took the mean of all 65 embeddings out: it is that of the 62 letters")
@torch.no_grad()
def mean_token_taken(model, tokens, n):
    return _preference(model, tokens, n, mean="all")


@mistake(
    "alphabet_preference", "Your keys hold biases and the mean letter: nothing but the letter's own share belongs there"
)
@torch.no_grad()
def whole_key(model, tokens, n):
    return _preference(model, tokens, n, mean="none", bias=True)


@mistake("alphabet_preference", "You averaged the rows that hold index i: take those whose next token has it")
@torch.no_grad()
def rows_that_hold(model, tokens, n):
    return _preference(model, tokens, n, rows="here")


@mistake("alphabet_preference", "You averaged rows of the first term along: no letter of it can be copied")
@torch.no_grad()
def first_term_too(model, tokens, n):
    return _preference(model, tokens, n, rows="first term too")


@mistake("alphabet_preference", "You sent the letters through W_Q: as keys they go through W_K")
@torch.no_grad()
def letters_as_queries(model, tokens, n):
    return _preference(model, tokens, n, query_side=True)


# predict_copy is scored: a mistake is a program, and it is recognised when the answers are that program's


def _vote(weights, tokens):
    return (weights.float() @ F.one_hot(tokens, 65).float()).argmax(dim=-1)


def _uniform(tokens, n):
    return _vote(circuits.admissible_sources(n), tokens)


def _latest(tokens, n):
    latest = latest_source_only.function(n)
    return tokens[:, latest.float().argmax(dim=1)]


def _class_program(model, tokens, n):
    """Positions and the class of each token, but no letter's identity; the scale is that of the real tokens."""
    allowed = circuits.admissible_sources(n)
    return _vote(circuits.identity_free_pattern(model, tokens) * allowed, tokens)


def _position_program(model, tokens, n):
    """What positions alone say, over the right sources."""
    return _vote(circuits.positional_pattern(model) * circuits.admissible_sources(n), tokens)


def _says(program):
    """A test of a result: are these the answers of a program of (tokens, n)?"""

    def test(at, call, got):
        n = call.args["n"]
        return agreement(got, program(call.args["tokens"], n), n) > 0.99

    return test


def _says_of(program):
    """A test of a result: are these the answers of a program of (model, tokens, n)?"""

    def test(at, call, got):
        n = call.args["n"]
        with exchanged(at.model, call.weights) as model:
            said = program(model, call.args["tokens"], n)
        return agreement(got, said, n) > 0.99

    return test


@mistake(
    "predict_copy",
    "Your program copies from the first term, and the model often copies from elsewhere",
    when=_says(first_term),
)
def from_the_first_term(model, tokens, n):
    return first_term(tokens, n)


@mistake(
    "predict_copy", "Your program copies from the latest right source; the model hardly ever does", when=_says(_latest)
)
def from_the_latest(model, tokens, n):
    return _latest(tokens, n)


@mistake(
    "predict_copy",
    "Your program lets all right sources vote alike; in the model a few positions outvote all others",
    when=_says(_uniform),
)
def all_sources_alike(model, tokens, n):
    return _uniform(tokens, n)


@mistake(
    "predict_copy",
    "Your weights come from the positions alone; which letter stands at a source matters too",
    when=_says_of(_position_program),
)
@torch.no_grad()
def by_position_only(model, tokens, n):
    return _position_program(model, tokens, n)


@mistake(
    "predict_copy",
    "Your weights know letters from spaces, but not letter from letter: think of the alphabet",
    when=_says_of(_class_program),
)
@torch.no_grad()
def without_identity(model, tokens, n):
    return _class_program(model, tokens, n)


@mistake(
    "predict_copy",
    "Your answers are the tokens at their own rows: say what the model will write next",
    when=lambda at, call, got: torch.equal(got.long(), call.args["tokens"]),
)
def own_tokens(model, tokens, n):
    return tokens.clone()


@mistake(
    "predict_copy",
    "Your answers are the tokens that follow; where letters are drawn at random nobody can foresee them, the model "
    "copies",
    when=lambda at, call, got: torch.equal(got[:, :-1].long(), call.args["tokens"][:, 1:]),
)
def next_tokens(model, tokens, n):
    return tokens.roll(-1, dims=1)


@mistake("predict_copy", "You ran the model to foretell what it says: use its weights, and say which step does what")
@torch.no_grad()
def runs_the_model(model, tokens, n):
    return model(tokens).argmax(dim=-1)


@mistake(
    "predict_copy",
    "You rebuilt the logits from the weights",
    accepted="it cannot be told from a very good program; the evidence says that nothing is explained by it",
)
@torch.no_grad()
def logits_by_hand(model, tokens, n):
    resid = model.W_E[tokens] + model.W_pos[: tokens.shape[1]]
    normed, final = _ln1(model, resid), model.ln_final
    z = _attend(model, normed) @ (normed @ model.W_V[0, 0] + model.b_V[0, 0])
    resid = resid + z @ model.W_O[0, 0] + model.b_O[0]
    normed = F.layer_norm(resid, [model.cfg.d_model], final.weight, final.bias, model.cfg.eps)
    return (normed @ model.W_U).argmax(dim=-1)
