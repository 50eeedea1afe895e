"""Known wrong versions of the first_unique_char exercises, each with what it is called when a learner makes it."""

from functools import partial

import torch
import torch.nn.functional as F

from kata.checking import mistake
from solutions.first_unique_char import ablation, attribution, circuits, dataset, explain

SCALE_NAMES = {
    "first": "blocks.0.ln1.hook_scale",
    "second": "blocks.1.ln1.hook_scale",
    "final": "ln_final.hook_scale",
}


def generator(seed):
    return torch.Generator().manual_seed(seed)


# -- make_sequences


@mistake(
    "make_sequences",
    "You draw from 0 to 10, so the '?' turns up among the letters; the upper end of randint is not drawn",
    when=lambda at, call, made: (made[:, 0] == 10).all() and (made[:, 1:] == 10).any(),
)
def question_mark_inside(n, seed, seq_len):
    return torch.cat([torch.full((n, 1), 10), torch.randint(0, 11, (n, seq_len - 1), generator=generator(seed))], dim=1)


@mistake(
    "make_sequences",
    "You draw a letter for position 0 as well, where every sequence has its '?'",
    when=lambda at, call, made: made.shape[1] == call.args["seq_len"] and (made[:, 0] < 10).all(),
)
def no_start(n, seed, seq_len):
    return torch.randint(0, 10, (n, seq_len), generator=generator(seed))


@mistake(
    "make_sequences",
    "Your sequences are one token too long: the '?' at position 0 counts among the seq_len tokens",
    when=lambda at, call, made: made.shape == (call.args["n"], call.args["seq_len"] + 1),
)
def one_too_long(n, seed, seq_len):
    return dataset.make_sequences(n, seed, seq_len + 1)


@mistake(
    "make_sequences",
    "The letter j, id 9, never comes: the upper end of randint is not drawn",
    when=lambda at, call, made: (made[:, 0] == 10).all() and made[:, 1:].max() == 8,
)
def last_letter_missing(n, seed, seq_len):
    return torch.cat([torch.full((n, 1), 10), torch.randint(0, 9, (n, seq_len - 1), generator=generator(seed))], dim=1)


@mistake(
    "make_sequences",
    "You draw one sequence and hand it out n times",
    when=lambda at, call, made: (made == made[0]).all(),
)
def all_the_same(n, seed, seq_len):
    return dataset.make_sequences(1, seed, seq_len).expand(n, -1)


@mistake(
    "make_sequences",
    "Your generator always starts at seed 0: the argument `seed` never reaches it",
)
def seed_ignored(n, seed, seq_len):
    return dataset.make_sequences(n, 0, seq_len)


@mistake(
    "make_sequences",
    "It seeds the program's own generator",
    accepted="the sequences are as good; the grader's note tells that a generator of its own would disturb nobody",
)
def global_seed(n, seed, seq_len):
    torch.manual_seed(seed)
    return torch.cat([torch.full((n, 1), 10), torch.randint(0, 10, (n, seq_len - 1))], dim=1)


# -- first_unique_labels


def labels_by_hand(tokens, null_token, seen=lambda row, p: row[1 : p + 1], pick=None):
    pick = pick or (lambda s: next((c for c in s if s.count(c) == 1), null_token))
    rows = [[null_token, *(pick(seen(row, p)) for p in range(1, len(row)))] for row in tokens.tolist()]
    return torch.tensor(rows)


@mistake(
    "first_unique_labels", "You look at the positions before p only; position p itself belongs to what has been seen"
)
def looks_before_p(tokens, null_token):
    return labels_by_hand(tokens, null_token, seen=lambda row, p: row[1:p])


@mistake("first_unique_labels", "You give the last unique character; the question is which stands earliest")
def last_unique(tokens, null_token):
    return labels_by_hand(tokens, null_token, seen=lambda row, p: row[p:0:-1])


@mistake(
    "first_unique_labels",
    "You count over the whole sequence: at position p nobody knows what comes after p",
)
def peeks_ahead(tokens, null_token):
    rows = []
    for row in tokens.tolist():
        seen = [[c for c in row[1 : p + 1] if row[1:].count(c) == 1] for p in range(len(row))]
        rows.append([null_token, *([*s, null_token][0] for s in seen[1:])])
    return torch.tensor(rows)


@mistake(
    "first_unique_labels", "You count what stands at position 0, so it is the first unique character nearly always"
)
def counts_position_0(tokens, null_token):
    return labels_by_hand(tokens, null_token, seen=lambda row, p: row[: p + 1])


@mistake("first_unique_labels", "You give the first character, whether it has come again or not")
def first_character(tokens, null_token):
    return labels_by_hand(tokens, null_token, pick=lambda s: s[0])


@mistake(
    "first_unique_labels",
    "Of the unique characters you take the first in the alphabet; the question is which stands earliest in the "
    "sequence",
)
def first_in_the_alphabet(tokens, null_token):
    return labels_by_hand(tokens, null_token, pick=lambda s: min((c for c in s if s.count(c) == 1), default=null_token))


@mistake(
    "first_unique_labels", "Where nothing is unique you always answer 10: that is what the argument null_token is for"
)
def null_is_always_10(tokens, null_token):
    made = dataset.first_unique_labels(tokens, null_token)
    return torch.where(made == null_token, 10, made)


@mistake(
    "first_unique_labels",
    "Once a character has come twice you begin anew after its second place; the earlier ones still count",
)
def begins_anew(tokens, null_token):
    rows = []
    for row in tokens.tolist():
        seen, made = [], [null_token]
        for c in row[1:]:
            seen = [] if c in seen else [*seen, c]
            made.append(seen[0] if seen else null_token)
        rows.append(made)
    return torch.tensor(rows)


# -- occurrence_info


@mistake("occurrence_info", "You count up to the position before p; the letter at p itself counts too")
def exclusive_count(tokens):
    count, first = dataset.occurrence_info(tokens)
    return count - F.one_hot(tokens, 11)[..., :10], first


@mistake(
    "occurrence_info", "A letter that has not come yet has position 0 in your result: that is where argmax ends up"
)
def never_is_0(tokens):
    count, first = dataset.occurrence_info(tokens)
    return count, torch.where(count > 0, first, 0)


@mistake(
    "occurrence_info", "Your first positions know the future: before a letter has come they already say where it will"
)
def first_of_the_whole_sequence(tokens):
    count, first = dataset.occurrence_info(tokens)
    return count, first[:, -1:].expand_as(count)


@mistake("occurrence_info", "You give the position where a letter came last, not where it came first")
def last_position(tokens):
    count, _ = dataset.occurrence_info(tokens)
    here = F.one_hot(tokens, 11)[..., :10] * torch.arange(tokens.shape[1])[:, None]
    return count, torch.where(count > 0, here.cummax(1).values, 99)


@mistake("occurrence_info", "You count over the whole sequence, whatever the position p")
def total_count(tokens):
    count, first = dataset.occurrence_info(tokens)
    return count[:, -1:].expand_as(count), first


@mistake("occurrence_info", "You say whether a letter has come, 1 or 0, not how often")
def seen_not_counted(tokens):
    count, first = dataset.occurrence_info(tokens)
    return count.clamp(max=1), first


# -- ln0_scale_table


def residual(model):
    return model.W_E[:, None] + model.W_pos


@mistake(
    "ln0_scale_table", "You divide by 41 and not by 42: torch's std and var correct for a sample, a LayerNorm does not"
)
@torch.no_grad()
def sample_variance(model):
    return (residual(model).var(-1) + model.cfg.eps).sqrt()


@mistake(
    "ln0_scale_table", "Your scale is that of the token embedding alone: the position is in the residual stream as well"
)
@torch.no_grad()
def without_positions(model):
    return (model.W_E.pow(2).mean(-1) + model.cfg.eps).sqrt()[:, None].repeat(1, 20)


@mistake(
    "ln0_scale_table",
    "You used torch's std as it comes: it divides by 41 and not by 42, and knows no eps under the root",
)
@torch.no_grad()
def sample_deviation(model):
    return residual(model).std(-1)


@mistake("ln0_scale_table", "You leave out eps, which stands under the root")
@torch.no_grad()
def without_eps(model):
    return residual(model).pow(2).mean(-1).sqrt()


@mistake("ln0_scale_table", "You give the mean square; the scale is its root")
@torch.no_grad()
def without_root(model):
    return residual(model).pow(2).mean(-1) + model.cfg.eps


@mistake(
    "ln0_scale_table", "You give the length of the vector: the mean over the 42 directions is missing, a factor of 6.5"
)
@torch.no_grad()
def length(model):
    return (residual(model).pow(2).sum(-1) + model.cfg.eps).sqrt()


@mistake(
    "ln0_scale_table",
    "You add the squares of token and position; they must be added first and squared then, for they are not orthogonal",
)
@torch.no_grad()
def squares_added(model):
    return (model.W_E.pow(2).mean(-1)[:, None] + model.W_pos.pow(2).mean(-1) + model.cfg.eps).sqrt()


# -- freeze_layernorm


@torch.no_grad()
def freeze(model, tokens, which, mean=lambda scale: scale[:, 1:].mean(), recompute=False):
    _, cache = model.run_with_cache(tokens)

    def hook(scale, hook, name):
        return mean(scale if recompute else cache[SCALE_NAMES[name]]).expand_as(scale)

    return model.run_with_hooks(tokens, fwd_hooks=[(SCALE_NAMES[n], partial(hook, name=n)) for n in which])


@mistake("freeze_layernorm", "You keep a mean for every position; a frozen LayerNorm divides by one number everywhere")
def mean_per_position(model, tokens, which):
    return freeze(model, tokens, which, mean=lambda scale: scale.mean(0, keepdim=True))


@mistake("freeze_layernorm", "Position 0 is in your mean: there every sequence has the same '?', so it is left out")
def mean_with_position_0(model, tokens, which):
    return freeze(model, tokens, which, mean=lambda scale: scale.mean())


@mistake(
    "freeze_layernorm",
    "You freeze the final LayerNorm whatever is named: that one cannot change the winner, try the first",
)
def only_the_final(model, tokens, which):
    return freeze(model, tokens, ["final"])


@mistake("freeze_layernorm", "You freeze all three LayerNorms, whichever are named")
def always_all(model, tokens, which):
    return freeze(model, tokens, list(SCALE_NAMES))


@mistake(
    "freeze_layernorm",
    "Your means come from the run in which other LayerNorms are frozen already; they are those of the undisturbed "
    "model",
)
def mean_of_the_disturbed_run(model, tokens, which):
    return freeze(model, tokens, which, recompute=True)


@mistake("freeze_layernorm", "You set the scale to 1, which takes the LayerNorm out; frozen, it divides by its mean")
def scale_of_1(model, tokens, which):
    return freeze(model, tokens, which, mean=lambda scale: torch.ones(()))


@mistake(
    "freeze_layernorm",
    "All your hooks use the last mean: a lambda in a loop sees the loop's variable as it is at the end, so bind it",
)
def last_mean_for_all(model, tokens, which):
    _, cache = model.run_with_cache(tokens)
    hooks = []
    for name in which:
        mean = cache[SCALE_NAMES[name]][:, 1:].mean()
        hooks.append((SCALE_NAMES[name], lambda scale, hook: mean.expand_as(scale)))  # noqa: B023 - the mistake itself
    return model.run_with_hooks(tokens, fwd_hooks=hooks)


# -- token_qk


@mistake("token_qk", "Your table is transposed: rows are the letters that ask, which go through W_Q")
def transposed_scores(model, head, ln_scale):
    return circuits.token_qk(model, head, ln_scale).T


@mistake("token_qk", "You do not divide by the root of d_head, so every score is 3.7 times too large")
def no_root(model, head, ln_scale):
    return circuits.token_qk(model, head, ln_scale) * model.cfg.d_head**0.5


@mistake("token_qk", "You divide by the root of d_model; a head's queries and keys have d_head = 14 directions")
def root_of_d_model(model, head, ln_scale):
    return circuits.token_qk(model, head, ln_scale) * (model.cfg.d_head / model.cfg.d_model) ** 0.5


@mistake("token_qk", "You leave the LayerNorm out: the embeddings reach the head divided by ln_scale")
def no_layernorm(model, head, ln_scale):
    return circuits.token_qk(model, head, 1.0)


@mistake("token_qk", "You divide by ln_scale once; query and key both come through the LayerNorm")
def layernorm_once(model, head, ln_scale):
    return circuits.token_qk(model, head, ln_scale) * ln_scale


@mistake("token_qk", "Your scores contain the query and key biases; here only the two letters count")
@torch.no_grad()
def with_biases(model, head, ln_scale):
    letters = model.W_E[:10] / ln_scale
    query = letters @ model.W_Q[0, head] + model.b_Q[0, head]
    key = letters @ model.W_K[0, head] + model.b_K[0, head]
    return query @ key.T / model.cfg.d_head**0.5


@mistake("token_qk", "You read a head of layer 1; its inputs are no longer the embeddings")
@torch.no_grad()
def layer_1(model, head, ln_scale):
    letters = model.W_E[:10] / ln_scale
    return letters @ model.W_Q[1, head] @ (letters @ model.W_K[1, head]).T / model.cfg.d_head**0.5


@mistake("token_qk", "You return the softmax of the scores, not the scores")
def softmaxed(model, head, ln_scale):
    return circuits.token_qk(model, head, ln_scale).softmax(-1)


# -- l0_detectors


@torch.no_grad()
def detectors(model, tokens, hi, lo, dim=-1, ids=10, root=True, soft=True, scale=None, diagonal=True, swapped=False):
    _, cache = model.run_with_cache(tokens)
    letters = model.W_E[:ids] / (scale or (lambda s: s[:, 1:].mean()))(cache["blocks.0.ln1.hook_scale"])
    scores = (letters @ model.W_Q[0]) @ (letters @ model.W_K[0]).mT / (model.cfg.d_head**0.5 if root else 1)
    table = scores.softmax(dim) if soft else scores
    rows = table.diagonal(dim1=-2, dim2=-1)[:, :10].tolist()
    made = {
        head: ({i for i, v in enumerate(row) if v > hi}, {i for i, v in enumerate(row) if v < lo})
        for head, row in enumerate(rows)
    }
    return {head: sets[::-1] for head, sets in made.items()} if swapped else made


@mistake("l0_detectors", "Your softmax runs over the letters that ask; each letter that asks chooses among the keys")
def softmax_over_queries(model, tokens, hi, lo):
    return detectors(model, tokens, hi, lo, dim=-2)


@mistake("l0_detectors", "The '?' is among your keys and takes its share: the choice is between the ten letters only")
def question_mark_as_key(model, tokens, hi, lo):
    return detectors(model, tokens, hi, lo, ids=11)


@mistake("l0_detectors", "You do not divide the scores by the root of d_head, so the softmax comes out too sharp")
def too_sharp(model, tokens, hi, lo):
    return detectors(model, tokens, hi, lo, root=False)


@mistake("l0_detectors", "You hold the scores themselves against hi and lo; those are shares, after a softmax")
def thresholds_on_scores(model, tokens, hi, lo):
    return detectors(model, tokens, hi, lo, soft=False)


@mistake("l0_detectors", "You leave the LayerNorm out: the scores come out far too small and the softmax nearly flat")
def detectors_without_layernorm(model, tokens, hi, lo):
    return detectors(model, tokens, hi, lo, scale=lambda s: 1.0)


@mistake("l0_detectors", "Position 0 is in your mean scale: there every sequence has the same '?', so it is left out")
def detectors_with_position_0(model, tokens, hi, lo):
    return detectors(model, tokens, hi, lo, scale=lambda s: s.mean())


@mistake(
    "l0_detectors", "The two sets of each head are exchanged: duplicate letters come first, anti-duplicate ones second"
)
def sets_exchanged(model, tokens, hi, lo):
    return detectors(model, tokens, hi, lo, swapped=True)


@mistake("l0_detectors", "You always use 0.30 and 0.04: the thresholds are the arguments hi and lo")
def fixed_thresholds(model, tokens, hi, lo):
    return detectors(model, tokens, 0.30, 0.04)


# -- virtual_keys


@torch.no_grad()
def keys(model, queries, scales, moved_by=lambda s: s[0], plain_by=lambda s: 1.0, after=lambda s: s[1], weight="W_K"):
    moved = model.W_E / moved_by(scales) @ model.W_V[0] @ model.W_O[0]
    sources = torch.cat([model.W_E[None] / plain_by(scales), moved]) / after(scales)
    return torch.einsum("svm,hmd,hd->hsv", sources, getattr(model, weight)[1], queries) / model.cfg.d_head**0.5


@mistake("virtual_keys", "You do not divide by the root of d_head, so every score is 3.7 times too large")
def keys_without_root(model, queries, scales):
    return keys(model, queries, scales) * model.cfg.d_head**0.5


@mistake("virtual_keys", "The ways through layer 0 are not divided by the first LayerNorm's scale")
def keys_first_scale_missing(model, queries, scales):
    return keys(model, queries, scales, moved_by=lambda s: 1.0)


@mistake(
    "virtual_keys", "You divide the plain way by the first LayerNorm's scale too; it does not pass through layer 0"
)
def keys_first_scale_on_all(model, queries, scales):
    return keys(model, queries, scales, plain_by=lambda s: s[0])


@mistake("virtual_keys", "Layer 1 has a LayerNorm too: you do not divide by the second scale")
def keys_second_scale_missing(model, queries, scales):
    return keys(model, queries, scales, after=lambda s: 1.0)


@mistake("virtual_keys", "You send the tokens through W_Q; what is looked at goes through W_K, the query is given")
def keys_through_w_q(model, queries, scales):
    return keys(model, queries, scales, weight="W_Q")


@mistake("virtual_keys", "You send the tokens through W_V; that says what is read, W_K says how much it is looked at")
def keys_through_w_v(model, queries, scales):
    return keys(model, queries, scales, weight="W_V")


@mistake("virtual_keys", "Your scores contain the key bias; here only the token counts")
@torch.no_grad()
def keys_with_bias(model, queries, scales):
    bias = (queries * model.b_K[1]).sum(-1) / model.cfg.d_head**0.5
    return keys(model, queries, scales) + bias[:, None, None]


@mistake("virtual_keys", "You return the softmax of the scores, not the scores")
def keys_softmaxed(model, queries, scales):
    return keys(model, queries, scales).softmax(-1)


# -- virtual_ov


@torch.no_grad()
def virtual(model, scales, moved_by=lambda s: s[0], plain_by=lambda s: 1.0, after=lambda s: s[1] * s[2]):
    ov0, ov1 = (model.W_V[layer] @ model.W_O[layer] for layer in range(2))
    sources = torch.cat([model.W_E[None] / plain_by(scales), model.W_E / moved_by(scales) @ ov0])
    return sources @ ov1[:, None] @ model.W_U / after(scales)


@mistake("virtual_ov", "The ways through layer 0 are not divided by the first LayerNorm's scale")
def first_scale_missing(model, scales):
    return virtual(model, scales, moved_by=lambda s: 1.0)


@mistake("virtual_ov", "You divide the plain way by the first LayerNorm's scale too; it does not pass through layer 0")
def first_scale_on_all(model, scales):
    return virtual(model, scales, plain_by=lambda s: s[0])


@mistake("virtual_ov", "Layer 1 has a LayerNorm too: you do not divide by the second scale")
def second_scale_missing(model, scales):
    return virtual(model, scales, after=lambda s: s[2])


@mistake("virtual_ov", "Before the unembedding there is a LayerNorm too: you do not divide by the final scale")
def final_scale_missing(model, scales):
    return virtual(model, scales, after=lambda s: s[1])


@mistake("virtual_ov", "The tables are transposed: rows are tokens, columns are logits")
def tables_transposed(model, scales):
    return virtual(model, scales).mT


@mistake("virtual_ov", "You go through layer 1 first and layer 0 then; the token meets layer 0 first")
@torch.no_grad()
def layers_exchanged(model, scales):
    ov0, ov1 = (model.W_V[layer] @ model.W_O[layer] for layer in range(2))
    made = virtual(model, scales)
    made[:, 1:] = model.W_E @ ov1[:, None] @ ov0 @ model.W_U / (scales[0] * scales[1] * scales[2])
    return made


@mistake(
    "virtual_ov", "For the three heads of layer 0 your first two axes are exchanged: the head of layer 1 comes first"
)
def head_axes_exchanged(model, scales):
    made = virtual(model, scales)
    return torch.cat([made[:, :1], made[:, 1:].transpose(0, 1)], dim=1)


@mistake("virtual_ov", "The plain way stands last in your result; it is source 0")
def plain_way_last(model, scales):
    return virtual(model, scales).roll(-1, dims=1)


# -- component_logits


@torch.no_grad()
def final_scale(model, tokens):
    return model.run_with_cache(tokens)[1]["ln_final.hook_scale"]


@torch.no_grad()
def bias_logits(model, tokens):
    """What b_U alone adds."""
    return model.b_U.expand(*tokens.shape, -1)


@mistake("component_logits", "You do not divide by the final LayerNorm's scale")
def scale_left_out(model, tokens):
    made = attribution.component_logits(model, tokens)
    unembedded = bias_logits(model, tokens)
    made[-1] -= unembedded
    made = made * final_scale(model, tokens)
    made[-1] += unembedded
    return made


@mistake(
    "component_logits", "You divide by the final scale's mean; each position of each sequence has a scale of its own"
)
def constant_scale(model, tokens):
    made, scale = attribution.component_logits(model, tokens), final_scale(model, tokens)
    unembedded = bias_logits(model, tokens)
    made[-1] -= unembedded
    made = made * scale / scale.mean()
    made[-1] += unembedded
    return made


@mistake("component_logits", "Your last component is empty: without the biases the nine do not sum to the logits")
def biases_dropped(model, tokens):
    made = attribution.component_logits(model, tokens)
    made[-1] = 0
    return made


@mistake("component_logits", "The unembedding's own bias is missing; it is added after the LayerNorm")
def unembedding_bias_forgotten(model, tokens):
    made = attribution.component_logits(model, tokens)
    made[-1] -= bias_logits(model, tokens)
    return made


@mistake("component_logits", "The attention layers' output biases are missing: your last component is b_U alone")
def output_biases_forgotten(model, tokens):
    made = attribution.component_logits(model, tokens)
    made[-1] = bias_logits(model, tokens)
    return made


@mistake("component_logits", "Of the output biases you have layer 1's only: each attention layer has one of its own")
@torch.no_grad()
def first_output_bias_forgotten(model, tokens):
    made = attribution.component_logits(model, tokens)
    made[-1] -= model.b_O[0] / final_scale(model, tokens) @ model.W_U
    return made


@mistake(
    "component_logits",
    "The unembedding's bias does not pass through the LayerNorm: it must not be divided by the scale",
)
def unembedding_bias_divided(model, tokens):
    made, added = attribution.component_logits(model, tokens), bias_logits(model, tokens)
    made[-1] += added / final_scale(model, tokens) - added
    return made


@mistake("component_logits", "Layer 1's heads stand before layer 0's in your result")
def layers_out_of_order(model, tokens):
    return attribution.component_logits(model, tokens)[[0, 1, 5, 6, 7, 2, 3, 4, 8]]


# -- duplicate_attribution, responsible_heads


@torch.no_grad()
def layer1_heads(model, tokens, layer=1, divide=True):
    """Direct attribution of one layer's heads to the letters: [head, batch, pos, letter]."""
    _, cache = model.run_with_cache(tokens)
    written = torch.einsum("bphd,hdm->hbpm", cache[f"blocks.{layer}.attn.hook_z"], model.W_O[layer])
    return (written / (cache["ln_final.hook_scale"] if divide else 1) @ model.W_U)[..., :10]


def averaged(table, where):
    where = where.expand(table.shape[1:])
    return (table * where).sum((1, 2)) / where.sum((0, 1)).clamp(min=1)


def counted(tokens):
    return dataset.occurrence_info(tokens)[0]


def here(tokens):
    return F.one_hot(tokens, 11)[..., :10].bool()


def is_answer(tokens):
    return F.one_hot(dataset.first_unique_labels(tokens), 11)[..., :10].bool()


@mistake("duplicate_attribution", "You average over all positions, whether the letter has come twice or not")
def no_repeat_mask(model, tokens):
    return averaged(layer1_heads(model, tokens), torch.tensor(True))


@mistake(
    "duplicate_attribution",
    "You look only where the letter stands again; once it has come twice, every later position counts",
)
def at_the_repeat_only(model, tokens):
    return averaged(layer1_heads(model, tokens), here(tokens) & (counted(tokens) >= 2))


@mistake("duplicate_attribution", "You count a letter from its first time on; it is repeated from the second")
def from_the_first(model, tokens):
    return averaged(layer1_heads(model, tokens), counted(tokens) >= 1)


@mistake("duplicate_attribution", "You count a letter from its third time on; it is repeated from the second")
def from_the_third(model, tokens):
    return averaged(layer1_heads(model, tokens), counted(tokens) > 2)


@mistake("duplicate_attribution", "Your count stops before p, so the position where the letter comes again is missing")
def count_stops_before_p(model, tokens):
    return averaged(layer1_heads(model, tokens), counted(tokens) - here(tokens).long() >= 2)


@mistake(
    "duplicate_attribution",
    "You divide by the number of all positions; the average is over those where the letter is repeated",
)
def divided_by_all(model, tokens):
    return (layer1_heads(model, tokens) * (counted(tokens) >= 2)).mean((1, 2))


@mistake("duplicate_attribution", "You average where the letter is the answer: there it is unique, not repeated")
def where_it_is_the_answer(model, tokens):
    return averaged(layer1_heads(model, tokens), is_answer(tokens))


@mistake("duplicate_attribution", "You average each sequence first; every position counts alike, so pool them all")
def sequences_first(model, tokens):
    where = counted(tokens) >= 2
    table = layer1_heads(model, tokens) * where
    return (table.sum(2) / where.sum(1).clamp(min=1)).mean(1)


@mistake("duplicate_attribution", "You do not divide by the final LayerNorm's scale")
def attribution_without_scale(model, tokens):
    return averaged(layer1_heads(model, tokens, divide=False), counted(tokens) >= 2)


@mistake("duplicate_attribution", "A letter that never comes twice gets 0; you divide 0 by 0")
def zero_by_zero(model, tokens):
    where = counted(tokens) >= 2
    return (layer1_heads(model, tokens) * where).sum((1, 2)) / where.sum((0, 1))


@mistake("responsible_heads", "You take the head that raises a letter most; responsible is the one that pushes it down")
def highest_head(model, tokens):
    return averaged(layer1_heads(model, tokens), counted(tokens) >= 2).argmax(0)


@mistake("responsible_heads", "You average over all positions, whether the letter has come twice or not")
def lowest_everywhere(model, tokens):
    return averaged(layer1_heads(model, tokens), torch.tensor(True)).argmin(0)


@mistake("responsible_heads", "You average where the letter is the answer: there it is unique, not repeated")
def lowest_where_it_is_the_answer(model, tokens):
    return averaged(layer1_heads(model, tokens), is_answer(tokens)).argmin(0)


@mistake("responsible_heads", "You ask the heads of layer 0; those that write the answers are in layer 1")
def heads_of_layer_0(model, tokens):
    return averaged(layer1_heads(model, tokens, layer=0), counted(tokens) >= 2).argmin(0)


@mistake(
    "responsible_heads",
    "You read it off the weights, by the plain way; what the heads do to these tokens depends on what layer 0 has "
    "brought",
)
@torch.no_grad()
def from_the_plain_way(model, tokens):
    table = model.W_E @ model.W_V[1] @ model.W_O[1] @ model.W_U
    return table.diagonal(dim1=1, dim2=2)[:, :10].argmin(0)


@mistake("responsible_heads", "You name the head with the longest diagonal in the OV tables, whatever the tokens are")
@torch.no_grad()
def from_the_diagonals(model, tokens):
    _, cache = model.run_with_cache(tokens)
    scales = tuple(cache[name][:, 1:].mean().item() for name in SCALE_NAMES.values())
    return circuits.virtual_ov(model, scales).diagonal(dim1=2, dim2=3)[..., :10].norm(dim=1).argmax(0)


@mistake("responsible_heads", "You count a letter from its first time on; it is repeated from the second")
def lowest_from_the_first(model, tokens):
    return averaged(layer1_heads(model, tokens), counted(tokens) >= 1).argmin(0)


# -- value_path_logits


@torch.no_grad()
def value_paths(model, tokens, scale="blocks.1.ln1.hook_scale", final=True, attend=True, bias=True):
    _, cache = model.run_with_cache(tokens)
    z = cache["blocks.0.attn.hook_z"]
    heads = torch.einsum("bphd,hdm->hbpm", z, model.W_O[0])
    added = model.b_O[0].expand_as(heads[0]) if bias else torch.zeros_like(heads[0])
    sources = torch.stack([cache["hook_embed"], cache["hook_pos_embed"], *heads, added])
    values = torch.einsum("sbpm,hmd->sbphd", sources / cache[scale], model.W_V[1])
    if attend:
        values = torch.einsum("bhqk,sbkhd->sbqhd", cache["blocks.1.attn.hook_pattern"], values)
    written = torch.einsum("sbphd,hdm->sbpm", values, model.W_O[1])
    return written / (cache["ln_final.hook_scale"] if final else 1) @ model.W_U


@mistake("value_path_logits", "You divide by layer 0's LayerNorm scale; layer 1 reads through the second one")
def scale_of_layer_0(model, tokens):
    return value_paths(model, tokens, scale="blocks.0.ln1.hook_scale")


@mistake("value_path_logits", "You do not divide by the final LayerNorm's scale")
def value_path_without_scale(model, tokens):
    return value_paths(model, tokens, final=False)


@mistake("value_path_logits", "Your values stay where they are: layer 1's attention carries them from key to query")
def values_not_moved(model, tokens):
    return value_paths(model, tokens, attend=False)


@mistake("value_path_logits", "Your sixth source is empty; layer 1 also reads the output bias of layer 0")
def bias_source_empty(model, tokens):
    return value_paths(model, tokens, bias=False)


@mistake("value_path_logits", "You give what the sources add directly; here only what layer 1 has carried counts")
@torch.no_grad()
def direct_instead(model, tokens):
    made = attribution.component_logits(model, tokens)
    bias = model.b_O[0] / final_scale(model, tokens) @ model.W_U
    return torch.cat([made[:5], bias[None]])


@mistake("value_path_logits", "Your paths contain the direct way as well; only what layer 1 has carried counts")
def direct_too(model, tokens):
    return value_paths(model, tokens) + direct_instead.function(model, tokens)


@mistake(
    "value_path_logits", "Your last source contains layer 1's own output bias; it is nothing that layer 1 has read"
)
@torch.no_grad()
def own_bias_too(model, tokens):
    made = value_paths(model, tokens)
    made[-1] += model.b_O[1] / final_scale(model, tokens) @ model.W_U
    return made


# -- head_ablation_hook


@mistake(
    "head_ablation_hook", "You take out a position, not a head: the axes of z are batch, position, head, direction"
)
def position_not_head(z, hook, head, kind):
    z = z.clone()
    z[:, head] = 0 if kind == "zero" else z[:, head].mean(0)
    return z


@mistake(
    "head_ablation_hook", "Your mean runs over the positions too; each position has a mean of its own, over the batch"
)
def mean_over_positions(z, hook, head, kind):
    z = z.clone()
    z[:, :, head] = 0 if kind == "zero" else z[:, :, head].mean((0, 1))
    return z


@mistake("head_ablation_hook", "You keep this head and take the others out")
def keeps_only_it(z, hook, head, kind):
    made = torch.zeros_like(z) if kind == "zero" else z.mean(0).expand_as(z).clone()
    made[:, :, head] = z[:, :, head]
    return made


@mistake("head_ablation_hook", "You take out all heads of the layer; only `head` goes")
def all_heads(z, hook, head, kind):
    return torch.zeros_like(z) if kind == "zero" else z.mean(0).expand_as(z).clone()


@mistake("head_ablation_hook", "You always put zeros: with kind 'mean' it is the mean over the batch")
def always_zeros(z, hook, head, kind):
    return ablation.head_ablation_hook(z, hook, head, "zero")


@mistake(
    "head_ablation_hook", "You write into the tensor that came in; work on z.clone(), others still read the original"
)
def in_place(z, hook, head, kind):
    z[:, :, head] = 0 if kind == "zero" else z[:, :, head].mean(0)
    return z


@mistake(
    "head_ablation_hook", "You put the other heads' mean in its place; the mean is this head's own, over the batch"
)
def mean_over_heads(z, hook, head, kind):
    z = z.clone()
    z[:, :, head] = 0 if kind == "zero" else z.mean(2)
    return z


# -- ablate_heads


@torch.no_grad()
def position_loss(model, tokens, labels, hooks=()):
    logits = model.run_with_hooks(tokens, fwd_hooks=list(hooks))
    return F.cross_entropy(logits.mT, labels, reduction="none").mean(0)


def each_head(model, tokens, labels, hook):
    return torch.stack(
        [
            torch.stack(
                [position_loss(model, tokens, labels, [(f"blocks.{la}.attn.hook_z", hook(h))]) for h in range(3)]
            )
            for la in range(2)
        ]
    )


@mistake("ablate_heads", "You subtract the loss averaged over all positions; each position has a baseline of its own")
def one_baseline(model, tokens, labels, kind):
    base = position_loss(model, tokens, labels)
    return ablation.ablate_heads(model, tokens, labels, kind) + base - base.mean()


@mistake(
    "ablate_heads", "You give the loss without the head; subtract the loss of the whole model at the same position"
)
def no_baseline(model, tokens, labels, kind):
    return ablation.ablate_heads(model, tokens, labels, kind) + position_loss(model, tokens, labels)


@mistake("ablate_heads", "Your sign is turned: a loss that rises is a positive entry")
def sign_turned(model, tokens, labels, kind):
    return -ablation.ablate_heads(model, tokens, labels, kind)


@mistake("ablate_heads", "You take out a position, not a head: the axes of z are batch, position, head, direction")
def positions_removed(model, tokens, labels, kind):
    made = each_head(model, tokens, labels, lambda h: partial(position_not_head.function, head=h, kind=kind))
    return made - position_loss(model, tokens, labels)


@mistake("ablate_heads", "Your mean runs over the positions too; each position has a mean of its own, over the batch")
def heads_mean_over_positions(model, tokens, labels, kind):
    made = each_head(model, tokens, labels, lambda h: partial(mean_over_positions.function, head=h, kind=kind))
    return made - position_loss(model, tokens, labels)


@mistake("ablate_heads", "Your hooks stay on: every head is taken out on top of those before it")
def hooks_pile_up(model, tokens, labels, kind):
    hooks, rows = [], []
    for layer in range(2):
        for head in range(3):
            hook = partial(ablation.head_ablation_hook, head=head, kind=kind)
            hooks.append((f"blocks.{layer}.attn.hook_z", hook))
            rows.append(position_loss(model, tokens, labels, hooks))
    return (torch.stack(rows) - position_loss(model, tokens, labels)).unflatten(0, (2, 3))


@mistake("ablate_heads", "The two layers are exchanged in your result")
def layers_flipped(model, tokens, labels, kind):
    return ablation.ablate_heads(model, tokens, labels, kind).flip(0)


@mistake(
    "ablate_heads", "You hold the answers against the right labels of the task, not against the `labels` that are given"
)
def own_labels(model, tokens, labels, kind):
    return ablation.ablate_heads(model, tokens, dataset.first_unique_labels(tokens), kind)


# -- block_self_attention


@torch.no_grad()
def with_pattern(model, tokens, change, layers=(0,)):
    def hook(pattern, hook):
        pattern = pattern.clone()
        change(pattern)
        return pattern

    return model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{la}.attn.hook_pattern", hook) for la in layers])


@mistake(
    "block_self_attention",
    "The attention that you take away is lost: your rows no longer sum to 1, give it to position 0",
)
def attention_lost(model, tokens, positions):
    def change(pattern):
        pattern[:, :, positions, positions] = 0

    return with_pattern(model, tokens, change)


@mistake(
    "block_self_attention", "You send the whole row to position 0; only the attention on the own position moves there"
)
def whole_row_moved(model, tokens, positions):
    def change(pattern):
        pattern[:, :, positions] = 0
        pattern[:, :, positions, 0] = 1

    return with_pattern(model, tokens, change)


@mistake(
    "block_self_attention",
    "You share the freed attention out among all earlier positions; it goes to position 0 alone",
)
def shared_out(model, tokens, positions):
    def change(pattern):
        pattern[:, :, positions, positions] = 0
        pattern[:, :, positions] /= pattern[:, :, positions].sum(-1, keepdim=True)

    return with_pattern(model, tokens, change)


@mistake("block_self_attention", "You hide these positions from every query; only from themselves they may not be seen")
def hidden_from_all(model, tokens, positions):
    def change(pattern):
        pattern[:, :, :, 0] += pattern[:, :, :, positions].sum(-1)
        pattern[:, :, :, positions] = 0

    return with_pattern(model, tokens, change)


@mistake("block_self_attention", "You change the patterns of both layers; only layer 0's heads are blocked")
def both_layers(model, tokens, positions):
    def change(pattern):
        pattern[:, :, positions, 0] += pattern[:, :, positions, positions]
        pattern[:, :, positions, positions] = 0

    return with_pattern(model, tokens, change, layers=(0, 1))


@mistake("block_self_attention", "You block head 0 alone; every head of layer 0 is meant")
def one_head_only(model, tokens, positions):
    def change(pattern):
        pattern[:, 0, positions, 0] += pattern[:, 0, positions, positions]
        pattern[:, 0, positions, positions] = 0

    return with_pattern(model, tokens, change)


# -- ablate_qkv


@torch.no_grad()
def qkv(model, tokens, labels, edit, names="qkv"):
    def without(name, layer, head):
        def hook(x, hook):
            x = x.clone()
            edit(x, head)
            return x

        return position_loss(model, tokens, labels, [(f"blocks.{layer}.attn.hook_{name}", hook)]).mean()

    return torch.stack([without(n, la, h) for n in names for la in range(2) for h in range(3)]).view(-1, 2, 3)


@mistake("ablate_qkv", "Queries and keys are exchanged in your result: the order is queries, keys, values")
def keys_first(model, tokens, labels, kind):
    return ablation.ablate_qkv(model, tokens, labels, kind)[[1, 0, 2]]


@mistake("ablate_qkv", "You give the loss without; subtract the loss of the whole model")
def qkv_no_baseline(model, tokens, labels, kind):
    return ablation.ablate_qkv(model, tokens, labels, kind) + position_loss(model, tokens, labels).mean()


@mistake("ablate_qkv", "Your mean runs over the positions too; each position has a mean of its own, over the batch")
def qkv_mean_over_positions(model, tokens, labels, kind):
    def edit(x, head):
        x[:, :, head] = 0 if kind == "zero" else x[:, :, head].mean((0, 1))

    return qkv(model, tokens, labels, edit) - position_loss(model, tokens, labels).mean()


@mistake("ablate_qkv", "You change all three heads of a layer at once; one head at a time is asked for")
def qkv_all_heads(model, tokens, labels, kind):
    def edit(x, head):
        x[:] = 0 if kind == "zero" else x.mean(0)

    return qkv(model, tokens, labels, edit) - position_loss(model, tokens, labels).mean()


@mistake("ablate_qkv", "You always put zeros: with kind 'mean' it is the mean over the batch")
def qkv_always_zeros(model, tokens, labels, kind):
    return ablation.ablate_qkv(model, tokens, labels, "zero")


@mistake("ablate_qkv", "You change a position, not a head: the axes are batch, position, head, direction")
def qkv_position(model, tokens, labels, kind):
    def edit(x, head):
        x[:, head] = 0 if kind == "zero" else x[:, head].mean(0)

    return qkv(model, tokens, labels, edit) - position_loss(model, tokens, labels).mean()


# -- ablate_composition


@torch.no_grad()
def composition(model, tokens, labels, into, components, mean=lambda part: part.mean(0), how="cut"):
    _, cache = model.run_with_cache(tokens)
    heads = torch.einsum("bphd,hdm->hbpm", cache["blocks.0.attn.hook_z"], model.W_O[0])
    parts = {"emb": cache["hook_embed"], "pos": cache["hook_pos_embed"]}
    parts |= {f"H0.{head}": heads[head] for head in range(3)}
    stream = cache["blocks.1.hook_resid_pre"]
    scale = cache["blocks.1.ln1.hook_scale"]
    for name in components[:1] if how == "first only" else components:
        stream = stream - parts[name] + mean(parts[name])
    if how == "refresh":
        scale = (stream.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
    if how == "stream":
        hooks = [("blocks.1.hook_resid_pre", lambda _, hook: stream)]
    else:
        weights = {"q": (model.W_Q, model.b_Q), "k": (model.W_K, model.b_K), "v": (model.W_V, model.b_V)}
        hooks = []
        for name in "qkv" if how == "all inputs" else into:
            new = torch.einsum("bpm,hmd->bphd", stream / scale, weights[name][0][1])
            new = new + (0 if how == "no bias" else weights[name][1][1])
            hooks.append((f"blocks.1.attn.hook_{name}", lambda _, hook, new=new: new))
    logits = model.run_with_hooks(tokens, fwd_hooks=hooks)
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    return loss.item(), (logits.argmax(-1) == labels).float().mean().item()


@mistake(
    "ablate_composition",
    "You change the residual stream itself, so the cut reaches queries, keys, values and the logits all together",
)
def stream_changed(model, tokens, labels, into, components):
    return composition(model, tokens, labels, into, components, how="stream")


@mistake("ablate_composition", "Your cut reaches queries, keys and values alike; only `into` is meant")
def into_all(model, tokens, labels, into, components):
    return composition(model, tokens, labels, into, components, how="all inputs")


@mistake(
    "ablate_composition",
    "Your LayerNorm takes its scale anew, without the components; it is to divide by the one that it has without the "
    "cut",
)
def scale_taken_anew(model, tokens, labels, into, components):
    return composition(model, tokens, labels, into, components, how="refresh")


@mistake(
    "ablate_composition",
    "Your mean runs over the positions too. Over the batch alone, 'pos' loses nothing: every sequence has the same "
    "positions",
)
def composition_mean_over_positions(model, tokens, labels, into, components):
    return composition(model, tokens, labels, into, components, mean=lambda part: part.mean((0, 1)))


@mistake("ablate_composition", "You put zeros in the components' place, not their mean over the batch")
def composition_zeros(model, tokens, labels, into, components):
    return composition(model, tokens, labels, into, components, mean=torch.zeros_like)


@mistake("ablate_composition", "Of the components you cut only the first one")
def first_component_only(model, tokens, labels, into, components):
    return composition(model, tokens, labels, into, components, how="first only")


@mistake(
    "ablate_composition",
    "Your queries lack their bias; with keys and values it makes no difference here, with queries it does",
)
def bias_left_out(model, tokens, labels, into, components):
    return composition(model, tokens, labels, into, components, how="no bias")


@mistake("ablate_composition", "You return by how much the loss rises; the loss itself is asked for")
def rise_not_loss(model, tokens, labels, into, components):
    loss, accuracy = ablation.ablate_composition(model, tokens, labels, into, components)
    return loss - position_loss(model, tokens, labels).mean().item(), accuracy


# -- find_adversarial


def worst(model, tokens):
    with torch.no_grad():
        logits = model(tokens)
    return (logits.argmax(-1) != dataset.first_unique_labels(tokens)).sum(-1)


def among_the_start(at, call, found):
    return all(any(torch.equal(row, given) for given in call.args["tokens"]) for row in found.long())


@mistake(
    "find_adversarial",
    "You return the sequences that you were given: random ones, and the model gets nearly all of them right",
    when=lambda at, call, found: len(found) == len(call.args["tokens"]) and among_the_start(at, call, found),
)
def the_start_itself(model, tokens):
    return tokens


@mistake(
    "find_adversarial",
    "Some of your sequences have a '?' after position 0: the model has never seen that, and you may not use it",
    when=lambda at, call, found: len(found) > 0 and (found[:, 0] == 10).all() and (found[:, 1:] == 10).any(),
)
def question_marks_used(model, tokens):
    made = explain.find_adversarial(model, tokens)
    made[:, 10] = 10
    return made


@mistake(
    "find_adversarial",
    "You return everything that your search went through; only sequences with 3 or more wrong answers count",
    when=lambda at, call, found: (
        len(found) > 1
        and (found[:, 0] == 10).all()
        and found[:, 1:].max() < 10
        and len(found.unique(dim=0)) == len(found)
        and worst(at.model, found).min() < 3 <= worst(at.model, found).max()
    ),
)
def not_sifted(model, tokens):
    made = torch.cat([tokens, explain.find_adversarial(model, tokens)])
    return made.unique(dim=0)


@mistake(
    "find_adversarial",
    "You return the same sequence several times; all must be different",
    when=lambda at, call, found: len(found.unique(dim=0)) < len(found) and found[:, 1:].max() < 10,
)
def repeated_finds(model, tokens):
    return explain.find_adversarial(model, tokens).repeat(2, 1)


@mistake(
    "find_adversarial",
    "You look among the random sequences alone and none is bad enough: change the worst of them step by step",
    when=lambda at, call, found: len(found) < len(call.args["tokens"]) and among_the_start(at, call, found),
)
def only_looks(model, tokens):
    return tokens[worst(model, tokens) >= 3]


@mistake(
    "find_adversarial",
    "Your sequences do it, but they are too few: stop the search when it has five of them",
    when=lambda at, call, found: 0 < len(found) < 5 and worst(at.model, found).min() >= 3,
)
def stops_too_early(model, tokens):
    return explain.find_adversarial(model, tokens)[:2]


# -- family


@mistake("family", "You always answer 'A': two of the four models here are of another family")
def always_a(model, tokens):
    return "A"


@torch.no_grad()
def rises(model, tokens, mean=lambda x: x.mean(0)):
    """Loss added by cutting layer 0's heads off from the keys, the values, the logits, and everything."""
    logits, cache = model.run_with_cache(tokens)
    answers = logits.argmax(-1)
    heads = torch.einsum("bphd,hdm->bpm", cache["blocks.0.attn.hook_z"], model.W_O[0])
    change = mean(heads) - heads
    moved = change / cache["blocks.1.ln1.hook_scale"]
    results = []
    for name, weight in (("k", model.W_K), ("v", model.W_V)):
        new = torch.einsum("bpm,hmd->bphd", moved, weight[1])
        hooks = [(f"blocks.1.attn.hook_{name}", lambda x, hook, new=new: x + new)]
        results.append(model.run_with_hooks(tokens, fwd_hooks=hooks))
    results.append(logits + change / cache["ln_final.hook_scale"] @ model.W_U)
    results.append(model.run_with_hooks(tokens, fwd_hooks=[("blocks.1.hook_resid_pre", lambda x, hook: x + change)]))
    losses = [F.cross_entropy(x.mT, answers).item() for x in (*results, logits)]
    return [x - losses[-1] for x in losses[:-1]]


@mistake(
    "family", "You cut layer 0's heads out of the residual stream, so on every way at once; all models suffer from that"
)
def everything_cut(model, tokens):
    return "A" if rises(model, tokens)[3] > 5 else "B" if rises(model, tokens)[2] > 2 else "C"


@mistake(
    "family",
    "What you put in the heads' place is not their mean over the batch: with four equal sequences nothing should "
    "change",
)
def family_zeros(model, tokens):
    keys, _, direct, _ = rises(model, tokens, mean=torch.zeros_like)
    return "A" if keys > 5 else "B" if direct > 2 else "C"


@mistake("family", "You never answer 'C': a model that needs layer 0 on neither way is one of its own")
def never_c(model, tokens):
    return "A" if rises(model, tokens)[0] > 5 else "B"


@mistake("family", "B and C are exchanged in your answers: B is where the direct way to the logits matters")
def letters_exchanged(model, tokens):
    return {"A": "A", "B": "C", "C": "B"}[explain.family(model, tokens)]


@mistake(
    "family",
    "It cuts the way into the values, not the one into the keys",
    accepted="on these models the values need layer 0 by the same pattern, so the letters come out the same",
)
def values_cut(model, tokens):
    _, values, direct, _ = rises(model, tokens)
    return "A" if values > 5 else "B" if direct > 2 else "C"


# -- explain


@mistake(
    "explain",
    "Your program solves the task, so it foresees none of the model's mistakes: those are part of the question",
)
def solves_the_task(model):
    return lambda tokens: F.one_hot(dataset.first_unique_labels(tokens), 11).float()


@mistake(
    "explain", "Your program always names the letter at position 1, and foresees what is left of the model by chance"
)
def names_the_first_letter(model):
    return lambda tokens: F.one_hot(tokens[:, 1:2].expand(-1, tokens.shape[1]), 11).float()


@mistake(
    "explain",
    "Every LayerNorm in your program is a constant: that is the published simplification, and it loses a third of the "
    "answers",
)
@torch.no_grad()
def constant_layernorms(model):
    letters = torch.randint(0, 10, (600, 19), generator=generator(0))
    sample = torch.cat([torch.full((600, 1), 10), letters], dim=1)
    _, cache = model.run_with_cache(sample, names_filter=lambda name: name.endswith("hook_scale"))
    means = {name: cache[name][:, 1:].mean() for name in SCALE_NAMES.values()}

    @torch.no_grad()
    def program(tokens):
        hooks = [(name, lambda scale, hook, m=m: m.expand_as(scale)) for name, m in means.items()]
        return model.run_with_hooks(tokens, fwd_hooks=hooks)

    return program


@mistake(
    "explain",
    "Your program runs the model, or copies it: it makes the model's own mistakes, all of them, and says nothing",
)
def runs_the_model(model):
    return torch.no_grad()(lambda tokens: model(tokens))
