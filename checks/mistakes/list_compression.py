"""Known wrong versions of the list_compression exercises, each with what it is called when a learner makes it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from kata.checking import mistake
from solutions.list_compression import ablation, attribution, circuits, dataset, explain
from solutions.list_compression.dataset import SEP, is_teacher_forced

cross_entropy = torch.nn.functional.cross_entropy


def seps(lists: torch.Tensor) -> torch.Tensor:
    return torch.full_like(lists[:, :1], SEP)


def extra_mask() -> torch.Tensor:
    return dataset.block_mask(5)


# -- make_tokens


@mistake("make_tokens", "SEP stands at the end; it belongs between the list and the two places for the answers")
def sep_at_the_end(lists, teacher_forced):
    return torch.cat([lists, lists if teacher_forced else seps(lists).expand(-1, 2), seps(lists)], dim=1)


@mistake("make_tokens", "You exchanged the two families: the true answers are fed in only if `teacher_forced`")
def families_exchanged(lists, teacher_forced):
    return dataset.make_tokens(lists, not teacher_forced)


@mistake("make_tokens", "You feed the true answers in both families; a bottleneck model gets SEP in those places")
def always_the_answers(lists, teacher_forced):
    return dataset.make_tokens(lists, True)


@mistake("make_tokens", "You feed SEP at the answers in both families; a teacher model gets the list once more")
def never_the_answers(lists, teacher_forced):
    return dataset.make_tokens(lists, False)


@mistake("make_tokens", "You repeat the list backwards; the answers stand in the order of the list")
def answers_backwards(lists, teacher_forced):
    made = dataset.make_tokens(lists, teacher_forced)
    made[:, 3:] = made[:, 3:].flip(1)
    return made


@mistake("make_tokens", "You fill the answer places with 0, and 0 is a digit: a bottleneck model gets SEP (10) there")
def zeros_for_answers(lists, teacher_forced):
    made = dataset.make_tokens(lists, teacher_forced)
    return made if teacher_forced else torch.cat([made[:, :3], torch.zeros_like(lists)], dim=1)


# -- block_mask


@mistake(
    "block_mask",
    "Rows and columns are exchanged: you forbid the digits to look at the answers, which the causal rule does anyway, "
    "so a model runs exactly as if it had no mask",
)
def mask_transposed(seq, list_len=2):
    return dataset.block_mask(seq, list_len).mT


@mistake("block_mask", "True and False are exchanged: True marks what is forbidden, and you mark what is allowed")
def mask_inverted(seq, list_len=2):
    return ~dataset.block_mask(seq, list_len)


@mistake("block_mask", "You also keep SEP from the digits; then nothing ever reads them. Rows begin after SEP")
def sep_blocked(seq, list_len=2):
    position = torch.arange(seq)
    return ((position[:, None] >= list_len) & (position < list_len))[None, None]


@mistake(
    "block_mask", "You also hide SEP from the answers, and SEP is all they have: only digits are forbidden as keys"
)
def sep_hidden(seq, list_len=2):
    position = torch.arange(seq)
    return ((position[:, None] > list_len) & (position <= list_len))[None, None]


@mistake("block_mask", "You put the causal rule into the mask as well; the model has it already, so leave it out")
def causal_too(seq, list_len=2):
    return dataset.block_mask(seq, list_len) | torch.ones(seq, seq, dtype=torch.bool).triu(1)


@mistake("block_mask", "You always take two digits: use `list_len`")
def two_digits_always(seq, list_len=2):
    return dataset.block_mask(seq, 2)


@mistake("block_mask", "Your mask has the axes query and key only; put axes for batch and head of length 1 before them")
def two_axes(seq, list_len=2):
    return dataset.block_mask(seq, list_len)[0, 0]


@mistake("block_mask", "Your mask holds numbers to add to the scores; the signature asks for True and False")
def additive_mask(seq, list_len=2):
    return torch.zeros(1, 1, seq, seq).masked_fill(dataset.block_mask(seq, list_len), -torch.inf)


# -- loss_by_position


def log_probs(model: Any, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return model(tokens, attention_mask=mask).log_softmax(-1)


@mistake("loss_by_position", "You score the logits at position i against token i; they predict token i + 1")
@torch.no_grad()
def same_token(model, tokens, mask):
    return -log_probs(model, tokens, mask)[:, :-1].gather(2, tokens[:, :-1, None])[..., 0].mean(0)


@mistake("loss_by_position", "You score the logits at position i against the token before it; they predict the next")
@torch.no_grad()
def token_before(model, tokens, mask):
    return -log_probs(model, tokens, mask)[:, 1:].gather(2, tokens[:, :-1, None])[..., 0].mean(0)


@mistake(
    "loss_by_position",
    "Your model runs without the extra mask: pass attention_mask=mask (a mask added in hook_attn_scores is silently "
    "lost on these models)",
)
@torch.no_grad()
def loss_without_mask(model, tokens, mask):
    return dataset.loss_by_position(model, tokens, torch.zeros_like(mask))


@mistake("loss_by_position", "You used the logarithm to base 2; nats use the natural one")
def in_bits(model, tokens, mask):
    return dataset.loss_by_position(model, tokens, mask) / 0.6931471805599453


@mistake("loss_by_position", "You add the losses up over the batch; the mean is asked for")
def summed(model, tokens, mask):
    return dataset.loss_by_position(model, tokens, mask) * len(tokens)


@mistake("loss_by_position", "You averaged the probabilities and then took the logarithm; average the logarithms")
@torch.no_grad()
def log_of_the_mean(model, tokens, mask):
    right = log_probs(model, tokens, mask)[:, :-1].gather(2, tokens[:, 1:, None])[..., 0]
    return -right.exp().mean(0).log()


@mistake("loss_by_position", "You returned 1 minus the probability of the right token; the loss is minus its logarithm")
@torch.no_grad()
def one_minus_probability(model, tokens, mask):
    right = log_probs(model, tokens, mask)[:, :-1].gather(2, tokens[:, 1:, None])[..., 0]
    return 1 - right.exp().mean(0)


@mistake("loss_by_position", "You took the logits for logarithms of probabilities: they need a log_softmax first")
@torch.no_grad()
def raw_logits(model, tokens, mask):
    logits = model(tokens, attention_mask=mask)
    return -logits[:, :-1].gather(2, tokens[:, 1:, None])[..., 0].mean(0)


# -- greedy_decode


@mistake("greedy_decode", "You return the lists themselves, which is what the model should say; ask what it does say")
def lists_returned(model, lists):
    return lists.clone()


@torch.no_grad()
def fed_answers(model: Any, lists: torch.Tensor, answers: torch.Tensor, read: slice) -> torch.Tensor:
    tokens = torch.cat([lists, seps(lists), answers], dim=1)
    return model(tokens, attention_mask=extra_mask())[:, read].argmax(-1)


@mistake("greedy_decode", "You feed the teacher model the true o1; it is to read the o1 that it said itself")
def teacher_forced_answers(model, lists):
    if is_teacher_forced(model):
        return fed_answers(model, lists, lists, slice(2, 4))
    return dataset.greedy_decode(model, lists)


@mistake("greedy_decode", "You feed the teacher model SEP in place of its own o1; it reads what it has just said")
def teacher_fed_sep(model, lists):
    if is_teacher_forced(model):
        return fed_answers(model, lists, seps(lists).expand(-1, 2), slice(2, 4))
    return dataset.greedy_decode(model, lists)


@mistake("greedy_decode", "You treat every model as a teacher; a bottleneck model answers at o1 and o2 itself")
@torch.no_grad()
def all_are_teachers(model, lists):
    tokens, mask = torch.cat([lists, seps(lists)], dim=1), extra_mask()
    for seq in (3, 4):
        said = model(tokens, attention_mask=mask[..., :seq, :seq])[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, said], dim=1)
    return tokens[:, 3:]


@mistake("greedy_decode", "You treat every model as a bottleneck; a teacher model answers at SEP and at its own o1")
def all_are_bottlenecks(model, lists):
    return fed_answers(model, lists, seps(lists).expand(-1, 2), slice(3, 5))


@mistake("greedy_decode", "You read the bottleneck model one position early: its o1 stands at position 3, not at SEP")
def bottleneck_read_early(model, lists):
    if is_teacher_forced(model):
        return dataset.greedy_decode(model, lists)
    return fed_answers(model, lists, seps(lists).expand(-1, 2), slice(2, 4))


@mistake(
    "greedy_decode",
    "Your model runs without the extra mask: pass attention_mask, cropped to the tokens (a mask added in "
    "hook_attn_scores is silently lost on these models)",
)
@torch.no_grad()
def decoded_without_mask(model, lists):
    tokens = torch.cat([lists, seps(lists)], dim=1)
    if not is_teacher_forced(model):
        return model(torch.cat([tokens, seps(lists), seps(lists)], dim=1))[:, 3:].argmax(-1)
    for _ in range(2):
        tokens = torch.cat([tokens, model(tokens)[:, -1:].argmax(-1)], dim=1)
    return tokens[:, 3:]


@mistake("greedy_decode", "You return o2 before o1")
def answers_exchanged(model, lists):
    return dataset.greedy_decode(model, lists).flip(1)


# -- mean_std_pattern


def patterns(model: Any, tokens: torch.Tensor, mask: torch.Tensor, layer: int) -> torch.Tensor:
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, attention_mask=mask)
    return cache[f"blocks.{layer}.attn.hook_pattern"][:, 0]


@mistake("mean_std_pattern", "You divided by the size of the batch less one; divide by the size (correction=0)")
def sample_deviation(model, tokens, mask, layer):
    found = patterns(model, tokens, mask, layer)
    return found.mean(0), found.std(0)


@mistake("mean_std_pattern", "You returned the variance; its square root is the standard deviation")
def variance(model, tokens, mask, layer):
    found = patterns(model, tokens, mask, layer)
    return found.mean(0), found.var(0, correction=0)


@mistake("mean_std_pattern", "You averaged over the queries, so all rows are equal; average over the batch")
def over_queries(model, tokens, mask, layer):
    found = patterns(model, tokens, mask, layer)
    return tuple(x.expand(found.shape[1:]) for x in (found.mean((0, 1)), found.std(1, correction=0).mean(0)))


@mistake(
    "mean_std_pattern",
    "Your model runs without the extra mask: pass attention_mask=mask (a mask added in hook_attn_scores is silently "
    "lost on these models)",
)
def pattern_without_mask(model, tokens, mask, layer):
    return circuits.mean_std_pattern(model, tokens, torch.zeros_like(mask), layer)


@mistake("mean_std_pattern", "Rows and columns are exchanged: rows are queries, columns are keys")
def pattern_transposed(model, tokens, mask, layer):
    return tuple(x.T for x in circuits.mean_std_pattern(model, tokens, mask, layer))


@mistake("mean_std_pattern", "You counted layers from the other end: `layer` 0 is the first")
def other_layer(model, tokens, mask, layer):
    return circuits.mean_std_pattern(model, tokens, mask, 1 - layer)


@mistake("mean_std_pattern", "You looked at the first list of the batch only; take the mean over all of them")
def first_list_only(model, tokens, mask, layer):
    first = patterns(model, tokens, mask, layer)[0]
    return first, torch.zeros_like(first)


@mistake("mean_std_pattern", "You return the deviation before the mean")
def results_exchanged(model, tokens, mask, layer):
    return circuits.mean_std_pattern(model, tokens, mask, layer)[::-1]


# -- strength_table


@torch.no_grad()
def strengths(
    model: Any,
    *,
    norm: bool = True,
    scale: float = 4.0,
    query_bias: bool = True,
    key_bias: bool = True,
    exchanged: bool = False,
    places: tuple[int, int] = (0, 1),
    query: int = 2,
    layer: int = 0,
    positions: bool = True,
    affine: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The strength table with one thing wrong at a time."""
    ln1 = model.blocks[layer].ln1
    apply: Callable = ln1 if norm else lambda x: x
    if not affine:

        def apply(x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.layer_norm(x, x.shape[-1:])

    W_pos = model.W_pos * positions
    sep = apply(model.W_E[SEP] + W_pos[query])
    digits = apply(model.W_E[:SEP] + W_pos[list(places), None])
    one = (model.W_Q[layer, 0], model.b_Q[layer, 0] * query_bias)
    two = (model.W_K[layer, 0], model.b_K[layer, 0] * key_bias)
    (W_Q, b_Q), (W_K, b_K) = (two, one) if exchanged else (one, two)
    asks = (sep @ W_Q + b_Q) / scale
    return (digits @ W_K + b_K) @ asks, (sep @ W_K + b_K) @ asks


@mistake("strength_table", "The layer norm before the attention is missing: blocks[0].ln1 of token plus position")
def strengths_without_norm(model):
    return strengths(model, norm=False)


@mistake("strength_table", "Your scores are sqrt(d_head) = 4 times too large: they are not scaled")
def strengths_unscaled(model):
    return strengths(model, scale=1.0)


@mistake("strength_table", "You divided by d_head = 16; attention divides by its square root, 4")
def strengths_over_d_head(model):
    return strengths(model, scale=16.0)


@mistake("strength_table", "Query and key are exchanged: SEP asks through W_Q, the digits answer through W_K")
def query_and_key_exchanged(model):
    return strengths(model, exchanged=True)


@mistake("strength_table", "The two rows are exchanged: row 0 is the first place")
def places_exchanged(model):
    return strengths(model, places=(1, 0))


@mistake("strength_table", "Both rows use the first place: a digit at position 1 gets W_pos[1]")
def first_place_twice(model):
    return strengths(model, places=(0, 0))


@mistake("strength_table", "Both rows use the second place: a digit at position 0 gets W_pos[0]")
def second_place_twice(model):
    return strengths(model, places=(1, 1))


@mistake("strength_table", "You put SEP at position 3: counted from 0, the place after two digits is 2")
def sep_at_three(model):
    return strengths(model, query=3)


@mistake("strength_table", "The bias of the query, b_Q, is missing, and it does not cancel: it meets every key")
def no_query_bias(model):
    return strengths(model, query_bias=False)


@mistake(
    "strength_table",
    "The bias of the key, b_K, is missing",
    accepted="it adds the same number to all scores of one query, which no softmax can see",
)
def no_key_bias(model):
    return strengths(model, key_bias=False)


@mistake("strength_table", "You read the weights of layer 1; this is about layer 0")
def strengths_of_layer_1(model):
    return strengths(model, layer=1)


@mistake("strength_table", "The positions are missing: the residual stream begins as W_E[token] + W_pos[position]")
def no_positions(model):
    return strengths(model, positions=False)


@mistake("strength_table", "Your layer norm has no weight and no bias; those of blocks[0].ln1 are trained")
def norm_without_weight(model):
    return strengths(model, affine=False)


# -- copy_table


@torch.no_grad()
def hops(
    model: Any,
    which: str,
    *,
    position: int | None = None,
    own: bool | None = None,
    first: bool = True,
    second: bool = True,
    order: tuple[int, int] = (0, 1),
    flipped: bool = False,
    digit_mean: bool = True,
    centre: tuple[bool, bool] = (True, True),
    weight: tuple[bool, bool] = (True, True),
    norm: bool = True,
    positions: bool = True,
) -> torch.Tensor:
    """The copy table with one thing wrong at a time."""
    place = (0 if which == "d1" else 1) if position is None else position
    keeps = which == "d1" if own is None else own
    ov = [model.W_V[i, 0] @ (model.W_O[i, 0].T if flipped else model.W_O[i, 0]) for i in order]
    x = model.W_E[:SEP] + model.W_pos[place] * positions
    seen = model.blocks[0].ln1(x) if norm else x
    moved = seen @ ov[0] if first else torch.zeros_like(x) if keeps else seen
    found = x + moved if keeps else moved
    if digit_mean:
        found = found - found.mean(0)
    for i, layer_norm in enumerate((model.blocks[1].ln1, model.ln_final)):
        if centre[i]:
            found = found - found.mean(1, keepdim=True)
        if weight[i]:
            found = found * layer_norm.weight
        if i == 0 and second:
            found = found @ ov[1]
    return found @ model.W_U


@mistake("copy_table", "d1 and d2 use the same position: d1 stands at 0 and d2 at 1")
def one_position(model, which):
    return hops(model, which, position=0)


@mistake("copy_table", "Position 0 also keeps its own embedding: for d1 add it to what attention wrote there")
def d1_without_embedding(model, which):
    return hops(model, which, own=False)


@mistake("copy_table", "SEP does not hold the embedding of d2, only what attention moved there: leave it out for d2")
def d2_with_embedding(model, which):
    return hops(model, which, own=True)


@mistake("copy_table", "The second hop is missing: what layer 1 finds goes through its W_V and W_O")
def one_hop_only(model, which):
    return hops(model, which, second=False)


@mistake("copy_table", "The first hop is missing: layer 1 finds what layer 0 wrote, through W_V and W_O of layer 0")
def second_hop_only(model, which):
    return hops(model, which, first=False)


@mistake("copy_table", "The hops are in the wrong order: layer 0 comes first")
def layers_exchanged(model, which):
    return hops(model, which, order=(1, 0))


@mistake("copy_table", "W_O is transposed: a row vector goes through x @ W_V @ W_O")
def output_transposed(model, which):
    return hops(model, which, flipped=True)


@mistake("copy_table", "The mean over the ten digits was not taken away: the table shows what all digits share")
def digit_mean_kept(model, which):
    return hops(model, which, digit_mean=False)


@mistake("copy_table", "Before layer 1 the mean over d_model was not taken away, as its layer norm does")
def first_norm_not_centred(model, which):
    return hops(model, which, centre=(False, True))


@mistake("copy_table", "Before W_U the mean over d_model was not taken away, as the final layer norm does")
def final_norm_not_centred(model, which):
    return hops(model, which, centre=(True, False))


@mistake("copy_table", "The weight of blocks[1].ln1 is missing")
def first_norm_weight_missing(model, which):
    return hops(model, which, weight=(False, True))


@mistake("copy_table", "The weight of ln_final is missing")
def final_norm_weight_missing(model, which):
    return hops(model, which, weight=(True, False))


@mistake("copy_table", "The layer norm of layer 0 is missing: its attention reads blocks[0].ln1 of the embedding")
def no_norm_in_layer_0(model, which):
    return hops(model, which, norm=False)


@mistake("copy_table", "The positions are missing: a digit begins as W_E[digit] + W_pos[position]")
def digits_without_position(model, which):
    return hops(model, which, positions=False)


# -- place_vs_digit


def weights_of_sep(model: Any, mask: torch.Tensor, layer: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Attention of SEP to the first place and to the second, [first digit, second digit]; and where they differ."""
    every = torch.cartesian_prod(torch.arange(10), torch.arange(10))
    row = patterns(model, dataset.make_tokens(every, False), mask, layer)[:, 2]
    return row[:, 0].view(10, 10), row[:, 1].view(10, 10), ~torch.eye(10, dtype=torch.bool)


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return torch.corrcoef(torch.stack([a, b]))[0, 1].item()


def answer(d: torch.Tensor, where: torch.Tensor) -> dict[str, float]:
    odd = (d - d.T) / 2
    return {
        "digit_bound": (odd[where].pow(2).mean() / d[where].pow(2).mean()).item(),
        "correlation": correlation(d[where], -d.T[where]),
    }


@mistake("place_vs_digit", "The minus sign is missing: correlate D(a, b) with -D(b, a)")
def minus_missing(model, mask):
    found = circuits.place_vs_digit(model, mask)
    return found | {"correlation": -found["correlation"]}


@mistake(
    "place_vs_digit", "You compare the first place with the first place, so the digits differ; D is the difference"
)
def place_held(model, mask):
    first, _, off = weights_of_sep(model, mask)
    return circuits.place_vs_digit(model, mask) | {"correlation": correlation(first[off], first.T[off])}


@mistake("place_vs_digit", "You compare one digit's weights in its two places; the correlation is of D and -D reversed")
def weight_of_one_digit(model, mask):
    first, second, off = weights_of_sep(model, mask)
    return circuits.place_vs_digit(model, mask) | {"correlation": correlation(first[off], second.T[off])}


@mistake("place_vs_digit", "You kept the ten lists with a = b, on which reversing changes nothing; leave them out")
def repeats_kept(model, mask):
    first, second, off = weights_of_sep(model, mask)
    return answer(first - second, torch.ones_like(off))


@mistake("place_vs_digit", "You took the part that stays when the list is reversed; the digit's part changes its sign")
def even_part(model, mask):
    found = circuits.place_vs_digit(model, mask)
    return found | {"digit_bound": 1 - found["digit_bound"]}


@mistake("place_vs_digit", "You took the variance, which drops the mean of D, and the mean is the place's: mean square")
def variances(model, mask):
    first, second, off = weights_of_sep(model, mask)
    d = first - second
    odd, even = ((d - d.T) / 2)[off].var(), ((d + d.T) / 2)[off].var()
    return circuits.place_vs_digit(model, mask) | {"digit_bound": (odd / (odd + even)).item()}


@mistake("place_vs_digit", "You took each pair of digits once (a < b); use all 90 lists with a != b")
def half_of_the_lists(model, mask):
    first, second, off = weights_of_sep(model, mask)
    return answer(first - second, off.triu())


@mistake("place_vs_digit", "This is the attention of layer 1; SEP gathers the digits in layer 0")
def weights_of_layer_1(model, mask):
    first, second, off = weights_of_sep(model, mask, layer=1)
    return answer(first - second, off)


@mistake("place_vs_digit", "You compared scores, from before the softmax; D is a difference of attention weights")
@torch.no_grad()
def scores_compared(model, mask):
    table, _ = circuits.strength_table(model)
    return answer(table[0][:, None] - table[1][None, :], ~torch.eye(10, dtype=torch.bool))


# -- dla_components


@torch.no_grad()
def parts(
    model: Any,
    tokens: torch.Tensor,
    mask: torch.Tensor,
    *,
    centred: bool = True,
    scaled: bool = True,
    own_scale: bool = False,
    weight: bool = True,
    output_bias: bool = True,
    positions: bool = True,
) -> torch.Tensor:
    """The four parts with one thing wrong at a time."""
    _, cache = model.run_with_cache(tokens, attention_mask=mask)
    start = cache["blocks.0.hook_resid_pre"] if positions else cache["hook_embed"]
    found = torch.stack([start, cache["blocks.0.hook_attn_out"], cache["blocks.1.hook_attn_out"]])
    if not output_bias:
        found = found - torch.stack([torch.zeros_like(model.b_O[0]), *model.b_O])[:, None, None]
    if centred:
        found = found - found.mean(-1, keepdim=True)
    if own_scale:
        found = found / (found.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
    elif scaled:
        found = found / cache["ln_final.hook_scale"]
    if weight:
        found = found * model.ln_final.weight
    return torch.cat([found, model.ln_final.bias.expand_as(found[:1])]) @ model.W_U


@mistake(
    "dla_components", "The mean over d_model was not taken away from each part: the final layer norm does that first"
)
def parts_not_centred(model, tokens, mask):
    return parts(model, tokens, mask, centred=False)


@mistake("dla_components", "You did not divide by the scale of the final layer norm (ln_final.hook_scale)")
def parts_not_scaled(model, tokens, mask):
    return parts(model, tokens, mask, scaled=False)


@mistake(
    "dla_components", "You gave each part a layer norm of its own; hold the scale that the whole sum had in this run"
)
def parts_with_own_scale(model, tokens, mask):
    return parts(model, tokens, mask, own_scale=True)


@mistake(
    "dla_components",
    "You sent each part through ln_final by itself: that divides each by its own scale and adds the bias to each. Hold "
    "the scale of this run, and keep the bias for the fourth part",
)
@torch.no_grad()
def parts_through_ln_final(model, tokens, mask):
    _, cache = model.run_with_cache(tokens, attention_mask=mask)
    names = ("blocks.0.hook_resid_pre", "blocks.0.hook_attn_out", "blocks.1.hook_attn_out")
    normed = [model.ln_final(cache[name]) for name in names]
    return torch.stack([*normed, model.ln_final.bias.expand_as(normed[0])]) @ model.W_U


@mistake("dla_components", "The weight of ln_final is missing")
def parts_without_weight(model, tokens, mask):
    return parts(model, tokens, mask, weight=False)


@mistake("dla_components", "b_O is missing: it belongs to the output of its attention layer")
def parts_without_b_O(model, tokens, mask):
    return parts(model, tokens, mask, output_bias=False)


@mistake("dla_components", "The position is missing from the first part: it is embedding and position together")
def parts_without_position(model, tokens, mask):
    return parts(model, tokens, mask, positions=False)


@mistake("dla_components", "The fourth part is empty: it is the bias of the final layer norm through W_U")
def parts_without_bias(model, tokens, mask):
    found = parts(model, tokens, mask)
    found[3] = 0
    return found


@mistake("dla_components", "You added the bias of the final layer norm to each part; it is a part of its own")
def bias_everywhere(model, tokens, mask):
    found = parts(model, tokens, mask)
    found[:3] = found[:3] + found[3]
    return found


@mistake("dla_components", "Your parts pile up: each is the whole stream so far, not what one component added")
def parts_cumulative(model, tokens, mask):
    found = parts(model, tokens, mask)
    return torch.cat([found[:3].cumsum(0), found[3:]])


@mistake("dla_components", "The two attention layers are exchanged: layer 0 is the second part, layer 1 the third")
def parts_exchanged(model, tokens, mask):
    return parts(model, tokens, mask)[[0, 2, 1, 3]]


@mistake(
    "dla_components",
    "Your model runs without the extra mask: pass attention_mask=mask (a mask added in hook_attn_scores is silently "
    "lost on these models)",
)
def parts_without_mask(model, tokens, mask):
    return parts(model, tokens, torch.zeros_like(mask))


# -- dla_attn1_by_source


@torch.no_grad()
def sources(
    model: Any,
    tokens: torch.Tensor,
    mask: torch.Tensor,
    query: int,
    *,
    attention: str = "row",
    layer: int = 1,
    value_bias: bool = True,
    output_bias: str = "",
    centred: bool = True,
    weight: bool = True,
    scale: str = "query",
    norm_bias: bool = False,
) -> torch.Tensor:
    """The split by source with one thing wrong at a time."""
    _, cache = model.run_with_cache(tokens, attention_mask=mask)
    pattern = cache[f"blocks.{layer}.attn.hook_pattern"][:, 0]
    values = cache["blocks.1.attn.hook_v"][:, :, 0] - (0 if value_bias else model.b_V[1, 0])
    a = {"row": pattern[:, query], "column": pattern[:, :, query], "none": torch.ones_like(pattern[:, query])}[
        attention
    ]
    moved = values @ model.W_O[1, 0]
    found = a[..., None] * (moved + model.b_O[1] if output_bias == "weighted" else moved)
    if output_bias == "each":
        found = found + model.b_O[1]
    if centred:
        found = found - found.mean(-1, keepdim=True)
    scales = cache["ln_final.hook_scale"]
    if scale:
        found = found / (scales[:, query, None] if scale == "query" else scales)
    if weight:
        found = found * model.ln_final.weight
    return (found + model.ln_final.bias * norm_bias) @ model.W_U


@mistake("dla_attn1_by_source", "The attention is missing: each key's value counts as much as the query looks at it")
def sources_unweighted(model, tokens, mask, query):
    return sources(model, tokens, mask, query, attention="none")


@mistake("dla_attn1_by_source", "You took a column of the pattern: who looks at `query`. Take its row: where it looks")
def sources_by_column(model, tokens, mask, query):
    return sources(model, tokens, mask, query, attention="column")


@mistake("dla_attn1_by_source", "You weighted by the pattern of layer 0; layer 1 moves these values")
def sources_by_layer_0(model, tokens, mask, query):
    return sources(model, tokens, mask, query, layer=0)


@mistake("dla_attn1_by_source", "You divided by the scale at the key; the sum is normed at the query")
def scale_of_the_key(model, tokens, mask, query):
    return sources(model, tokens, mask, query, scale="key")


@mistake("dla_attn1_by_source", "You did not divide by the scale of the final layer norm (ln_final.hook_scale)")
def sources_not_scaled(model, tokens, mask, query):
    return sources(model, tokens, mask, query, scale="")


@mistake("dla_attn1_by_source", "b_V is missing: it is part of every value")
def sources_without_b_V(model, tokens, mask, query):
    return sources(model, tokens, mask, query, value_bias=False)


@mistake("dla_attn1_by_source", "You added b_O to every key; it belongs to no key and is left out")
def b_O_for_every_key(model, tokens, mask, query):
    return sources(model, tokens, mask, query, output_bias="each")


@mistake("dla_attn1_by_source", "You shared b_O out among the keys by attention; it belongs to no key and is left out")
def b_O_shared_out(model, tokens, mask, query):
    return sources(model, tokens, mask, query, output_bias="weighted")


@mistake("dla_attn1_by_source", "The mean over d_model was not taken away: the final layer norm does that first")
def sources_not_centred(model, tokens, mask, query):
    return sources(model, tokens, mask, query, centred=False)


@mistake("dla_attn1_by_source", "The weight of ln_final is missing")
def sources_without_weight(model, tokens, mask, query):
    return sources(model, tokens, mask, query, weight=False)


@mistake("dla_attn1_by_source", "You added the bias of the final layer norm to every key; it belongs to no key")
def norm_bias_for_every_key(model, tokens, mask, query):
    return sources(model, tokens, mask, query, norm_bias=True)


@mistake(
    "dla_attn1_by_source",
    "Your model runs without the extra mask: pass attention_mask=mask (a mask added in hook_attn_scores is silently "
    "lost on these models)",
)
def sources_without_mask(model, tokens, mask, query):
    return sources(model, tokens, torch.zeros_like(mask), query)


# -- variance_explained


def explained(x: torch.Tensor, labels: torch.Tensor, constant: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared residuals and squared values of coordinates, summed over rows: one of each per component."""
    fit = torch.cat([labels, torch.ones_like(labels[:, :1])], dim=1) if constant else labels
    residual = x - fit @ (torch.linalg.pinv(fit) @ x)
    return residual.pow(2).sum(0), x.pow(2).sum(0)


def coordinates(x: torch.Tensor) -> torch.Tensor:
    """All coordinates of the rows on the principal components."""
    x = x - x.mean(0)
    return x @ torch.linalg.svd(x, full_matrices=False).Vh.T


@mistake("variance_explained", "The mean of `x` was not taken away before its components were found")
def components_about_zero(x, labels, n_pcs=3):
    kept = x @ torch.linalg.svd(x, full_matrices=False).Vh[:n_pcs].T
    residual, total = explained(kept, labels)
    return 1 - (residual.sum() / total.sum()).item()


@mistake(
    "variance_explained",
    "You averaged one R squared per component (or fitted components of length 1), so small "
    "components count as much as large ones: sum the squares first",
)
def mean_over_components(x, labels, n_pcs=3):
    residual, total = explained(coordinates(x)[:, :n_pcs], labels)
    return (1 - residual / total).mean().item()


@mistake("variance_explained", "You fitted all dimensions of `x`; keep the first `n_pcs` components only")
def all_dimensions(x, labels, n_pcs=3):
    residual, total = explained(coordinates(x), labels)
    return 1 - (residual.sum() / total.sum()).item()


@mistake(
    "variance_explained", "You divided by the variance of all components; only the first `n_pcs` are explained here"
)
def share_of_everything(x, labels, n_pcs=3):
    residual, total = explained(coordinates(x), labels)
    return ((total - residual)[:n_pcs].sum() / total.sum()).item()


@mistake("variance_explained", "You returned the share of variance that the components hold; the labels never came in")
def share_of_components(x, labels, n_pcs=3):
    total = coordinates(x).pow(2).sum(0)
    return (total[:n_pcs].sum() / total.sum()).item()


@mistake("variance_explained", "You fitted the labels from the components; fit the components from the labels")
def fitted_the_other_way(x, labels, n_pcs=3):
    residual, _ = explained(labels, coordinates(x)[:, :n_pcs])
    return 1 - (residual.sum() / (labels - labels.mean(0)).pow(2).sum()).item()


@mistake("variance_explained", "Your fit has no constant: add a column of ones to the labels")
def no_constant(x, labels, n_pcs=3):
    residual, total = explained(coordinates(x)[:, :n_pcs], labels, constant=False)
    return 1 - (residual.sum() / total.sum()).item()


@mistake("variance_explained", "You took the smallest components: eigh sorts upwards, so the top ones come last")
def bottom_components(x, labels, n_pcs=3):
    residual, total = explained(coordinates(x).flip(1)[:, :n_pcs], labels)
    return 1 - (residual.sum() / total.sum()).item()


@mistake("variance_explained", "You took the first columns of `x`; rotate them onto the principal components first")
def first_columns(x, labels, n_pcs=3):
    residual, total = explained((x - x.mean(0))[:, :n_pcs], labels)
    return 1 - (residual.sum() / total.sum()).item()


@mistake("variance_explained", "You returned R, its square is asked for")
def root(x, labels, n_pcs=3):
    return attribution.variance_explained(x, labels, n_pcs) ** 0.5


# -- pattern_ablation_hook and ablate_attention

even = ablation.pattern_ablation_hook


def uniform(allowed: torch.Tensor, pattern: torch.Tensor) -> torch.Tensor:
    return (allowed / allowed.sum(-1, keepdim=True).clamp_min(1)).expand_as(pattern)


def mean_over_queries(pattern: torch.Tensor, hook: Any, kind: str, mask: torch.Tensor) -> torch.Tensor:
    return (
        pattern.mean(2, keepdim=True).expand_as(pattern) if kind == "mean_pattern" else even(pattern, hook, kind, mask)
    )


def uniform_everywhere(pattern: torch.Tensor, hook: Any, kind: str, mask: torch.Tensor) -> torch.Tensor:
    if kind == "uniform":
        return torch.full_like(pattern, 1 / pattern.shape[-1])
    return even(pattern, hook, kind, mask)


def uniform_causal(pattern: torch.Tensor, hook: Any, kind: str, mask: torch.Tensor) -> torch.Tensor:
    return even(pattern, hook, kind, torch.zeros_like(mask))


def uniform_unnormalised(pattern: torch.Tensor, hook: Any, kind: str, mask: torch.Tensor) -> torch.Tensor:
    if kind == "uniform":
        return ((~mask).to(pattern).tril() / pattern.shape[-1]).expand_as(pattern)
    return even(pattern, hook, kind, mask)


def uniform_where_positive(pattern: torch.Tensor, hook: Any, kind: str, mask: torch.Tensor) -> torch.Tensor:
    return uniform((pattern > 0).to(pattern), pattern) if kind == "uniform" else even(pattern, hook, kind, mask)


def uniform_over_forbidden(pattern: torch.Tensor, hook: Any, kind: str, mask: torch.Tensor) -> torch.Tensor:
    return uniform(mask.to(pattern).tril(), pattern) if kind == "uniform" else even(pattern, hook, kind, mask)


def uniform_future_too(pattern: torch.Tensor, hook: Any, kind: str, mask: torch.Tensor) -> torch.Tensor:
    return uniform((~mask).to(pattern), pattern) if kind == "uniform" else even(pattern, hook, kind, mask)


def zero_first_query(pattern: torch.Tensor, hook: Any, kind: str, mask: torch.Tensor) -> torch.Tensor:
    if kind != "zero":
        return even(pattern, hook, kind, mask)
    pattern = pattern.clone()
    pattern[:, :, 0] = 0
    return pattern


def unchanged(pattern: torch.Tensor, hook: Any, kind: str, mask: torch.Tensor) -> torch.Tensor:
    return pattern.clone()


MEAN_OVER_QUERIES = (
    "You averaged over the queries, so every position looks the same way; average over the batch (axis 0)"
)
UNIFORM_EVERYWHERE = (
    "Your uniform attention also reaches the future and what the mask forbids: only allowed keys share it"
)
UNIFORM_CAUSAL = "Your uniform attention forgets the mask: it reaches all earlier keys, the forbidden digits too"
UNNORMALISED = "Your uniform rows do not sum to 1: divide by the number of keys that this query may see"
FUTURE_TOO = "Your uniform attention keeps to the mask but not to the causal rule: it reaches keys in the future"

hook_mean_over_queries = mistake("pattern_ablation_hook", MEAN_OVER_QUERIES)(mean_over_queries)
hook_uniform_everywhere = mistake("pattern_ablation_hook", UNIFORM_EVERYWHERE)(uniform_everywhere)
hook_uniform_causal = mistake("pattern_ablation_hook", UNIFORM_CAUSAL)(uniform_causal)
hook_uniform_unnormalised = mistake("pattern_ablation_hook", UNNORMALISED)(uniform_unnormalised)
hook_uniform_future = mistake("pattern_ablation_hook", FUTURE_TOO)(uniform_future_too)
hook_uniform_where_positive = mistake(
    "pattern_ablation_hook",
    "You take the allowed keys from the pattern (where it is above 0); sharp attention rounds to 0 in places that are "
    "allowed. Take them from `mask` and the causal rule",
)(uniform_where_positive)
hook_uniform_over_forbidden = mistake(
    "pattern_ablation_hook", "Your uniform attention covers the forbidden keys: True in `mask` means forbidden"
)(uniform_over_forbidden)
hook_zero_first_query = mistake(
    "pattern_ablation_hook",
    "You zeroed one query: index 0 of axis 2 is a position. The axes are batch, head, query, key",
)(zero_first_query)
hook_unchanged = mistake("pattern_ablation_hook", "You return the pattern as it came: nothing was ablated")(unchanged)


@mistake("pattern_ablation_hook", "Your mean pattern has a batch axis of length 1: expand it to the whole batch")
def mean_not_expanded(pattern, hook, kind, mask):
    return pattern.mean(0, keepdim=True) if kind == "mean_pattern" else even(pattern, hook, kind, mask)


def next_token_loss(logits: torch.Tensor, tokens: torch.Tensor) -> float:
    return cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).item()


@torch.no_grad()
def around(
    model: Any,
    tokens: torch.Tensor,
    mask: torch.Tensor,
    layer: int,
    point: str,
    hook: Callable,
    score: Callable = next_token_loss,
) -> dict[str, float]:
    """The loss before and after, with any hook at one point of one attention layer."""
    edit = [(f"blocks.{layer}.attn.{point}", hook)]
    before = model(tokens, attention_mask=mask)
    after = model.run_with_hooks(tokens, fwd_hooks=edit, attention_mask=mask)
    return {"before": score(before, tokens), "after": score(after, tokens)}


def with_hook(hook: Callable) -> Callable:
    """ablate_attention with a wrong hook."""

    def wrong(model, tokens, mask, layer, kind):
        return around(model, tokens, mask, layer, "hook_pattern", partial(hook, kind=kind, mask=mask))

    return wrong


def renamed(function: Callable, name: str) -> Callable:
    function.__name__ = name
    return function


loss_mean_over_queries = mistake("ablate_attention", MEAN_OVER_QUERIES)(
    renamed(with_hook(mean_over_queries), "loss_mean_over_queries")
)
loss_uniform_everywhere = mistake("ablate_attention", UNIFORM_EVERYWHERE)(
    renamed(with_hook(uniform_everywhere), "loss_uniform_everywhere")
)
loss_uniform_causal = mistake("ablate_attention", UNIFORM_CAUSAL)(
    renamed(with_hook(uniform_causal), "loss_uniform_causal")
)
loss_uniform_unnormalised = mistake("ablate_attention", UNNORMALISED)(
    renamed(with_hook(uniform_unnormalised), "loss_uniform_unnormalised")
)
loss_unchanged = mistake("ablate_attention", "The loss after is the loss before: your hook changed nothing")(
    renamed(with_hook(unchanged), "loss_unchanged")
)


def zeroed_position(point: str) -> Callable:
    """ablate_attention whose "zero" hits index 0 of the position axis."""

    def hook(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        activation = activation.clone()
        activation[:, 0] = 0
        return activation

    def wrong(model, tokens, mask, layer, kind):
        if kind != "zero":
            return ablation.ablate_attention(model, tokens, mask, layer, kind)
        return around(model, tokens, mask, layer, point, hook)

    return renamed(wrong, f"zero_position_0_of_{point}")


zero_position_0_of_z = mistake(
    "ablate_attention",
    "You zeroed one position instead of the head: the axes of hook_z are batch, position, head, d_head, so index 0 of "
    "axis 1 is position 0, and with one head nothing complains",
)(zeroed_position("hook_z"))
zero_position_0_of_v = mistake(
    "ablate_attention",
    "You zeroed the value of one position instead of the head: hook_v has the axes batch, position, head, d_head, so "
    "index 0 of axis 1 is position 0, and with one head nothing complains",
)(zeroed_position("hook_v"))


@mistake(
    "ablate_attention", "You averaged what the head moves (hook_z), not where it looks: that also removes the digits"
)
def mean_of_z(model, tokens, mask, layer, kind):
    if kind != "mean_pattern":
        return ablation.ablate_attention(model, tokens, mask, layer, kind)
    return around(model, tokens, mask, layer, "hook_z", lambda z, hook: z.mean(0, keepdim=True).expand_as(z))


@mistake("ablate_attention", "You zeroed the layer's whole output, and b_O with it; only the pattern goes to zero")
def zero_with_b_O(model, tokens, mask, layer, kind):
    if kind != "zero":
        return ablation.ablate_attention(model, tokens, mask, layer, kind)
    return around(model, tokens, mask, layer, "hook_out", lambda out, hook: torch.zeros_like(out))


@mistake("ablate_attention", "You ablated the other layer: `layer` 0 is the first")
def layer_exchanged(model, tokens, mask, layer, kind):
    return ablation.ablate_attention(model, tokens, mask, 1 - layer, kind)


@mistake("ablate_attention", "Your loss is that of the first list; one list is a bad witness, take the whole batch")
def loss_of_one_list(model, tokens, mask, layer, kind):
    hook = partial(even, kind=kind, mask=mask)
    return around(model, tokens, mask, layer, "hook_pattern", hook, lambda x, t: next_token_loss(x[:1], t[:1]))


@mistake("ablate_attention", "Your loss leaves out positions: take the mean over all positions that have a next token")
def loss_of_the_answers(model, tokens, mask, layer, kind):
    hook = partial(even, kind=kind, mask=mask)
    return around(model, tokens, mask, layer, "hook_pattern", hook, lambda x, t: next_token_loss(x[:, 2:], t[:, 2:]))


@mistake("ablate_attention", "Your loss scores position i against token i; it predicts token i + 1")
def loss_of_the_same_token(model, tokens, mask, layer, kind):
    hook = partial(even, kind=kind, mask=mask)

    def score(logits: torch.Tensor, tokens: torch.Tensor) -> float:
        return cross_entropy(logits.flatten(0, 1), tokens.flatten()).item()

    return around(model, tokens, mask, layer, "hook_pattern", hook, score)


@mistake("ablate_attention", '"before" and "after" are exchanged')
def before_and_after_exchanged(model, tokens, mask, layer, kind):
    found = ablation.ablate_attention(model, tokens, mask, layer, kind)
    return {"before": found["after"], "after": found["before"]}


@mistake(
    "ablate_attention",
    "Your model runs without the extra mask: pass attention_mask=mask to both runs (a mask added in hook_attn_scores "
    "is silently lost on these models)",
)
@torch.no_grad()
def ablated_without_mask(model, tokens, mask, layer, kind):
    edit = [(f"blocks.{layer}.attn.hook_pattern", partial(even, kind=kind, mask=mask))]
    after = model.run_with_hooks(tokens, fwd_hooks=edit)
    return {"before": next_token_loss(model(tokens), tokens), "after": next_token_loss(after, tokens)}


@mistake("ablate_attention", 'Only the first run has the extra mask: pass attention_mask=mask for "after" as well')
@torch.no_grad()
def mask_lost_after(model, tokens, mask, layer, kind):
    edit = [(f"blocks.{layer}.attn.hook_pattern", partial(even, kind=kind, mask=mask))]
    before = model(tokens, attention_mask=mask)
    after = model.run_with_hooks(tokens, fwd_hooks=edit)
    return {"before": next_token_loss(before, tokens), "after": next_token_loss(after, tokens)}


# -- patch_sep


@torch.no_grad()
def patch(
    model: Any,
    lists: torch.Tensor,
    donor: torch.Tensor,
    mask: torch.Tensor,
    layer: int,
    *,
    keep: Callable | None = None,
    point: str = "resid_post",
    position: Any = 2,
    family: bool | None = None,
    read: int | None = None,
    over: int = 0,
) -> dict[str, float]:
    """patch_sep with one thing wrong at a time."""
    everyone = len(lists)
    kept = (lists != donor).all(1) if keep is None else keep(lists, donor)
    lists, donor = lists[kept], donor[kept]
    teacher = is_teacher_forced(model) if family is None else family
    own, other = dataset.make_tokens(lists, teacher), dataset.make_tokens(donor, teacher)
    name = f"blocks.{layer}.hook_{point}"
    _, cache = model.run_with_cache(other, attention_mask=mask)

    def hook(resid: torch.Tensor, hook: Any) -> torch.Tensor:
        resid = resid.clone()
        resid[:, position] = cache[name][:, position]
        return resid

    logits = model.run_with_hooks(own, fwd_hooks=[(name, hook)], attention_mask=mask)
    first = (2 if teacher else 3) if read is None else read
    said, share = logits[:, first : first + 2].argmax(-1), {}
    for who, digits in (("recipient", lists), ("donor", donor)):
        counts = (said == digits).double().sum(0) / (everyone if over else len(lists))
        share[f"o1_{who}"], share[f"o2_{who}"] = counts.tolist()
    return share


@mistake("patch_sep", "You patched the other layer: `layer` 0 is the first")
def patched_other_layer(model, lists, donor, mask, layer):
    return patch(model, lists, donor, mask, 1 - layer)


@mistake("patch_sep", "Recipient and donor are exchanged: the run is the recipient's, only its SEP is the donor's")
def roles_exchanged(model, lists, donor, mask, layer):
    return patch(model, donor, lists, mask, layer)


@mistake("patch_sep", "You put the recipient's SEP into the donor's run, and named the two the right way round again")
def runs_exchanged(model, lists, donor, mask, layer):
    found = patch(model, donor, lists, mask, layer)
    swap = {"recipient": "donor", "donor": "recipient"}
    return {f"{o}_{who}": found[f"{o}_{swap[who]}"] for o in ("o1", "o2") for who in swap}


@mistake("patch_sep", "You kept the rows where the two lists share a digit: there nobody can tell whose answer it is")
def shared_digits_kept(model, lists, donor, mask, layer):
    return patch(model, lists, donor, mask, layer, keep=lambda a, b: torch.ones(len(a), dtype=torch.bool))


@mistake("patch_sep", "You left out only rows where both digits agree; leave out those that agree in either place")
def left_out_twins_only(model, lists, donor, mask, layer):
    return patch(model, lists, donor, mask, layer, keep=lambda a, b: (a != b).any(1))


@mistake("patch_sep", "Your shares are of all rows; divide by the number of rows that were kept")
def share_of_all_rows(model, lists, donor, mask, layer):
    return patch(model, lists, donor, mask, layer, over=1)


@mistake("patch_sep", "You patched position 3; SEP is at position 2, counted from 0")
def patched_position_3(model, lists, donor, mask, layer):
    return patch(model, lists, donor, mask, layer, position=3)


@mistake("patch_sep", "You patched every position; only SEP gets the donor's vector")
def patched_everything(model, lists, donor, mask, layer):
    return patch(model, lists, donor, mask, layer, position=slice(None))


@mistake("patch_sep", "You patched the stream before the layer (resid_pre); after it is resid_post")
def patched_before(model, lists, donor, mask, layer):
    return patch(model, lists, donor, mask, layer, point="resid_pre")


@mistake("patch_sep", "You read a bottleneck model like a teacher: its answers stand at positions 3 and 4")
def patched_read_early(model, lists, donor, mask, layer):
    return patch(model, lists, donor, mask, layer, read=2)


@mistake("patch_sep", "You fed and read both families like a teacher: a bottleneck model gets SEP at 3 and 4")
def patched_all_teachers(model, lists, donor, mask, layer):
    return patch(model, lists, donor, mask, layer, family=True)


@mistake("patch_sep", "You fed and read both families like a bottleneck: a teacher model gets its answers at 3 and 4")
def patched_all_bottlenecks(model, lists, donor, mask, layer):
    return patch(model, lists, donor, mask, layer, family=False)


@mistake(
    "patch_sep",
    "Your model runs without the extra mask: pass attention_mask=mask to both runs (a mask added in hook_attn_scores "
    "is silently lost on these models)",
)
def patched_without_mask(model, lists, donor, mask, layer):
    return patch(model, lists, donor, torch.zeros_like(mask), layer)


@mistake("patch_sep", "o1 and o2 are exchanged")
def patched_answers_exchanged(model, lists, donor, mask, layer):
    found = patch(model, lists, donor, mask, layer)
    return {
        f"{a}_{who}": found[f"{b}_{who}"] for a, b in (("o1", "o2"), ("o2", "o1")) for who in ("recipient", "donor")
    }


# -- gate_from_reversed


@torch.no_grad()
def regated(
    model: Any,
    lists: torch.Tensor,
    mask: torch.Tensor,
    *,
    layer: int = 1,
    query: Any = 4,
    read: int = 4,
    wanted: int = 0,
    repeats: bool = False,
    own: bool = False,
) -> torch.Tensor:
    """Whether each list gets the wanted answer, with one thing wrong at a time."""
    if not repeats:
        lists = lists[lists[:, 0] != lists[:, 1]]
    name = f"blocks.{layer}.attn.hook_pattern"
    _, cache = model.run_with_cache(dataset.make_tokens(lists if own else lists.flip(1), False), attention_mask=mask)

    def hook(pattern: torch.Tensor, hook: Any) -> torch.Tensor:
        pattern = pattern.clone()
        pattern[:, :, query] = cache[name][:, :, query]
        return pattern

    tokens = dataset.make_tokens(lists, False)
    logits = model.run_with_hooks(tokens, fwd_hooks=[(name, hook)], attention_mask=mask)
    return (logits[:, read].argmax(-1) == lists[:, wanted]).double()


@mistake(
    "gate_from_reversed",
    "o2 answers as if nothing had happened: you replaced another row of layer 1 than query 4, or put back the list's "
    "own row",
)
def nothing_replaced(model, lists, mask):
    return regated(model, lists, mask, own=True).mean().item()


@mistake(
    "gate_from_reversed", "You replaced the attention of SEP in layer 0; the gate is the attention of o2 in layer 1"
)
def sep_row_replaced(model, lists, mask):
    return regated(model, lists, mask, layer=0, query=2).mean().item()


@mistake("gate_from_reversed", "You kept the lists of two equal digits, which are their own reverse; leave them out")
def equal_digits_kept(model, lists, mask):
    return regated(model, lists, mask, repeats=True).mean().item()


@mistake("gate_from_reversed", "You divided by the number of all lists; divide by those whose two digits differ")
def share_of_all_lists(model, lists, mask):
    return regated(model, lists, mask).sum().item() / len(lists)


@mistake("gate_from_reversed", "You counted how often o2 still says d2; count how often it says d1")
def counted_d2(model, lists, mask):
    return regated(model, lists, mask, wanted=1).mean().item()


@mistake("gate_from_reversed", "You read o1, at position 3; the question is what o2 says, at position 4")
def read_o1(model, lists, mask):
    return regated(model, lists, mask, read=3).mean().item()


@mistake("gate_from_reversed", "You ran the whole reversed list; only one row of attention is to come from it")
@torch.no_grad()
def ran_the_reversed_list(model, lists, mask):
    lists = lists[lists[:, 0] != lists[:, 1]]
    logits = model(dataset.make_tokens(lists.flip(1), False), attention_mask=mask)
    return (logits[:, 4].argmax(-1) == lists[:, 0]).double().mean().item()


@mistake("gate_from_reversed", "You fed the answers themselves; a bottleneck model reads [d1, d2, SEP, SEP, SEP]")
@torch.no_grad()
def fed_like_a_teacher(model, lists, mask):
    lists = lists[lists[:, 0] != lists[:, 1]]
    name = "blocks.1.attn.hook_pattern"
    _, cache = model.run_with_cache(dataset.make_tokens(lists.flip(1), True), attention_mask=mask)

    def hook(pattern: torch.Tensor, hook: Any) -> torch.Tensor:
        pattern = pattern.clone()
        pattern[:, :, 4] = cache[name][:, :, 4]
        return pattern

    logits = model.run_with_hooks(dataset.make_tokens(lists, True), fwd_hooks=[(name, hook)], attention_mask=mask)
    return (logits[:, 4].argmax(-1) == lists[:, 0]).double().mean().item()


@mistake(
    "gate_from_reversed",
    "Your model runs without the extra mask: pass attention_mask=mask to both runs (a mask added in hook_attn_scores "
    "is silently lost on these models)",
)
def gated_without_mask(model, lists, mask):
    return regated(model, lists, torch.zeros_like(mask)).mean().item()


# -- predict_from_weights


def tables(model: Any, lists: torch.Tensor, **wrong: Any) -> torch.Tensor:
    """The two look-up tables, with one thing wrong at a time."""
    says = [hops(model, which, **wrong).argmax(-1) for which in ("d1", "d2")]
    return torch.stack([says[0][lists[:, 0]], says[1][lists[:, 1]]], dim=1)


@mistake(
    "predict_from_weights", "You return the lists: that is the task, not this model. A copy with other names differs"
)
def says_the_list(model, lists):
    return lists.clone()


@mistake("predict_from_weights", "You ran the model; the prediction is to come from its weights")
@torch.no_grad()
def runs_the_model(model, lists):
    teacher = is_teacher_forced(model)
    logits = model(dataset.make_tokens(lists, teacher), attention_mask=extra_mask())
    return (logits[:, 2:4] if teacher else logits[:, 3:]).argmax(-1)


@mistake("predict_from_weights", "Your look-up tables take one hop only: a digit passes through both layers")
def one_hop_tables(model, lists):
    if is_teacher_forced(model):
        return tables(model, lists, second=False)
    return explain.predict_from_weights(model, lists)


@mistake("predict_from_weights", "Your look-up tables keep what all digits share, and it drowns what tells them apart")
def tables_with_mean(model, lists):
    if is_teacher_forced(model):
        return tables(model, lists, digit_mean=False)
    return explain.predict_from_weights(model, lists)


@mistake(
    "predict_from_weights", "You explain every model by two look-up tables; a bottleneck model has only one vector"
)
def tables_for_both(model, lists):
    return tables(model, lists)


@mistake(
    "predict_from_weights",
    "You order the bottleneck's digits by attention, the larger weight first; it is the "
    "digit's own weight and says nothing about the order",
)
def larger_weight_first(model, lists):
    if is_teacher_forced(model):
        return explain.predict_from_weights(model, lists)
    table, _ = circuits.strength_table(model)
    first = table[0, lists[:, 0]] >= table[1, lists[:, 1]]
    return torch.where(first[:, None], lists, lists.flip(1))


@torch.no_grad()
def bottleneck_answers(model: Any, lists: torch.Tensor, *, place: bool = True, gate: bool = True, equal: bool = False):
    """The bottleneck's formula with something left out."""
    value = [lambda x, i=i: (x @ model.W_V[i, 0] + model.b_V[i, 0]) @ model.W_O[i, 0] for i in (0, 1)]

    def score(layer: int, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        query = query @ model.W_Q[layer, 0] + model.b_Q[layer, 0]
        return ((keys @ model.W_K[layer, 0] + model.b_K[layer, 0]) @ query[..., None])[..., 0] / 4

    rest = model.W_E[SEP] + model.W_pos[2:]
    keys, digits = model.blocks[0].ln1(rest), model.blocks[0].ln1(model.W_E[:SEP] + model.W_pos[:2, None])
    table, itself = score(0, keys[0], digits), score(0, keys[0], keys[:1])
    if equal:
        table = table.mean().expand(2, 10)
    vectors = value[0](digits)
    if not place:
        vectors = vectors.mean(0, keepdim=True).expand(2, -1, -1)
    a, b = lists.unbind(1)
    weights = torch.stack([table[0, a], table[1, b], itself.expand(len(a))], dim=1).softmax(1)
    fixed = value[0](keys)
    sep = weights[:, :1] * vectors[0, a] + weights[:, 1:2] * vectors[1, b] + weights[:, 2:] * fixed[0]
    answers = [score(0, keys[i], keys[: i + 1]).softmax(0) @ fixed[: i + 1] for i in (1, 2)]
    stream = torch.stack([sep, *(x.expand_as(sep) for x in answers)], dim=1) + rest + model.b_O[0]
    keys, said = model.blocks[1].ln1(stream), []
    for i in (1, 2):
        row = score(1, keys[:, i], keys[:, : i + 1]).softmax(1)
        if not gate:
            row = row.mean(0, keepdim=True)
        moved = (row[..., None] * value[1](keys[:, : i + 1])).sum(1) + model.b_O[1]
        said.append((model.ln_final(stream[:, i] + moved) @ model.W_U).argmax(-1))
    return torch.stack(said, dim=1)


@mistake(
    "predict_from_weights",
    "Your bottleneck gives a digit the same vector in both places; the small difference "
    "between the places is what tells the order",
)
def no_place_in_the_vectors(model, lists):
    if is_teacher_forced(model):
        return explain.predict_from_weights(model, lists)
    return bottleneck_answers(model, lists, place=False)


@mistake(
    "predict_from_weights",
    "Your bottleneck looks at SEP with the mean attention of layer 1; that gate depends on "
    "the order, and the answer on the gate",
)
def mean_gate(model, lists):
    if is_teacher_forced(model):
        return explain.predict_from_weights(model, lists)
    return bottleneck_answers(model, lists, gate=False)


@mistake("predict_from_weights", "Your bottleneck gives all digits the same strength; their strengths differ")
def equal_strengths(model, lists):
    if is_teacher_forced(model):
        return explain.predict_from_weights(model, lists)
    return bottleneck_answers(model, lists, equal=True)


@mistake("predict_from_weights", "You return o2 before o1")
def prediction_exchanged(model, lists):
    return explain.predict_from_weights(model, lists).flip(1)
