"""Known wrong versions of the trigrams exercises, each with what it is called when a learner makes it."""

from functools import cache

import torch

from checks.test_trigrams import broken_rules, unforced
from checks.trigrams_data import table
from kata.checking import mistake
from solutions.trigrams import ablation, attribution, circuits, dataset, explain

PATTERN, POST = "blocks.0.attn.hook_pattern", "blocks.0.mlp.hook_post"


# -- sample_sequences


def _draw(rules, n_seqs, seq_len, generator):
    return torch.randint(len(rules), (n_seqs, seq_len), generator=generator)


def _rewrite(tokens, rules, columns):
    """The left-to-right pass over some columns."""
    for i in columns:
        wanted = rules[tokens[:, i - 2], tokens[:, i - 1]]
        tokens[:, i] = torch.where(wanted >= 0, wanted, tokens[:, i])
    return tokens


def _broken(call, got):
    return broken_rules(got.long(), call.args["table"])


@mistake(
    "sample_sequences",
    "You matched all pairs before the completions were written (in one pass, or from right to left), so a third token "
    "breaks the pairs that it now belongs to: go from left to right",
)
def matched_before_writing(table, n_seqs, seq_len, generator):
    tokens = _draw(table, n_seqs, seq_len, generator)
    return _rewrite(tokens, table, range(seq_len - 1, 1, -1))


@mistake(
    "sample_sequences",
    "Only your last column breaks trigrams: the loop ends one position too early",
    when=lambda at, call, got: _broken(call, got)[:, -1].any() and not _broken(call, got)[:, :-1].any(),
)
def last_column_left(table, n_seqs, seq_len, generator):
    return _rewrite(_draw(table, n_seqs, seq_len, generator), table, range(2, seq_len - 1))


@mistake(
    "sample_sequences",
    "You looked up table[second, first]: the rows of the table are first tokens",
    when=lambda at, call, got: _broken(call, got).any() and not broken_rules(got.long(), call.args["table"].T).any(),
)
def table_transposed(table, n_seqs, seq_len, generator):
    return _rewrite(_draw(table, n_seqs, seq_len, generator), table.T, range(2, seq_len))


@mistake(
    "sample_sequences",
    "Your loop starts at column 0, where the columns -2 and -1 are the end of the same sequence, so the first two "
    "tokens are not drawn freely",
)
def wraps_around(table, n_seqs, seq_len, generator):
    return _rewrite(_draw(table, n_seqs, seq_len, generator), table, range(seq_len))


@mistake("sample_sequences", "You drew from torch's global generator and not from the one that was passed")
def global_generator(table, n_seqs, seq_len, generator):
    return _rewrite(_draw(table, n_seqs, seq_len, None), table, range(2, seq_len))


@mistake(
    "sample_sequences", "You made a new generator, so every call draws the same tokens: use the one that was passed"
)
def own_generator(table, n_seqs, seq_len, generator):
    return _rewrite(_draw(table, n_seqs, seq_len, torch.Generator().manual_seed(0)), table, range(2, seq_len))


@mistake(
    "sample_sequences",
    "The last token of the vocabulary never occurs: torch.randint leaves its upper end out already",
    when=lambda at, call, got: (unforced(got, call.args["table"]) < len(call.args["table"]) - 1).all(),
)
def vocabulary_short(table, n_seqs, seq_len, generator):
    tokens = torch.randint(len(table) - 1, (n_seqs, seq_len), generator=generator)
    return _rewrite(tokens, table, range(2, seq_len))


@mistake(
    "sample_sequences",
    "Your rules act at random places only: a pair must be completed wherever it stands, not just where it was planted",
)
def planted_only(table, n_seqs, seq_len, generator):
    tokens = _draw(table, n_seqs, seq_len, generator)
    skip = torch.rand(n_seqs, seq_len, generator=generator) < 0.5
    for i in range(2, seq_len):
        wanted = table[tokens[:, i - 2], tokens[:, i - 1]]
        tokens[:, i] = torch.where((wanted >= 0) & ~skip[:, i], wanted, tokens[:, i])
    return tokens


# -- required_next_token


@mistake("required_next_token", "You marked the third token itself; the model must know it one position earlier")
def marked_the_third(tokens, table):
    required = torch.full_like(tokens, -1)
    required[:, 2:] = table[tokens[:, :-2], tokens[:, 1:-1]]
    return required


@mistake("required_next_token", "You marked the first token of the pair; nothing is known before the second is there")
def marked_the_first(tokens, table):
    required = torch.full_like(tokens, -1)
    required[:, :-1] = table[tokens[:, :-1], tokens[:, 1:]]
    return required


@mistake("required_next_token", "You looked up table[second, first]: the rows of the table are first tokens")
def pair_exchanged(tokens, table):
    return dataset.required_next_token(tokens, table.T)


@mistake("required_next_token", "At position 0 you took the last token of the sequence as the one before it")
def rolled(tokens, table):
    return table[tokens.roll(1, dims=1), tokens]


@mistake(
    "required_next_token", "The last position can ask for a token too, even if the sequence ends there; yours is -1"
)
def last_left_out(tokens, table):
    required = dataset.required_next_token(tokens, table)
    required[:, -1] = -1
    return required


@mistake(
    "required_next_token",
    "You wrote down the token that comes next; what the trigram demands stands in the table, and they need not agree",
)
def took_what_came(tokens, table):
    required = dataset.required_next_token(tokens, table)
    came = torch.where(required[:, :-1] >= 0, tokens[:, 1:], -1)
    return torch.cat([came, required[:, -1:]], dim=1)


# -- score_terms


def _queries_keys(model, tokens):
    x = torch.stack([model.W_E[tokens], model.W_pos[: len(tokens)]])
    q, k = x @ model.W_Q[0, 0], x @ model.W_K[0, 0]
    bias_q = model.b_Q[0, 0].expand(1, len(tokens), -1)
    bias_k = model.b_K[0, 0].expand(1, len(tokens), -1)
    return torch.cat([q, bias_q]), torch.cat([k, bias_k])


def _outer(queries, keys):
    return torch.einsum("iqd,jkd->ijqk", queries, keys)


@mistake("score_terms", "Your terms are sqrt(d_head) = 4 times too large: divide as the head does before its softmax")
def terms_unscaled(model, tokens):
    return 4 * circuits.score_terms(model, tokens)


@mistake("score_terms", "You divided by d_head; the head divides by its square root")
def terms_by_d_head(model, tokens):
    return circuits.score_terms(model, tokens) / 4


@mistake(
    "score_terms",
    "The biases stand in your token part and in your position part, so in the sum they are there twice too often: "
    "they are a part of their own",
)
@torch.no_grad()
def bias_everywhere(model, tokens):
    queries, keys = _queries_keys(model, tokens)
    queries[:2] += model.b_Q[0, 0]
    keys[:2] += model.b_K[0, 0]
    return _outer(queries, keys) / 4


@mistake(
    "score_terms", "You left the cross terms at zero: a token's query also meets a position's key, and that is large"
)
def no_cross_terms(model, tokens):
    terms = circuits.score_terms(model, tokens)
    return terms * torch.eye(3)[:, :, None, None]


@mistake("score_terms", "Your first axis is the part of the key and your second that of the query: exchange them")
def parts_exchanged(model, tokens):
    return circuits.score_terms(model, tokens).transpose(0, 1)


@mistake("score_terms", "Your last two axes are [key, query]: the query position comes first")
def positions_exchanged(model, tokens):
    return circuits.score_terms(model, tokens).mT


@mistake("score_terms", "You made queries with W_K and keys with W_Q")
@torch.no_grad()
def query_key_exchanged(model, tokens):
    queries, keys = _queries_keys(model, tokens)
    return _outer(keys, queries) / 4


@mistake("score_terms", "You masked the future: here every query is asked about every key")
def terms_masked(model, tokens):
    return circuits.score_terms(model, tokens).tril()


@mistake("score_terms", "You put the position first and the token second: the order is token, position, bias")
def token_position_exchanged(model, tokens):
    return circuits.score_terms(model, tokens)[[1, 0, 2]][:, [1, 0, 2]]


# -- previous_token_attention


@torch.no_grad()
def _previous(model, p, *, scale=4.0, bias=1.0, key_pos=None, own_pos=None, pos=1.0, exchanged=False):
    w_q, w_k, b_q, b_k = model.W_Q[0, 0], model.W_K[0, 0], model.b_Q[0, 0], model.b_K[0, 0]
    if exchanged:
        w_q, w_k, b_q, b_k = w_k, w_q, b_k, b_q
    query = (model.W_E + pos * model.W_pos[p]) @ w_q + bias * b_q
    before = (model.W_E + pos * model.W_pos[p - 1 if key_pos is None else key_pos]) @ w_k + bias * b_k
    own = (model.W_E + pos * model.W_pos[p if own_pos is None else own_pos]) @ w_k + bias * b_k
    return ((before @ query.T - (own * query).sum(-1)) / scale).sigmoid()


@mistake("previous_token_attention", "Your rows are the looking token: rows should be the earlier one, a")
def attention_transposed(model, query_pos=1):
    return circuits.previous_token_attention(model, query_pos).T


@mistake(
    "previous_token_attention", "Your table is what b keeps for itself: you want the other share, what it gives to a"
)
def kept_for_itself(model, query_pos=1):
    return 1 - circuits.previous_token_attention(model, query_pos)


@mistake("previous_token_attention", "You did not divide by sqrt(d_head) = 4, so your softmax is too sharp")
def attention_unscaled(model, query_pos=1):
    return _previous(model, query_pos, scale=1.0)


@mistake("previous_token_attention", "The scale is sqrt(d_head) = 4; you divided by d_head")
def attention_by_d_head(model, query_pos=1):
    return _previous(model, query_pos, scale=16.0)


@mistake("previous_token_attention", "The scale is sqrt(d_head); you divided by sqrt(d_model)")
def attention_by_d_model(model, query_pos=1):
    return _previous(model, query_pos, scale=32**0.5)


@mistake("previous_token_attention", "You left the biases out; b_Q meets the difference of the two keys, so it matters")
def attention_no_bias(model, query_pos=1):
    return _previous(model, query_pos, bias=0.0)


@mistake(
    "previous_token_attention",
    "Without W_pos the head has no reason to prefer the later token, and you detect many pairs that it ignores",
)
def attention_no_positions(model, query_pos=1):
    return _previous(model, query_pos, pos=0.0)


@mistake("previous_token_attention", "Both of your keys stand at query_pos; a stands one position before")
def attention_same_position(model, query_pos=1):
    return _previous(model, query_pos, key_pos=query_pos)


@mistake("previous_token_attention", "Your keys have each other's positions: a stands before b")
def attention_positions_exchanged(model, query_pos=1):
    return _previous(model, query_pos, key_pos=query_pos, own_pos=query_pos - 1)


@mistake("previous_token_attention", "You made queries with W_K and keys with W_Q")
def attention_exchanged(model, query_pos=1):
    return _previous(model, query_pos, exchanged=True)


@mistake("previous_token_attention", "You took a score for a share: compare it with the score of b's own key")
@torch.no_grad()
def not_compared(model, query_pos=1):
    query = (model.W_E + model.W_pos[query_pos]) @ model.W_Q[0, 0] + model.b_Q[0, 0]
    before = (model.W_E + model.W_pos[query_pos - 1]) @ model.W_K[0, 0] + model.b_K[0, 0]
    return (before @ query.T / 4).sigmoid()


# -- detected_pairs


@torch.no_grad()
def _patterns(model, first_axis=0):
    every = torch.arange(model.cfg.d_vocab)
    both = torch.cartesian_prod(every, every)
    return model.run_with_cache(both, names_filter=PATTERN)[1][PATTERN][:, 0].unflatten(0, (len(every), -1))


@mistake("detected_pairs", "You read the attention that b keeps for itself: a is key 0")
def detected_own(model, threshold=0.2):
    return _patterns(model)[:, :, 1, 1] > threshold


@mistake("detected_pairs", "You read the row of the first position, which can look at nothing but itself: b is query 1")
def detected_first_row(model, threshold=0.2):
    return _patterns(model)[:, :, 0, 0] > threshold


@mistake("detected_pairs", "Your axes are [second, first]: the first token of the pair comes first")
def detected_transposed(model, threshold=0.2):
    return (_patterns(model)[:, :, 1, 0] > threshold).T


@mistake("detected_pairs", "You asked which of the two gets more attention; `threshold` is the bar")
def detected_by_half(model, threshold=0.2):
    return _patterns(model)[:, :, 1, 0] > _patterns(model)[:, :, 1, 1]


@mistake("detected_pairs", "You left out the pairs of a token with itself; they are pairs like others")
def detected_no_diagonal(model, threshold=0.2):
    return (_patterns(model)[:, :, 1, 0] > threshold) & ~torch.eye(model.cfg.d_vocab, dtype=torch.bool)


@mistake("detected_pairs", "You compared with 0.2 in every call: the bar is the argument `threshold`")
def detected_fixed(model, threshold=0.2):
    return _patterns(model)[:, :, 1, 0] > 0.2


# -- precision_recall


def _otherwise(wrong):
    """Recognise a slip whatever comes back where nothing was found, which is a slip of its own."""

    def test(at, call, got):
        found, table = call.args.values()
        return not found.any() or all(abs(g - w) < 1e-5 for g, w in zip(got, wrong(found, table), strict=True))

    return test


def _left_out(found, table):
    real = table > 0
    hits = (found & real).sum().item()
    return hits / max(found.sum().item(), 1), hits / real.sum().item()


def _over_all(found, table):
    hits = (found & (table >= 0)).double().mean().item()
    return hits, hits


def _twice(found, table):
    precision, _ = circuits.precision_recall(found, table)
    return precision, precision


def _accuracy(found, table):
    return (found == (table >= 0)).double().mean().item(), circuits.precision_recall(found, table)[1]


@mistake(
    "precision_recall",
    "You returned (recall, precision): precision comes first",
    when=_otherwise(lambda found, table: circuits.precision_recall(found, table)[::-1]),
)
def pair_reversed(found, table):
    return circuits.precision_recall(found, table)[::-1]


@mistake(
    "precision_recall",
    "You left out trigrams that end in token 0: -1 marks the pairs without one, not 0",
    when=_otherwise(_left_out),
)
def zero_left_out(found, table):
    return _left_out(found, table)


@mistake(
    "precision_recall",
    "Your second number is divided by what was found; recall asks how many of the trigrams were",
    when=_otherwise(_twice),
)
def recall_over_found(found, table):
    return _twice(found, table)


@mistake(
    "precision_recall",
    "You divided by the number of all pairs: then every detector of rare things looks poor",
    when=_otherwise(_over_all),
)
def over_all_pairs(found, table):
    return _over_all(found, table)


@mistake(
    "precision_recall",
    "Your first number is the share of pairs that are judged right (accuracy), not precision",
    when=_otherwise(_accuracy),
)
def accuracy_for_precision(found, table):
    return _accuracy(found, table)


@mistake("precision_recall", "With nothing found you divide by zero; the precision is 0 then")
def divides_by_zero(found, table):
    real = table >= 0
    hits = (found & real).sum().item()
    return hits / found.sum().item(), hits / real.sum().item()


@mistake("precision_recall", "With nothing found your precision is 0/0, which is NaN in torch; it should be 0")
def precision_is_nan(found, table):
    real = table >= 0
    hits = (found & real).sum()
    return (hits / found.sum()).item(), (hits / real.sum()).item()


# -- recency_penalty


@torch.no_grad()
def _penalty(model, *, token=1.0, position=1.0, bias=1.0, query_shift=0):
    pos = model.W_pos[:-1]
    step = (pos[1:] - pos[:-1]) @ model.W_K[0, 0] / 4
    query = pos[1:] if query_shift == 0 else pos[:-1]
    fixed = position * query @ model.W_Q[0, 0] + bias * model.b_Q[0, 0]
    return token * step @ (model.W_E @ model.W_Q[0, 0]).T + (step * fixed).sum(-1, keepdim=True)


@mistake("recency_penalty", "Your sign is flipped: the penalty is the later key's score minus the earlier one's")
def penalty_sign(model):
    return -circuits.recency_penalty(model)


@mistake("recency_penalty", "Your step goes from p to p + 1: the two keys stand at p and at p - 1")
@torch.no_grad()
def penalty_step_ahead(model):
    step = (model.W_pos[2:] - model.W_pos[1:-1]) @ model.W_K[0, 0]
    query = (model.W_E[None] + model.W_pos[1:-1, None]) @ model.W_Q[0, 0] + model.b_Q[0, 0]
    return (query * step[:, None]).sum(-1) / step.shape[-1] ** 0.5


@mistake("recency_penalty", "Your penalty is 4 times too large: scores carry the factor 1 / sqrt(d_head)")
def penalty_unscaled(model):
    return 4 * circuits.recency_penalty(model)


@mistake(
    "recency_penalty",
    "You left the token out of the query, so all columns are the same: each token asks in its own way",
)
def penalty_no_token(model):
    return _penalty(model, token=0.0)


@mistake("recency_penalty", "You left the position out of the query; the key's step meets all of it")
def penalty_no_position(model):
    return _penalty(model, position=0.0)


@mistake("recency_penalty", "You left b_Q out; it meets the step between the two keys")
def penalty_no_bias(model):
    return _penalty(model, bias=0.0)


@mistake("recency_penalty", "Your query stands at p - 1; it stands where the later key does, at p")
def penalty_query_early(model):
    return _penalty(model, query_shift=1)


@mistake(
    "recency_penalty",
    "You kept the last position, which is untrained: rows go from p = 1 to n_ctx - 2",
    when=lambda at, call, got: len(got) == at.model.cfg.n_ctx - 1,
)
@torch.no_grad()
def penalty_last_kept(model):
    step = (model.W_pos[1:] - model.W_pos[:-1]) @ model.W_K[0, 0] / 4
    fixed = model.W_pos[1:] @ model.W_Q[0, 0] + model.b_Q[0, 0]
    return step @ (model.W_E @ model.W_Q[0, 0]).T + (step * fixed).sum(-1, keepdim=True)


@mistake("recency_penalty", "Your rows are tokens and your columns positions: positions come first")
def penalty_transposed(model):
    return circuits.recency_penalty(model).T


# -- logit_parts


@torch.no_grad()
def _parts(model, tokens, targets, *, centred=True, where=(-1, -1, -1, -1), bias="centred", attention=None):
    _, kept = model.run_with_cache(tokens)
    head = kept["attn_out", 0] if attention is None else attention(kept)
    wrote = [kept["embed"], kept["pos_embed"].expand_as(kept["embed"]), head, kept["mlp_out", 0]]
    directions = model.W_U - model.W_U.mean(-1, keepdim=True) if centred else model.W_U
    rows = [(w[:, i] * directions[:, targets].T).sum(-1) for w, i in zip(wrote, where, strict=True)]
    last = {"centred": model.b_U - model.b_U.mean(), "raw": model.b_U, "none": model.b_U * 0}[bias]
    return torch.stack([*rows, last[targets]])


@mistake("logit_parts", "You split the logit itself; what counts is how far it stands above the mean logit")
def parts_not_centred(model, tokens, targets):
    return _parts(model, tokens, targets, centred=False, bias="raw")


@mistake("logit_parts", "Your last row is the target's bias; take its mean over the vocabulary off, as for the others")
def parts_bias_not_centred(model, tokens, targets):
    return _parts(model, tokens, targets, bias="raw")


@mistake("logit_parts", "You left the bias of the unembedding at 0; it is a part of the logit too")
def parts_no_bias(model, tokens, targets):
    return _parts(model, tokens, targets, bias="none")


@mistake("logit_parts", "You read the first position; the prediction is made at the last one")
def parts_first_position(model, tokens, targets):
    return _parts(model, tokens, targets, where=(0, 0, 0, 0))


@mistake("logit_parts", "Your token row is the embedding of the first token; the last one is in the stream there")
def parts_first_token(model, tokens, targets):
    return _parts(model, tokens, targets, where=(0, -1, -1, -1))


@mistake("logit_parts", "Your position row is position 0's; the stream at the last position holds its own")
def parts_position_zero(model, tokens, targets):
    return _parts(model, tokens, targets, where=(-1, 0, -1, -1))


@mistake("logit_parts", "Your attention row lacks b_O: what the head writes is z @ W_O + b_O")
def parts_no_b_o(model, tokens, targets):
    return _parts(model, tokens, targets, attention=lambda kept: kept["attn_out", 0] - model.b_O[0])


@mistake("logit_parts", "Your attention row is the whole stream after the head: token and position are in it again")
def parts_cumulative(model, tokens, targets):
    return _parts(model, tokens, targets, attention=lambda kept: kept["resid_mid", 0])


@mistake("logit_parts", "Your MLP row lacks b_out: what it writes is post @ W_out + b_out")
@torch.no_grad()
def parts_no_b_out(model, tokens, targets):
    parts = _parts(model, tokens, targets)
    directions = (model.W_U - model.W_U.mean(-1, keepdim=True))[:, targets]
    parts[3] -= model.b_out[0] @ directions
    return parts


@mistake("logit_parts", "Your rows are in another order: token embedding first, then position embedding")
def parts_order(model, tokens, targets):
    return _parts(model, tokens, targets)[[1, 0, 2, 3, 4]]


# -- neuron_firing


@torch.no_grad()
def _on(model, tokens):
    return model.run_with_cache(tokens, names_filter=POST)[1][POST]


def _rates(on, where):
    return torch.stack([on[where].float().mean(0), on[~where].float().mean(0)])


def _asked(tokens, table):
    return dataset.required_next_token(tokens, table) >= 0


@mistake(
    "neuron_firing", "You counted the last position of each sequence, which predicts nothing and was never trained"
)
def firing_last_counted(model, tokens, table):
    return _rates(_on(model, tokens) > 0, _asked(tokens, table))


@mistake("neuron_firing", "Your row 0 is about third tokens; the units have to fire one position earlier")
def firing_at_the_third(model, tokens, table):
    where = torch.cat([torch.zeros_like(tokens[:, :1], dtype=torch.bool), _asked(tokens, table)[:, :-1]], dim=1)
    return _rates((_on(model, tokens) > 0)[:, :-1], where[:, :-1])


@mistake("neuron_firing", "Your row 0 is about first tokens; no unit can know there which token comes second")
def firing_at_the_first(model, tokens, table):
    return _rates((_on(model, tokens) > 0)[:, :-1], _asked(tokens, table)[:, 1:])


@mistake("neuron_firing", "Your rows are exchanged: the places where a token is forced come first")
def firing_rows_exchanged(model, tokens, table):
    return attribution.neuron_firing(model, tokens, table).flip(0)


@mistake("neuron_firing", "You averaged how strongly the units are on; the question is how often")
def firing_strength(model, tokens, table):
    return _rates(_on(model, tokens)[:, :-1], _asked(tokens, table)[:, :-1])


@mistake("neuron_firing", "After the ReLU no value is below 0, so `>= 0` counts every unit as on: ask for above 0")
def firing_at_least_zero(model, tokens, table):
    return _rates((_on(model, tokens) >= 0)[:, :-1], _asked(tokens, table)[:, :-1])


@mistake("neuron_firing", "Your row 1 is about all positions; leave those out at which a token is forced")
def firing_against_all(model, tokens, table):
    on, where = (_on(model, tokens) > 0)[:, :-1], _asked(tokens, table)[:, :-1]
    return torch.stack([on[where].float().mean(0), on.flatten(0, 1).float().mean(0)])


@mistake("neuron_firing", "You left position 0 out; it counts among the others")
def firing_without_first(model, tokens, table):
    return _rates((_on(model, tokens) > 0)[:, 1:-1], _asked(tokens, table)[:, 1:-1])


@mistake(
    "neuron_firing",
    "You took the positions from 1 to the last one; the last position predicts nothing, and position 0 counts in row 1",
)
def firing_one_off(model, tokens, table):
    return _rates((_on(model, tokens) > 0)[:, 1:], _asked(tokens, table)[:, 1:])


@mistake("neuron_firing", "You looked up table[second, first]: the rows of the table are first tokens")
def firing_table_transposed(model, tokens, table):
    return attribution.neuron_firing(model, tokens, table.T)


@mistake(
    "neuron_firing",
    "Your rates are means of the sequences' own rates; pool all positions, or one with few trigrams weighs too much",
)
def firing_per_sequence(model, tokens, table):
    on, where = (_on(model, tokens) > 0)[:, :-1].float(), _asked(tokens, table)[:, :-1]
    rows = [torch.stack([o[w].mean(0) for o, w in zip(on, mask, strict=True)]).nanmean(0) for mask in (where, ~where)]
    return torch.stack(rows)


# -- mlp_jacobian


@mistake("mlp_jacobian", "Your matrices are transposed: the output's axis comes first, [n, i, j] is d out_i / d in_j")
def jacobian_transposed(model, resid_mid):
    return attribution.mlp_jacobian(model, resid_mid).mT


@mistake("mlp_jacobian", "There is an identity in your Jacobian: the skip connection is no part of the MLP")
def jacobian_with_skip(model, resid_mid):
    return attribution.mlp_jacobian(model, resid_mid) + torch.eye(resid_mid.shape[1])


@torch.no_grad()
def _masked(model, mask):
    return torch.einsum("du,nu,ue->ned", model.W_in[0], mask.float(), model.W_out[0])


@mistake(
    "mlp_jacobian", "You multiplied W_in and W_out as if every unit were on: units that the ReLU closes pass nothing"
)
def jacobian_no_relu(model, resid_mid):
    return _masked(model, torch.ones(len(resid_mid), model.cfg.d_mlp))


@mistake("mlp_jacobian", "You decided which units are on without b_in")
@torch.no_grad()
def jacobian_no_b_in(model, resid_mid):
    return _masked(model, resid_mid @ model.W_in[0] > 0)


@mistake("mlp_jacobian", "You weighed the units by how far they are on; a ReLU's slope is 0 or 1")
@torch.no_grad()
def jacobian_by_strength(model, resid_mid):
    return _masked(model, (resid_mid @ model.W_in[0] + model.b_in[0]).relu())


@mistake("mlp_jacobian", "Your Jacobian is that of the mean over the batch, the same for all: each input has its own")
def jacobian_mean(model, resid_mid):
    return attribution.mlp_jacobian(model, resid_mid).mean(0, keepdim=True).expand(len(resid_mid), -1, -1)


@mistake(
    "mlp_jacobian",
    "jacrev over the whole batch also asks how row n moves with row m (never): map over the rows with torch.func.vmap",
)
def jacobian_of_the_batch(model, resid_mid):
    return torch.func.jacrev(model.blocks[0].mlp)(resid_mid)


# -- linearise_mlp


@torch.no_grad()
def _pre(model, tokens, last=False):
    on = model.run_with_cache(tokens, names_filter="blocks.0.mlp.hook_pre")[1]["blocks.0.mlp.hook_pre"] > 0
    return (on if last else on[:, :-1]).flatten(0, 1)


@torch.no_grad()
def _linear(model, usual):
    usual = usual.float()
    matrix = ((model.W_in[0] * usual) @ model.W_out[0]).T
    return matrix, (model.b_in[0] * usual) @ model.W_out[0] + model.b_out[0]


def _mode(on):
    return on[(on * 2 ** torch.arange(on.shape[-1])).sum(-1).mode().indices]


@mistake(
    "linearise_mlp", "You counted the last positions, which were never trained and often have a pattern of their own"
)
def linear_with_last(model, tokens):
    return _linear(model, _mode(_pre(model, tokens, last=True)))


@mistake(
    "linearise_mlp",
    "You asked each unit on its own whether it is mostly on; count whole patterns, or you make one that never occurs",
)
def linear_one_by_one(model, tokens):
    return _linear(model, _pre(model, tokens).double().mean(0) > 0.5)


@mistake("linearise_mlp", "Your matrix is transposed: it must give J @ x, so its rows are outputs")
def linear_transposed(model, tokens):
    matrix, constant = attribution.linearise_mlp(model, tokens)
    return matrix.T, constant


@mistake("linearise_mlp", "There is an identity in your matrix: the skip connection is no part of the MLP")
def linear_with_skip(model, tokens):
    matrix, constant = attribution.linearise_mlp(model, tokens)
    return matrix + torch.eye(len(matrix)), constant


@mistake("linearise_mlp", "Your constant lacks b_out")
def linear_no_b_out(model, tokens):
    matrix, constant = attribution.linearise_mlp(model, tokens)
    return matrix, constant - model.b_out[0].detach()


@mistake(
    "linearise_mlp", "Your constant is b_out alone: the b_in of the units that are on passes through W_out as well"
)
def linear_only_b_out(model, tokens):
    return attribution.linearise_mlp(model, tokens)[0], model.b_out[0].detach().clone()


@mistake("linearise_mlp", "Your constant holds the b_in of all units; those that are off pass nothing on")
@torch.no_grad()
def linear_all_b_in(model, tokens):
    return attribution.linearise_mlp(model, tokens)[0], model.b_in[0] @ model.W_out[0] + model.b_out[0]


@cache
def _mlp_inputs(model, tokens):
    point = "blocks.0.hook_resid_mid"
    with torch.no_grad():
        return model.run_with_cache(tokens, names_filter=point)[1][point][:, :-1].flatten(0, 1)


@mistake(
    "linearise_mlp",
    "You took the median of the Jacobians entry by entry: where several patterns are common, it fits none of them",
)
@torch.no_grad()
def linear_median(model, tokens):
    x = _mlp_inputs(model, tokens)
    jacobians = attribution.mlp_jacobian(model, x)
    constants = model.blocks[0].mlp(x) - torch.einsum("noi,ni->no", jacobians, x)
    return jacobians.median(0).values, constants.median(0).values


@mistake("linearise_mlp", "You took the mean of the Jacobians: a few trigrams, with very large ones, decide it")
@torch.no_grad()
def linear_mean(model, tokens):
    x = _mlp_inputs(model, tokens)
    jacobians = attribution.mlp_jacobian(model, x)
    return jacobians.mean(0), (model.blocks[0].mlp(x) - torch.einsum("noi,ni->no", jacobians, x)).mean(0)


# -- subspace_overlap


def _bases(w_write, w_read):
    return torch.linalg.qr(w_write.T).Q, torch.linalg.qr(w_read).Q


@mistake(
    "subspace_overlap", "Cosines above 1 come from rows that are not orthonormal: find a basis of each subspace first"
)
def overlap_no_basis(w_write, w_read):
    return torch.linalg.svdvals(w_write @ w_read)


@mistake("subspace_overlap", "You gave the vectors length 1, but they are not at right angles to one another yet")
def overlap_normalised(w_write, w_read):
    write = torch.nn.functional.normalize(w_write, dim=1)
    return torch.linalg.svdvals(write @ torch.nn.functional.normalize(w_read, dim=0)).clamp(max=1)


@mistake("subspace_overlap", "A cosine of 1.0000001 is rounding, but its arccos is NaN: clamp to 1")
def overlap_not_clamped(w_write, w_read):
    write, read = _bases(w_write, w_read)
    return torch.linalg.svdvals(write.T @ read)


@mistake("subspace_overlap", "You returned the angles; asked for are their cosines")
def overlap_angles(w_write, w_read):
    return attribution.subspace_overlap(w_write, w_read).arccos()


@mistake("subspace_overlap", "You returned the squares of the cosines")
def overlap_squared(w_write, w_read):
    return attribution.subspace_overlap(w_write, w_read) ** 2


@mistake("subspace_overlap", "The largest cosine comes first; yours ascend")
def overlap_ascending(w_write, w_read):
    return attribution.subspace_overlap(w_write, w_read).flip(0)


@mistake(
    "subspace_overlap",
    "You compared the two bases vector by vector; a subspace has many: look for the best-aligned directions",
)
def overlap_of_basis_vectors(w_write, w_read):
    write, read = _bases(w_write, w_read)
    number = min(write.shape[1], read.shape[1])
    return (write.T @ read).diagonal()[:number].abs().sort(descending=True).values.clamp(max=1)


# -- force_previous_hook


def _forced(pattern, before, own, rest=0.0):
    forced = pattern.clone()
    forced[:, :, -1] *= rest
    forced[:, :, -1, -2], forced[:, :, -1, -1] = before, own
    return forced


@mistake("force_previous_hook", "You gave `p_prev` to the last key itself and the rest to the one before it")
def hook_exchanged(pattern, hook, p_prev):
    return _forced(pattern, 1 - p_prev[:, None], p_prev[:, None])


@mistake("force_previous_hook", "You set the key before, and left the last key as it was: the row no longer sums to 1")
def hook_not_renormalised(pattern, hook, p_prev):
    return _forced(pattern, p_prev[:, None], pattern[:, :, -1, -1])


@mistake("force_previous_hook", "You edited the first query row; the prediction is made in the last one")
def hook_first_row(pattern, hook, p_prev):
    forced = pattern.clone()
    forced[:, :, 0] = 0
    forced[:, :, 0, -2] = p_prev[:, None]
    forced[:, :, 0, -1] = 1 - p_prev[:, None]
    return forced


@mistake("force_previous_hook", "You changed every query row; only the last one is asked for")
def hook_all_rows(pattern, hook, p_prev):
    forced = torch.zeros_like(pattern)
    forced[:, :, :, -2] = p_prev[:, None, None]
    forced[:, :, :, -1] = 1 - p_prev[:, None, None]
    return forced


@mistake("force_previous_hook", "You set the keys 0 and 1; the last key and the one before it are -1 and -2")
def hook_first_keys(pattern, hook, p_prev):
    forced = pattern.clone()
    forced[:, :, -1] = 0
    forced[:, :, -1, 0], forced[:, :, -1, 1] = p_prev[:, None], 1 - p_prev[:, None]
    return forced


@mistake("force_previous_hook", "The other keys of the last row kept their attention; they get 0")
def hook_others_kept(pattern, hook, p_prev):
    return _forced(pattern, p_prev[:, None], 1 - p_prev[:, None], rest=1.0)


@mistake(
    "force_previous_hook",
    "You zeroed all of the pattern before you filled in the last row: the others stay as they were",
)
def hook_zeroed(pattern, hook, p_prev):
    return _forced(pattern * 0, p_prev[:, None], 1 - p_prev[:, None])


@mistake("force_previous_hook", "Every sequence got the first one's share: `p_prev` has one for each")
def hook_first_share(pattern, hook, p_prev):
    return _forced(pattern, p_prev[0], 1 - p_prev[0])


@mistake(
    "force_previous_hook",
    "You edited the pattern in place.",
    accepted="the result is the same, and the activation belongs to this one run",
)
def hook_in_place(pattern, hook, p_prev):
    pattern[:, :, -1] = 0
    pattern[:, :, -1, -2], pattern[:, :, -1, -1] = p_prev[:, None], 1 - p_prev[:, None]
    return pattern


# -- with_previous_attention


@torch.no_grad()
def _with_pattern(model, tokens, edit, where=-1):
    return model.run_with_hooks(tokens, fwd_hooks=[(PATTERN, edit)])[:, where]


@mistake("with_previous_attention", "You gave `p_prev` to the current token and the rest to the one before it")
def forced_exchanged(model, tokens, p_prev):
    return ablation.with_previous_attention(model, tokens, 1 - p_prev)


@mistake(
    "with_previous_attention", "You set the weight of the previous token and left the other: they no longer sum to 1"
)
def forced_not_renormalised(model, tokens, p_prev):
    return _with_pattern(model, tokens, lambda pattern, hook: hook_not_renormalised.function(pattern, hook, p_prev))


@mistake("with_previous_attention", "These are the model's own logits: your edit does not reach the last query row")
def forced_nothing(model, tokens, p_prev):
    return _with_pattern(model, tokens, lambda pattern, hook: pattern)


@mistake("with_previous_attention", "These are the logits of the first position; ask at the last one")
def forced_first_position(model, tokens, p_prev):
    return _with_pattern(
        model, tokens, lambda pattern, hook: _forced(pattern, p_prev[:, None], 1 - p_prev[:, None]), where=0
    )


@mistake("with_previous_attention", "You returned probabilities; asked for are logits")
def forced_softmaxed(model, tokens, p_prev):
    return ablation.with_previous_attention(model, tokens, p_prev).softmax(-1)


@mistake("with_previous_attention", "You scaled the pattern by `p_prev`; it is to replace what the head chose")
def forced_scaled(model, tokens, p_prev):
    def edit(pattern, hook):
        share = torch.stack([p_prev, 1 - p_prev], dim=-1)[:, None]
        edited = pattern.clone()
        edited[:, :, -1] *= share
        return edited

    return _with_pattern(model, tokens, edit)


# -- accuracy_without_neurons


@torch.no_grad()
def _without(model, trigrams, edit, point=POST, inputs=None, where=-1):
    logits = model.run_with_hooks(trigrams[:, :2] if inputs is None else inputs, fwd_hooks=[(point, edit)])
    return (logits[:, where].argmax(-1) == trigrams[:, 2]).double().mean().item()


@mistake("accuracy_without_neurons", "You kept the units that were to go and removed the others")
def neurons_inverted(model, trigrams, neurons, fill=None):
    return ablation.accuracy_without_neurons(model, trigrams, ~neurons, fill)


@mistake("accuracy_without_neurons", "You set the units to 0 although `fill` was given")
def fill_ignored(model, trigrams, neurons, fill=None):
    return ablation.accuracy_without_neurons(model, trigrams, neurons, None)


@mistake("accuracy_without_neurons", "You set every unit to `fill`; only those in `neurons` change")
def fill_everywhere(model, trigrams, neurons, fill=None):
    everything = torch.ones_like(neurons) if fill is not None else neurons
    return ablation.accuracy_without_neurons(model, trigrams, everything, fill)


@mistake("accuracy_without_neurons", "You gave every removed unit the mean of `fill`; each has its own entry")
def fill_averaged(model, trigrams, neurons, fill=None):
    fill = None if fill is None else fill.mean().expand_as(fill)
    return ablation.accuracy_without_neurons(model, trigrams, neurons, fill)


@mistake("accuracy_without_neurons", "You added `fill` to the units; it takes the place of their value")
def fill_added(model, trigrams, neurons, fill=None):
    def edit(post, hook):
        return torch.where(neurons, torch.zeros_like(post) if fill is None else post + fill, post)

    return _without(model, trigrams, edit)


@mistake("accuracy_without_neurons", "The third token was in the input, so you asked for what comes after the trigram")
def third_in_input(model, trigrams, neurons, fill=None):
    def edit(post, hook):
        return torch.where(neurons, torch.zeros_like(post) if fill is None else fill, post)

    return _without(model, trigrams, edit, inputs=trigrams)


@mistake("accuracy_without_neurons", "You returned the number of right answers; asked for is their share")
def counted(model, trigrams, neurons, fill=None):
    return ablation.accuracy_without_neurons(model, trigrams, neurons, fill) * len(trigrams)


@mistake("accuracy_without_neurons", "You returned the share of wrong answers")
def errors_counted(model, trigrams, neurons, fill=None):
    return 1 - ablation.accuracy_without_neurons(model, trigrams, neurons, fill)


@mistake(
    "accuracy_without_neurons", "This is the model's accuracy with all units in place: your edit does not reach it"
)
def nothing_removed(model, trigrams, neurons, fill=None):
    return _without(model, trigrams, lambda post, hook: post)


@mistake("accuracy_without_neurons", "You read the answer at the first token; the trigram is complete at the second")
def first_position_read(model, trigrams, neurons, fill=None):
    def edit(post, hook):
        return torch.where(neurons, torch.zeros_like(post) if fill is None else fill, post)

    return _without(model, trigrams, edit, where=0)


# -- current_token_lookup


@torch.no_grad()
def _lookup(model, position, *, attention=True, bias=True, mlp=True):
    stream = model.W_E + model.W_pos[position]
    if attention:
        value = stream @ model.W_V[0, 0] + bias * model.b_V[0, 0]
        stream = stream + value @ model.W_O[0, 0] + bias * model.b_O[0]
    if mlp:
        stream = stream + model.blocks[0].mlp(stream)
    return (stream @ model.W_U + model.b_U).argmax(-1)


@mistake("current_token_lookup", "You ran single tokens, so they stood at position 0; they stand at `query_pos`")
def lookup_at_zero(model, query_pos=1):
    return _lookup(model, 0)


@mistake(
    "current_token_lookup", "You left the head out; it looks at the token itself, and its value goes into the stream"
)
def lookup_no_head(model, query_pos=1):
    return _lookup(model, query_pos, attention=False)


@mistake("current_token_lookup", "You left the MLP out; it works without a trigram, too")
def lookup_no_mlp(model, query_pos=1):
    return _lookup(model, query_pos, mlp=False)


@mistake("current_token_lookup", "You left out b_V and b_O, which the head writes wherever it looks")
def lookup_no_bias(model, query_pos=1):
    return _lookup(model, query_pos, bias=False)


@mistake("current_token_lookup", "You always asked at position 1; the position is the argument `query_pos`")
def lookup_fixed_position(model, query_pos=1):
    return _lookup(model, 1)


@mistake(
    "current_token_lookup",
    "You let the token stand before itself and the head choose: a little of its attention goes back",
)
@torch.no_grad()
def lookup_repeated(model, query_pos=1):
    every = torch.arange(model.cfg.d_vocab)
    return model(every[:, None].repeat(1, query_pos + 1))[:, -1].argmax(-1)


# -- explain


def _claims(call, got):
    """Where the account is sure, its first choices, and what the trigrams demand, first and last position left out."""
    required = dataset.required_next_token(call.args["tokens"], call.args["table"])
    top = got.max(-1)
    return (top.values > 0.5)[:, 1:-1], top.indices[:, 1:-1], required[:, 1:-1]


def _sure_exactly(call, got, where):
    sure, first, required = _claims(call, got)
    return bool((sure == where).all() and (first == required)[where].all())


def _pair_values(values, tokens):
    """What a [first, second] table says at every position; position 0 repeats the token."""
    first = torch.cat([tokens[:, :1], tokens[:, :-1]], dim=1)
    return values[first, tokens]


def _program(model, table, tokens, detected):
    """The two modes with another idea of what is detected."""
    sure = torch.eye(len(table))[table.clamp(min=0)]
    lookup = explain.explain(model, torch.full_like(table, -1), tokens)
    where = _pair_values(detected & (table >= 0), tokens)
    where[:, 0] = False
    return torch.where(where[..., None], _pair_values(sure, tokens), lookup)


@torch.no_grad()
def _mixed(model, tokens, shares):
    """The weights run pair by pair, with a given share of attention for the first token of each pair."""
    d = len(shares)
    stream = model.W_E + model.W_pos[1]
    before = (model.W_E + model.W_pos[0]) @ model.W_V[0, 0] + model.b_V[0, 0]
    own = stream @ model.W_V[0, 0] + model.b_V[0, 0]
    z = shares[..., None] * before[:, None] + (1 - shares[..., None]) * own
    x = (stream + z @ model.W_O[0, 0] + model.b_O[0]).flatten(0, 1)
    out = ((x + model.blocks[0].mlp(x)) @ model.W_U + model.b_U).softmax(-1)
    answer = _pair_values(out.unflatten(0, (d, d)), tokens)
    return answer


@mistake("explain", "A model is not its own explanation: build the probabilities from the weights")
@torch.no_grad()
def runs_the_model(model, table, tokens):
    return model(tokens).softmax(-1)


@mistake(
    "explain",
    "You let the head look back always, so your program is sure of an answer at every place; the gate is the algorithm",
    when=lambda at, call, got: _claims(call, got)[0][_claims(call, got)[2] < 0].double().mean() > 0.5,
)
def always_back(model, table, tokens):
    return _mixed(model, tokens, torch.ones_like(table, dtype=torch.float32))


@mistake(
    "explain",
    "Your program is never sure of anything: the lookups are only half of the story, the head detects pairs as well",
    when=lambda at, call, got: not _claims(call, got)[0].any() and bool((got >= 0).all()),
)
def never_back(model, table, tokens):
    return _mixed(model, tokens, torch.zeros_like(table, dtype=torch.float32))


@mistake(
    "explain",
    "Your program knows every trigram, and the model does not: ask its weights which pairs its head reacts to",
    when=lambda at, call, got: _sure_exactly(call, got, _claims(call, got)[2] >= 0),
)
def knows_every_trigram(model, table, tokens):
    return _program(model, table, tokens, table >= 0)


@mistake(
    "explain",
    "Your bar for a detected pair is 0.5; there are trigrams with less of the attention that the model is sure of",
    when=lambda at, call, got: _sure_exactly(call, got, _above(at, call, 0.5)),
)
def bar_too_high(model, table, tokens):
    return _program(model, table, tokens, circuits.previous_token_attention(model) > 0.5)


def _above(at, call, bar):
    real = (circuits.previous_token_attention(at.model) > bar) & (table(at) >= 0)
    return _pair_values(real, call.args["tokens"])[:, 1:-1]


@mistake(
    "explain",
    "Your gate is 0 or 1; the model mixes the two tokens, and its MLP is tuned to that mixture",
    when=lambda at, call, got: _same_claims(
        call, got, gate_shut_or_open.function(at.model, *list(call.args.values())[1:])
    ),
)
def gate_shut_or_open(model, table, tokens):
    return _mixed(model, tokens, (circuits.previous_token_attention(model) > 0.2).float())


def _same_claims(call, got, theirs):
    sure, first, _ = _claims(call, got)
    their_sure, their_first, _ = _claims(call, theirs)
    return bool((sure == their_sure).all() and (first == their_first)[sure].all())


@mistake(
    "explain",
    "Your sure answers stand at the third tokens; they belong one place earlier, at the second token of the pair",
    when=lambda at, call, got: _sure_exactly_late(at, call, got),
)
def one_place_late(model, table, tokens):
    return explain.explain(model, table, tokens).roll(1, dims=1)


def _sure_exactly_late(at, call, got):
    sure = got.max(-1).values > 0.5
    return bool((sure[:, 2:-1] == _above(at, call, 0.2)[:, :-1]).all())


@mistake("explain", "You looked up table[second, first]: the rows of the table are first tokens")
def explain_transposed(model, table, tokens):
    return explain.explain(model, table.T.contiguous(), tokens)


@mistake(
    "explain",
    "You returned logits; a softmax makes them probabilities",
    when=lambda at, call, got: (got.min() < -1 or got.max() > 2) and bool(got.isfinite().all()),
)
def explain_logits(model, table, tokens):
    return explain.explain(model, table, tokens).clamp(min=1e-6).log()


@mistake(
    "explain",
    "Your lookup is uniform; where nothing is detected the model still has a weak preference for one token",
    when=lambda at, call, got: _sure_exactly(call, got, _above(at, call, 0.2)) and _flat(call, got),
)
def uniform_lookup(model, table, tokens):
    answer = explain.explain(model, table, tokens)
    unsure = answer.max(-1, keepdim=True).values < 0.5
    return torch.where(unsure, torch.full_like(answer, 1 / answer.shape[-1]), answer)


def _flat(call, got):
    rows = got[got.max(-1).values <= 0.5]
    return bool((rows.max(-1).values - rows.min(-1).values).max() < 1e-3)
