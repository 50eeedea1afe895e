"""Known wrong versions of the sorted_list exercises, each with what it is called when a learner makes it."""

import math
from collections.abc import Callable, Iterable

import torch
from torch.nn.functional import cross_entropy

from kata.checking import mistake
from solutions.sorted_list import ablation, circuits, dataset

NAMES = ("tok_tok", "tok_pos", "pos_tok", "pos_pos")
PATTERN, QUERY, KEY = "blocks.0.attn.hook_pattern", "blocks.0.attn.hook_q", "blocks.0.attn.hook_k"
FUTURE = torch.ones(22, 22, dtype=torch.bool).triu(1)
STEPS = slice(11, 21)


def row(value: int, like: torch.Tensor) -> torch.Tensor:
    return torch.full((len(like), 1), value)


# -- make_sorting_tokens


@mistake(
    "make_sorting_tokens",
    "You exchanged the two special tokens: 50 (BOS) opens the sequence and 51 (MID) stands between its halves",
)
def special_tokens_exchanged(lists):
    return torch.cat([row(51, lists), lists, row(50, lists), lists.sort(1).values], 1)


@mistake("make_sorting_tokens", "You wrote BOS (50) in the middle too: the token between the halves is MID, 51")
def bos_twice(lists):
    return torch.cat([row(50, lists), lists, row(50, lists), lists.sort(1).values], 1)


@mistake("make_sorting_tokens", "Your second half descends: it begins with the smallest number")
def descending(lists):
    return torch.cat([row(50, lists), lists, row(51, lists), lists.sort(1, descending=True).values], 1)


@mistake("make_sorting_tokens", "You sorted both halves: the first one keeps the order in which the list came")
def both_halves_sorted(lists):
    return torch.cat([row(50, lists), lists.sort(1).values, row(51, lists), lists.sort(1).values], 1)


@mistake("make_sorting_tokens", "Your halves are exchanged: first the list as it came, then, after MID, in order")
def halves_exchanged(lists):
    return torch.cat([row(50, lists), lists.sort(1).values, row(51, lists), lists], 1)


@mistake("make_sorting_tokens", "You repeated the list after MID without sorting it")
def not_sorted(lists):
    return torch.cat([row(50, lists), lists, row(51, lists), lists], 1)


@mistake("make_sorting_tokens", "You wrote where the numbers stand (argsort), not the numbers themselves in order")
def places_instead_of_numbers(lists):
    return torch.cat([row(50, lists), lists, row(51, lists), lists.argsort(1)], 1)


@mistake("make_sorting_tokens", "You sorted down the batch: each column is in order, and each row should be")
def sorted_down_the_batch(lists):
    return torch.cat([row(50, lists), lists, row(51, lists), lists.sort(0).values], 1)


@mistake("make_sorting_tokens", "You sorted the list that you were given: make a new tensor, and leave this one be")
def sorted_in_place(lists):
    lists.copy_(lists.sort(1).values)
    return torch.cat([row(50, lists), lists, row(51, lists), lists], 1)


@mistake("make_sorting_tokens", "unique drops repeated numbers, so your rows differ in length: keep every copy")
def repeats_dropped(lists):
    tail = torch.stack([numbers.unique() for numbers in lists])
    return torch.cat([row(50, lists), lists, row(51, lists), tail], 1)


# -- sorting_metrics


def measured(steps: torch.Tensor, answers: torch.Tensor, **other: Callable) -> dict[str, torch.Tensor]:
    """The four figures; `other` replaces some by functions of (steps, answers, right)."""
    right = (steps.argmax(-1) == answers).to(steps.dtype)
    made = {
        "loss": cross_entropy(steps.flatten(0, 1), answers.flatten()),
        "token_accuracy": right.mean(),
        "list_accuracy": right.prod(1).mean(),
        "step_accuracy": right.mean(0),
    }
    return made | {name: function(steps, answers, right) for name, function in other.items()}


def of_steps(logits: torch.Tensor, tokens: torch.Tensor, **other: Callable) -> dict[str, torch.Tensor]:
    return measured(logits[:, STEPS], tokens[:, 12:], **other)


@mistake("sorting_metrics", "You compare row p with the token at p itself: row p predicts p + 1, so take rows 11 to 20")
def rows_12_to_21(logits, tokens):
    return measured(logits[:, 12:], tokens[:, 12:])


@mistake("sorting_metrics", "Your rows begin one too early: step 0 is made at MID, in row 11")
def rows_10_to_19(logits, tokens):
    return measured(logits[:, 10:20], tokens[:, 12:])


@mistake("sorting_metrics", "You score against the list as it came: the right answers stand in the sorted half")
def unsorted_labels(logits, tokens):
    return measured(logits[:, STEPS], tokens[:, 1:11])


@mistake(
    "sorting_metrics",
    "Among your targets is 51, MID, which is no output of the model: score rows 11 to 20 only, each against the token "
    "one position later",
)
def mid_as_a_target(logits, tokens):
    return measured(logits[:, :-1], tokens[:, 1:])


@mistake(
    "sorting_metrics", "Your list accuracy is the token accuracy again: a list counts only if all ten steps are right"
)
def list_is_token(logits, tokens):
    return of_steps(logits, tokens, list_accuracy=lambda s, a, right: right.mean())


@mistake("sorting_metrics", "Your token accuracy is that of whole lists: it counts every prediction for itself")
def token_is_list(logits, tokens):
    return of_steps(logits, tokens, token_accuracy=lambda s, a, right: right.prod(1).mean())


@mistake("sorting_metrics", "You count a list as right when any of its steps is: all ten must be")
def list_is_any(logits, tokens):
    return of_steps(logits, tokens, list_accuracy=lambda s, a, right: right.amax(1).mean())


@mistake("sorting_metrics", "Your list accuracy looks at the last step only: a list counts if all ten are right")
def list_is_last_step(logits, tokens):
    return of_steps(logits, tokens, list_accuracy=lambda s, a, right: right[:, -1].mean())


@mistake("sorting_metrics", "Your list accuracy is that of the worst step, which is only an upper bound of it")
def list_is_worst_step(logits, tokens):
    return of_steps(logits, tokens, list_accuracy=lambda s, a, right: right.mean(0).min())


@mistake("sorting_metrics", "You multiplied the ten step accuracies: errors come together in lists, so count the lists")
def list_is_product(logits, tokens):
    return of_steps(logits, tokens, list_accuracy=lambda s, a, right: right.mean(0).prod())


@mistake("sorting_metrics", "You averaged each list over its steps: step_accuracy is, for each step, a mean over lists")
def step_is_per_list(logits, tokens):
    return of_steps(logits, tokens, step_accuracy=lambda s, a, right: right.mean(1))


@mistake("sorting_metrics", "Your loss is a sum over everything: it is a mean over lists and steps")
def loss_is_a_sum(logits, tokens):
    return of_steps(
        logits, tokens, loss=lambda s, a, right: cross_entropy(s.flatten(0, 1), a.flatten(), reduction="sum")
    )


@mistake("sorting_metrics", "Your loss is a sum over the ten steps: it is their mean")
def loss_is_a_sum_of_steps(logits, tokens):
    return of_steps(logits, tokens, loss=lambda s, a, right: 10 * cross_entropy(s.flatten(0, 1), a.flatten()))


@mistake("sorting_metrics", "Your loss is in bits: in nats the logarithm has base e")
def loss_in_bits(logits, tokens):
    return of_steps(logits, tokens, loss=lambda s, a, right: cross_entropy(s.flatten(0, 1), a.flatten()) / math.log(2))


@mistake("sorting_metrics", "You gave cross_entropy probabilities: it takes logits and applies the softmax itself")
def softmax_twice(logits, tokens):
    return of_steps(logits, tokens, loss=lambda s, a, right: cross_entropy(s.flatten(0, 1).softmax(-1), a.flatten()))


# -- ov_tables


def ov(model, product: Callable) -> tuple[torch.Tensor, torch.Tensor]:
    circuit = product(model.W_V[0, 0], model.W_O[0, 0], model.W_U)
    return model.W_E @ circuit, model.W_pos @ circuit


@mistake("ov_tables", "You put W_O before W_V: a source's vector meets W_V first, then W_O, then W_U")
def o_before_v(model):
    return ov(model, lambda v, o, u: o @ v @ u)


@mistake("ov_tables", "You transposed W_V: it is [d_model, d_head] and a row vector x becomes x @ W_V")
def v_transposed(model):
    return ov(model, lambda v, o, u: v.T @ o @ u)


@mistake(
    "ov_tables", "You transposed W_O: it is [d_head, d_model] already, so z @ W_O leads back to the residual stream"
)
def o_transposed(model):
    return ov(model, lambda v, o, u: v @ o.T @ u)


@mistake("ov_tables", "You transposed both W_V and W_O: vectors are rows here, so no factor is transposed")
def both_transposed(model):
    return ov(model, lambda v, o, u: v.T @ o.T @ u)


@mistake("ov_tables", "You transposed the product W_V W_O: source vectors are rows and come in from the left")
def product_transposed(model):
    return ov(model, lambda v, o, u: (v @ o).T @ u)


@mistake("ov_tables", "W_V is missing: what the head moves is the value, x @ W_V, not the source's vector itself")
def no_v(model):
    return ov(model, lambda v, o, u: o @ u)


@mistake("ov_tables", "W_O is missing: d_head and d_model are both 128 here, but they are not the same space")
def no_o(model):
    return ov(model, lambda v, o, u: v @ u)


@mistake("ov_tables", "This is the direct path, embedding times W_U: what the head moves goes through W_V and W_O")
def head_left_out(model):
    return ov(model, lambda v, o, u: u)


@mistake("ov_tables", "You added the direct path: these tables hold only what attention moves from a source")
def direct_path_added(model):
    tok, pos = circuits.ov_tables(model)
    return tok + model.W_E @ model.W_U, pos + model.W_pos @ model.W_U


@mistake("ov_tables", "You took the mean out of each row: here the logits are wanted as they are")
def tables_centred(model):
    return tuple(table - table.mean(1, keepdim=True) for table in circuits.ov_tables(model))


@mistake("ov_tables", "You added a position to the token table: tokens and positions have a table each")
def positions_in_the_token_table(model):
    tok, pos = circuits.ov_tables(model)
    return tok + pos.mean(0), pos


@mistake("ov_tables", "You returned the position table first: the token table comes first")
def tables_exchanged(model):
    return circuits.ov_tables(model)[::-1]


@mistake("ov_tables", "Your tables have the outputs as rows: the source comes first, the output second")
def outputs_as_rows(model):
    tok, pos = circuits.ov_tables(model)
    return tok.T, pos.T


# -- qk_tables


def qk(model, product: Callable, divide: float | None = None) -> dict[str, torch.Tensor]:
    circuit = product(model.W_Q[0, 0], model.W_K[0, 0]) / (divide or model.cfg.d_head**0.5)
    parts = {"tok": model.W_E, "pos": model.W_pos}
    return {f"{dest}_{src}": parts[dest] @ circuit @ parts[src].T for dest in parts for src in parts}


@mistake(
    "qk_tables",
    "Your scores are sqrt(d_head) = 11.3 times too large; the softmax then collapses onto one source",
)
def tables_unscaled(model):
    return qk(model, lambda q, k: q @ k.T, 1)


@mistake("qk_tables", "You divided by d_head: the scores are divided by its square root")
def tables_divided_by_d_head(model):
    return qk(model, lambda q, k: q @ k.T, model.cfg.d_head)


@mistake(
    "qk_tables",
    "You divided by the square root of d_model: what counts is d_head",
    accepted="d_model and d_head are both 128 in this model, so the numbers are the same",
)
def tables_divided_by_root_of_d_model(model):
    return qk(model, lambda q, k: q @ k.T, model.cfg.d_model**0.5)


@mistake(
    "qk_tables",
    "Query and key are exchanged: rows are destinations and go through W_Q, columns are sources and go through W_K",
)
def query_and_key_exchanged(model):
    return qk(model, lambda q, k: k @ q.T)


@mistake("qk_tables", "W_K is not transposed: a query and a key meet in a dot product, x W_Q (y W_K)^T")
def key_not_transposed(model):
    return qk(model, lambda q, k: q @ k)


@mistake("qk_tables", "You transposed W_Q in place of W_K: a query is x @ W_Q, and the key's side is turned round")
def query_transposed(model):
    return qk(model, lambda q, k: q.T @ k)


@mistake("qk_tables", "You transposed both W_Q and W_K: only the key's side is turned round, x W_Q (y W_K)^T")
def query_and_key_transposed(model):
    return qk(model, lambda q, k: q.T @ k.T)


@mistake("qk_tables", "tok_pos and pos_tok are exchanged: the first word of a name is the destination's side")
def table_names_exchanged(model):
    made = circuits.qk_tables(model)
    return made | {"tok_pos": made["pos_tok"], "pos_tok": made["tok_pos"]}


@mistake("qk_tables", "Your tables are transposed: destinations are rows, sources are columns")
def tables_transposed(model):
    return {name: table.T for name, table in circuits.qk_tables(model).items()}


@mistake("qk_tables", "You applied a softmax: what is wanted are the scores that go into it")
def tables_through_softmax(model):
    return {name: table.softmax(-1) for name, table in circuits.qk_tables(model).items()}


# -- successor_fraction


def successor(favourite: torch.Tensor, shift: int = 1) -> torch.Tensor:
    return (favourite == torch.arange(len(favourite)) + shift).double()


@mistake("successor_fraction", "You divided by 50, but 49 has no successor among the numbers: 49 of them can pass")
def divided_by_50(tok_tok):
    return successor(tok_tok[:49, :50].argmax(1)).sum().item() / 50


@mistake("successor_fraction", "You divided by 52: BOS, MID and 49 have no successor, so 49 tokens count")
def divided_by_52(tok_tok):
    return successor(tok_tok[:49, :50].argmax(1)).sum().item() / 52


@mistake(
    "successor_fraction", "You took the argmax over destinations: they are rows, and each row picks its best source"
)
def argmax_over_destinations(tok_tok):
    return successor(tok_tok[:50, :49].argmax(0)).mean().item()


@mistake("successor_fraction", "You counted the numbers that prefer themselves: the successor of t is t + 1")
def prefers_itself(tok_tok):
    return successor(tok_tok[:49, :50].argmax(1), 0).mean().item()


@mistake("successor_fraction", "You counted the numbers that prefer their predecessor, t - 1, not t + 1")
def prefers_predecessor(tok_tok):
    return successor(tok_tok[:49, :50].argmax(1), -1).mean().item()


@mistake("successor_fraction", "You counted every number that prefers a larger one: only t + 1 is the successor of t")
def prefers_larger(tok_tok):
    return (tok_tok[:49, :50].argmax(1) > torch.arange(49)).double().mean().item()


@mistake("successor_fraction", "You let BOS and MID compete as sources: leave their columns out before the argmax")
def special_sources_compete(tok_tok):
    return successor(tok_tok[:49].argmax(1)).mean().item()


@mistake(
    "successor_fraction", "You treated all 52 tokens as numbers: BOS and MID are neither destinations nor sources here"
)
def special_tokens_counted(tok_tok):
    return successor(tok_tok.argmax(1)[:51]).mean().item()


@mistake("successor_fraction", "You returned a percentage: the fraction lies between 0 and 1")
def percentage(tok_tok):
    return 100 * successor(tok_tok[:49, :50].argmax(1)).mean().item()


@mistake("successor_fraction", "You returned how many numbers there are, not what part of the 49")
def count_of_successors(tok_tok):
    return successor(tok_tok[:49, :50].argmax(1)).sum().item()


# -- score_terms


def four_terms(model, tokens, divide: float | None = None, exchanged: bool = False) -> torch.Tensor:
    """[4, batch, dest, src] in the order of NAMES."""
    parts = torch.stack([model.W_E[tokens], model.W_pos.expand(len(tokens), -1, -1)])
    w_q, w_k = model.W_Q[0, 0], model.W_K[0, 0]
    if exchanged:
        w_q, w_k = w_k, w_q
    made = torch.einsum("anid,cnjd->acnij", parts @ w_q, parts @ w_k).flatten(0, 1)
    return made / (divide or model.cfg.d_head**0.5)


@mistake("score_terms", "Your terms are sqrt(d_head) = 11.3 times too large for the softmax")
def terms_unscaled(model, tokens):
    return four_terms(model, tokens, 1)


@mistake(
    "score_terms", "Query and key are exchanged: the destination's part goes through W_Q, the source's through W_K"
)
def terms_query_and_key_exchanged(model, tokens):
    return four_terms(model, tokens, exchanged=True)


@mistake("score_terms", "Your last two axes are exchanged: destination position first, source position last")
def terms_transposed(model, tokens):
    return four_terms(model, tokens).mT


@mistake("score_terms", "tok_pos and pos_tok stand in each other's place: the first word is the destination's side")
def terms_in_another_order(model, tokens):
    return four_terms(model, tokens)[[0, 2, 1, 3]]


@mistake(
    "score_terms", "You set the entries of later sources to 0: no mask is wanted here, and 0 would be a score like any"
)
def terms_masked_by_zero(model, tokens):
    return four_terms(model, tokens).tril()


@mistake("score_terms", "You applied the causal mask: here the entries of later sources are wanted too")
def terms_masked(model, tokens):
    return four_terms(model, tokens).masked_fill(FUTURE, -torch.inf)


@mistake("score_terms", "You applied a softmax to each term: only the sum of all four goes through one")
def terms_through_softmax(model, tokens):
    return four_terms(model, tokens).softmax(-1)


@mistake(
    "score_terms",
    "You read cache['attn_scores']: in this version of the library it holds the pattern, after the softmax",
)
def terms_from_the_cache(model, tokens):
    _, kept = model.run_with_cache(tokens)
    return kept["attn_scores", 0][:, 0].expand(4, -1, -1, -1)


@mistake(
    "score_terms",
    "Your pos_pos has no batch axis: it is the same for all sequences, so spread it over the batch with expand",
)
def positions_without_batch(model, tokens):
    parts = [model.W_E[tokens], model.W_pos]
    return torch.stack([(d @ model.W_Q[0, 0]) @ (s @ model.W_K[0, 0]).mT for d in parts for s in parts])


# -- source_attribution


def attribution_of(
    model,
    tokens,
    *,
    rows: slice = STEPS,
    answers: torch.Tensor | None = None,
    product: Callable = lambda v, o: v @ o,
    positions: bool = True,
    centre: bool = True,
    centre_direct: bool = True,
    direct_positions: bool = True,
    weigh: Callable = lambda pattern, values: pattern * values,
) -> tuple[torch.Tensor, torch.Tensor]:
    _, kept = model.run_with_cache(tokens)
    pattern = kept["pattern", 0][:, 0]
    answers = tokens[:, 12:] if answers is None else answers
    plain, centred = model.W_U, model.W_U - model.W_U.mean(1, keepdim=True)
    moved = (model.W_E[tokens] + model.W_pos * positions) @ product(model.W_V[0, 0], model.W_O[0, 0])
    values = (centred if centre else plain).T[answers] @ moved.mT
    here = (model.W_E[tokens] + model.W_pos * direct_positions)[:, STEPS]
    return weigh(pattern[:, rows], values), (here * (centred if centre_direct else plain).T[answers]).sum(-1)


@mistake("source_attribution", "You left the positional value out: a source is its token plus its position")
def value_without_position(model, tokens):
    return attribution_of(model, tokens, positions=False)


@mistake("source_attribution", "You did not take out the mean: a constant added to all 50 logits changes no prediction")
def not_centred(model, tokens):
    return attribution_of(model, tokens, centre=False, centre_direct=False)


@mistake(
    "source_attribution", "You took the mean over the outputs out of the direct path only: the sources need it too"
)
def sources_not_centred(model, tokens):
    return attribution_of(model, tokens, centre=False)


@mistake(
    "source_attribution", "You took the mean over the outputs out of the sources only: the direct path needs it too"
)
def direct_not_centred(model, tokens):
    return attribution_of(model, tokens, centre_direct=False)


@mistake("source_attribution", "You transposed W_V W_O: a source's vector is a row and comes in from the left")
def attribution_ov_transposed(model, tokens):
    return attribution_of(model, tokens, product=lambda v, o: (v @ o).T)


@mistake("source_attribution", "You put W_O before W_V: the value is x @ W_V, and W_O brings it back")
def attribution_o_before_v(model, tokens):
    return attribution_of(model, tokens, product=lambda v, o: o @ v)


@mistake("source_attribution", "Your attention rows begin one too late: step i is made in row 11 + i of the pattern")
def attention_rows_12_to_21(model, tokens):
    return attribution_of(model, tokens, rows=slice(12, 22))


@mistake("source_attribution", "Your pattern is transposed: its rows are destinations, its columns sources")
def attention_transposed(model, tokens):
    _, kept = model.run_with_cache(tokens)
    turned = kept["pattern", 0][:, 0].mT[:, STEPS]
    return attribution_of(model, tokens, weigh=lambda pattern, values: turned * values)


@mistake("source_attribution", "You left the attention out: a source adds its value times the attention that it gets")
def not_weighed_by_attention(model, tokens):
    return attribution_of(model, tokens, weigh=lambda pattern, values: values)


@mistake(
    "source_attribution", "Your direct path is zero: each position's own embeddings also reach its logits through W_U"
)
def direct_forgotten(model, tokens):
    sources, direct = attribution_of(model, tokens)
    return sources, direct * 0


@mistake("source_attribution", "Your direct path holds the token only: the destination's position is in it too")
def direct_without_position(model, tokens):
    return attribution_of(model, tokens, direct_positions=False)


@mistake(
    "source_attribution",
    "You read the logit of the token that stands at the destination: the answer is the token that comes next",
)
def current_token_read(model, tokens):
    return attribution_of(model, tokens, answers=tokens[:, STEPS].clamp(max=49))


@mistake("source_attribution", "You read the logits of the list as it came: the answers stand in the sorted half")
def unsorted_answers_read(model, tokens):
    return attribution_of(model, tokens, answers=tokens[:, 1:11])


@mistake("source_attribution", "You credited what the model says: the question is about the right answer, said or not")
def prediction_read(model, tokens):
    return attribution_of(model, tokens, answers=model(tokens)[:, STEPS].argmax(-1))


# -- split_ov


def neighbours(table: torch.Tensor) -> torch.Tensor:
    """The estimate of each diagonal entry from its row."""
    made = torch.empty(50, dtype=table.dtype)
    made[1:49] = (table.diagonal(-1)[:-1] + table.diagonal(1)[1:]) / 2
    made[0], made[49] = 2 * table[0, 1] - table[0, 2], 2 * table[49, 48] - table[49, 47]
    return made


def split(table: torch.Tensor, estimate: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return table.diagonal_scatter(estimate), table.diagonal() - estimate


@mistake("split_ov", "You used the neighbours in the column: stay in one source's row, at the outputs s - 1 and s + 1")
def column_neighbours(ov_numbers):
    return split(ov_numbers, neighbours(ov_numbers.T))


@mistake(
    "split_ov", "You set the diagonal to 0, which tears a hole into the hill: the mean of its neighbours goes there"
)
def hole_on_the_diagonal(ov_numbers):
    return split(ov_numbers, torch.zeros(50, dtype=ov_numbers.dtype))


@mistake("split_ov", "Your bump is the whole diagonal entry: it is what the entry has above the smooth estimate")
def bump_is_the_diagonal(ov_numbers):
    return split(ov_numbers, neighbours(ov_numbers))[0], ov_numbers.diagonal()


@mistake("split_ov", "At rows 0 and 49 you copied the one neighbour: continue the line through the nearest two outputs")
def ends_copied(ov_numbers):
    estimate = neighbours(ov_numbers)
    estimate[0], estimate[49] = ov_numbers[0, 1], ov_numbers[49, 48]
    return split(ov_numbers, estimate)


@mistake("split_ov", "At rows 0 and 49 you wrapped round to the other end: outputs 0 and 49 are not neighbours")
def ends_wrapped(ov_numbers):
    estimate = neighbours(ov_numbers)
    estimate[0] = (ov_numbers[0, 1] + ov_numbers[0, 49]) / 2
    estimate[49] = (ov_numbers[49, 48] + ov_numbers[49, 0]) / 2
    return split(ov_numbers, estimate)


@mistake("split_ov", "At rows 0 and 49 your line runs the wrong way: it is twice the near output minus the far one")
def ends_turned_round(ov_numbers):
    estimate = neighbours(ov_numbers)
    estimate[0], estimate[49] = 2 * ov_numbers[0, 2] - ov_numbers[0, 1], 2 * ov_numbers[49, 47] - ov_numbers[49, 48]
    return split(ov_numbers, estimate)


@mistake("split_ov", "You left rows 0 and 49 as they were: continue the line through their two nearest outputs")
def ends_left(ov_numbers):
    estimate = neighbours(ov_numbers)
    estimate[0], estimate[49] = ov_numbers[0, 0], ov_numbers[49, 49]
    return split(ov_numbers, estimate)


@mistake("split_ov", "You added the two neighbours and did not halve the sum")
def sum_of_neighbours(ov_numbers):
    estimate = neighbours(ov_numbers)
    estimate[1:49] *= 2
    return split(ov_numbers, estimate)


@mistake("split_ov", "Your bump has the wrong sign: it is how far the entry lies above the estimate")
def bump_below(ov_numbers):
    smooth, bump = split(ov_numbers, neighbours(ov_numbers))
    return smooth, -bump


@mistake("split_ov", "You averaged over neighbours in row and column: only the two in the row are asked for")
def four_neighbours(ov_numbers):
    return split(ov_numbers, (neighbours(ov_numbers) + neighbours(ov_numbers.T)) / 2)


@mistake(
    "split_ov",
    "You wrote the estimates into the table that you were given, so your bump is 0: work on a clone",
)
def table_edited(ov_numbers):
    ov_numbers.diagonal().copy_(neighbours(ov_numbers))
    return ov_numbers, ov_numbers.diagonal() - neighbours(ov_numbers)


# -- logits_with_terms


def with_pattern(model, tokens, pattern: torch.Tensor) -> torch.Tensor:
    """The model's logits with this pattern [batch, dest, src] in place of its own."""
    return model.run_with_hooks(tokens, fwd_hooks=[(PATTERN, lambda old, hook: pattern[:, None])])


def attention(model, tokens) -> torch.Tensor:
    return model.run_with_cache(tokens)[1]["pattern", 0][:, 0].clone()


def kept_scores(model, tokens, keep: Iterable[str], divide: float | None = None, exchanged: bool = False):
    terms = four_terms(model, tokens, divide, exchanged)
    return sum((terms[NAMES.index(name)] for name in set(keep)), torch.zeros_like(terms[0]))


def causal(scores: torch.Tensor) -> torch.Tensor:
    return scores.masked_fill(FUTURE, -torch.inf).softmax(-1)


@mistake(
    "logits_with_terms",
    "Your scores are sqrt(d_head) = 11.3 times too large, so that the softmax all but picks one source",
)
def kept_unscaled(model, tokens, keep):
    return with_pattern(model, tokens, causal(kept_scores(model, tokens, keep, 1)))


@mistake("logits_with_terms", "Query and key are exchanged: W_Q belongs to the destination, W_K to the source")
def kept_query_and_key_exchanged(model, tokens, keep):
    return with_pattern(model, tokens, causal(kept_scores(model, tokens, keep, exchanged=True)))


@mistake("logits_with_terms", "Your scores are transposed: in a pattern destinations are rows and sources columns")
def kept_transposed(model, tokens, keep):
    return with_pattern(model, tokens, causal(kept_scores(model, tokens, keep).mT))


@mistake("logits_with_terms", "There is no causal mask: positions look ahead, where the answers stand")
def no_mask(model, tokens, keep):
    return with_pattern(model, tokens, kept_scores(model, tokens, keep).softmax(-1))


@mistake(
    "logits_with_terms", "You masked with 0, which is a score like any other: before the softmax write minus infinity"
)
def masked_by_zero(model, tokens, keep):
    return with_pattern(model, tokens, kept_scores(model, tokens, keep).tril().softmax(-1))


@mistake("logits_with_terms", "You masked after the softmax, so the rows no longer sum to 1: mask the scores before it")
def masked_after_softmax(model, tokens, keep):
    return with_pattern(model, tokens, kept_scores(model, tokens, keep).softmax(-1).tril())


@mistake("logits_with_terms", "tok_pos and pos_tok are exchanged: the first word is the destination's side")
def kept_names_exchanged(model, tokens, keep):
    other = {"tok_pos": "pos_tok", "pos_tok": "tok_pos"}
    return ablation.logits_with_terms(model, tokens, [other.get(name, name) for name in keep])


@mistake("logits_with_terms", "You removed the terms in keep and kept the others")
def removed_instead(model, tokens, keep):
    return ablation.logits_with_terms(model, tokens, [name for name in NAMES if name not in keep])


@mistake(
    "logits_with_terms",
    "Your edit changes nothing: hook_attn_scores has no effect in this version of the library, so edit hook_pattern",
)
def edit_without_effect(model, tokens, keep):
    return model(tokens)


@mistake(
    "logits_with_terms",
    "You subtracted patterns: terms add up before the softmax, so leave some out there and take the softmax once",
)
def patterns_subtracted(model, tokens, keep):
    pattern = attention(model, tokens)
    for name in NAMES:
        if name not in keep:
            pattern = pattern - causal(kept_scores(model, tokens, [name]))
    return with_pattern(model, tokens, pattern)


@mistake(
    "logits_with_terms", "You replaced the pattern of the ten steps only: the terms go from every position's scores"
)
def kept_at_steps_only(model, tokens, keep):
    pattern = attention(model, tokens)
    pattern[:, STEPS] = causal(kept_scores(model, tokens, keep))[:, STEPS]
    return with_pattern(model, tokens, pattern)


@mistake(
    "logits_with_terms",
    "Your pattern lacks the head axis: the model takes [batch, head, destination, source], so add one with [:, None]",
)
def pattern_without_head_axis(model, tokens, keep):
    pattern = causal(kept_scores(model, tokens, keep))
    return model.run_with_hooks(tokens, fwd_hooks=[(PATTERN, lambda old, hook: pattern)])


# -- block_sources_hook and block_sources


def blocked(pattern: torch.Tensor, sources: Iterable[int], rows: slice = STEPS, rescale: bool = True) -> torch.Tensor:
    pattern = pattern.clone()
    pattern[:, :, rows, list(sources)] = 0
    if rescale:
        pattern[:, :, rows] = pattern[:, :, rows] / pattern[:, :, rows].sum(-1, keepdim=True)
    return pattern


def destinations_blocked(pattern: torch.Tensor, sources: Iterable[int], rescale: bool) -> torch.Tensor:
    pattern = pattern.clone()
    pattern[:, :, list(sources)] = 0
    if rescale:
        pattern[:, :, STEPS] = pattern[:, :, STEPS] / pattern[:, :, STEPS].sum(-1, keepdim=True)
    return pattern


def through(model, tokens, edit: Callable) -> torch.Tensor:
    return model.run_with_hooks(tokens, fwd_hooks=[(PATTERN, lambda pattern, hook: edit(pattern))])


@mistake("block_sources_hook", "You did not scale up the attention that is left: each row has to sum to 1 again")
def hook_not_rescaled(pattern, hook, sources):
    return blocked(pattern, sources, rescale=False)


@mistake("block_sources_hook", "You edited all 22 destinations: only those that make a step, 11 to 20, lose sources")
def hook_all_rows(pattern, hook, sources):
    return blocked(pattern, sources, slice(0, 22))


@mistake("block_sources_hook", "Your rows are 12 to 21: step i is made at destination 11 + i, so they are 11 to 20")
def hook_rows_12_to_21(pattern, hook, sources):
    return blocked(pattern, sources, slice(12, 22))


@mistake("block_sources_hook", "You edited row 21 too: nothing is predicted there")
def hook_rows_11_to_21(pattern, hook, sources):
    return blocked(pattern, sources, slice(11, 22))


@mistake("block_sources_hook", "You left row 11 out: step 0 is made there, at MID")
def hook_rows_12_to_20(pattern, hook, sources):
    return blocked(pattern, sources, slice(12, 21))


@mistake(
    "block_sources_hook",
    "You cleared rows, which are destinations, and then divided by their sum: sources are the last axis",
)
def hook_destinations_rescaled(pattern, hook, sources):
    return destinations_blocked(pattern, sources, rescale=True)


@mistake("block_sources_hook", "You cleared rows: those are destinations, and the sources are the last axis")
def hook_destinations(pattern, hook, sources):
    return destinations_blocked(pattern, sources, rescale=False)


@mistake("block_sources_hook", "You took a second softmax over attention: divide the rest by its sum")
def hook_second_softmax(pattern, hook, sources):
    made = blocked(pattern, sources, rescale=False)
    made[:, :, STEPS] = made[:, :, STEPS].softmax(-1)
    return made


@mistake("block_sources_hook", "You kept only these sources: they are the ones to take away")
def hook_kept_instead(pattern, hook, sources):
    return blocked(pattern, [s for s in range(22) if s not in sources])


@mistake("block_sources_hook", "Your hook returns the pattern unchanged")
def hook_without_effect(pattern, hook, sources):
    return pattern.clone()


@mistake(
    "block_sources_hook",
    "Your sums lost their last axis, so they divide the wrong entries: sum with keepdim=True",
)
def hook_without_keepdim(pattern, hook, sources):
    made = blocked(pattern, sources, rescale=False)
    return made / made.sum(-1)


@mistake("block_sources", "The attention that is left was not scaled up: each row has to sum to 1 again")
def not_rescaled(model, tokens, sources):
    return through(model, tokens, lambda pattern: blocked(pattern, sources, rescale=False))


@mistake("block_sources", "All 22 destinations lost these sources: only those that make a step, 11 to 20, should")
def all_rows(model, tokens, sources):
    return through(model, tokens, lambda pattern: blocked(pattern, sources, slice(0, 22)))


@mistake("block_sources", "Destinations 12 to 21 lost these sources: step i is made at 11 + i, so it is 11 to 20")
def blocked_rows_12_to_21(model, tokens, sources):
    return through(model, tokens, lambda pattern: blocked(pattern, sources, slice(12, 22)))


@mistake("block_sources", "Destination 21 lost these sources too: no step is made there")
def blocked_rows_11_to_21(model, tokens, sources):
    return through(model, tokens, lambda pattern: blocked(pattern, sources, slice(11, 22)))


@mistake("block_sources", "Destination 11 kept these sources: step 0 is made there, at MID")
def blocked_rows_12_to_20(model, tokens, sources):
    return through(model, tokens, lambda pattern: blocked(pattern, sources, slice(12, 21)))


@mistake(
    "block_sources",
    "Rows were cleared and then divided by their sum, 0: rows are destinations, sources are the last axis",
)
def destinations_rescaled(model, tokens, sources):
    return through(model, tokens, lambda pattern: destinations_blocked(pattern, sources, rescale=True))


@mistake("block_sources", "Rows were cleared: those are destinations, and the sources are the last axis")
def destinations_cleared(model, tokens, sources):
    return through(model, tokens, lambda pattern: destinations_blocked(pattern, sources, rescale=False))


@mistake("block_sources", "Only these sources were kept: they are the ones to take away")
def kept_instead(model, tokens, sources):
    others = [s for s in range(22) if s not in sources]
    return through(model, tokens, lambda pattern: blocked(pattern, others))


@mistake(
    "block_sources", "These are the logits of the untouched model: did the hook get to run, and return its pattern?"
)
def block_without_effect(model, tokens, sources):
    return model(tokens)


@mistake(
    "block_sources",
    "The pattern that reached the model lacks the head axis: it is [batch, head, destination, source]",
)
def block_without_head_axis(model, tokens, sources):
    return through(model, tokens, lambda pattern: blocked(pattern, sources)[:, 0])


# -- remove_term_keep_mass


def shared_out(
    model,
    tokens,
    term: str,
    *,
    mass: Callable = lambda pattern: pattern[:, STEPS, 1:11].sum(-1, keepdim=True),
    sources: slice = slice(1, 11),
    rows: slice = STEPS,
    keep: Iterable[str] | None = None,
    divide: float | None = None,
) -> torch.Tensor:
    """The right answer with one thing changed."""
    pattern = attention(model, tokens)
    if sources != slice(1, 11) or rows != STEPS:
        total = pattern[:, rows, sources].sum(-1, keepdim=True)
    else:
        total = mass(pattern)
    keep = [name for name in NAMES if name != term] if keep is None else keep
    pattern[:, rows, sources] = total * kept_scores(model, tokens, keep, divide)[:, rows, sources].softmax(-1)
    return with_pattern(model, tokens, pattern)


@mistake(
    "remove_term_keep_mass",
    "You set the term to zero everywhere, which also moves attention between the list, BOS and MID: keep the list's "
    "share",
)
def removed_everywhere(model, tokens, term):
    return ablation.logits_with_terms(model, tokens, [name for name in NAMES if name != term])


@mistake("remove_term_keep_mass", "The scores of your three terms are sqrt(d_head) = 11.3 times too large")
def mass_kept_unscaled(model, tokens, term):
    return shared_out(model, tokens, term, divide=1)


@mistake("remove_term_keep_mass", "You gave the list all of the attention: it gets the share that it has in the model")
def list_gets_everything(model, tokens, term):
    return shared_out(model, tokens, term, mass=lambda pattern: torch.ones_like(pattern[:, STEPS, :1]))


@mistake(
    "remove_term_keep_mass",
    "You took the list's share from the pattern without the term: take it from the model's own pattern",
)
def mass_of_the_ablated_pattern(model, tokens, term):
    ablated = causal(kept_scores(model, tokens, [name for name in NAMES if name != term]))
    return shared_out(model, tokens, term, mass=lambda pattern: ablated[:, STEPS, 1:11].sum(-1, keepdim=True))


@mistake("remove_term_keep_mass", "You kept the term alone and removed the other three")
def term_kept_alone(model, tokens, term):
    return shared_out(model, tokens, term, keep=[term])


@mistake("remove_term_keep_mass", "These are the logits of the untouched model: the edited pattern never reached it")
def nothing_removed(model, tokens, term):
    return model(tokens)


@mistake("remove_term_keep_mass", "You took positions 0 to 9 for the list: it stands at 1 to 10")
def list_at_0_to_9(model, tokens, term):
    return shared_out(model, tokens, term, sources=slice(0, 10))


@mistake("remove_term_keep_mass", "You counted BOS, position 0, as part of the list")
def bos_in_the_list(model, tokens, term):
    return shared_out(model, tokens, term, sources=slice(0, 11))


@mistake("remove_term_keep_mass", "You counted MID, position 11, as part of the list")
def mid_in_the_list(model, tokens, term):
    return shared_out(model, tokens, term, sources=slice(1, 12))


@mistake("remove_term_keep_mass", "You edited destination 21 too: no step is made there")
def mass_rows_11_to_21(model, tokens, term):
    return shared_out(model, tokens, term, rows=slice(11, 22))


@mistake("remove_term_keep_mass", "You edited destinations 12 to 21: the steps are made at 11 to 20")
def mass_rows_12_to_21(model, tokens, term):
    return shared_out(model, tokens, term, rows=slice(12, 22))


@mistake(
    "remove_term_keep_mass",
    "Your softmax runs over all sources, so the list's parts do not add up to its share: take it over the ten alone",
)
def softmax_over_everything(model, tokens, term):
    pattern = attention(model, tokens)
    ablated = causal(kept_scores(model, tokens, [name for name in NAMES if name != term]))
    pattern[:, STEPS, 1:11] = ablated[:, STEPS, 1:11] * pattern[:, STEPS, 1:11].sum(-1, keepdim=True)
    return with_pattern(model, tokens, pattern)


@mistake(
    "remove_term_keep_mass",
    "Your total lost its last axis and cannot be spread over the ten sources: sum with keepdim=True",
)
def mass_without_keepdim(model, tokens, term):
    scores = kept_scores(model, tokens, [name for name in NAMES if name != term])
    shares = scores[:, STEPS, 1:11].softmax(-1)[:, None]

    def edit(pattern):
        made = pattern.clone()
        made[:, :, STEPS, 1:11] = shares * pattern[:, :, STEPS, 1:11].sum(-1)
        return made

    return through(model, tokens, edit)


# -- shift_query_position


def shifted(
    model,
    tokens,
    shift: int,
    *,
    low: int = 12,
    high: int = 20,
    weight: str = "W_Q",
    at: str = QUERY,
    clamp: bool = False,
) -> torch.Tensor:
    """The right answer with one thing changed."""
    here = torch.arange(low, high + 1)
    there = here + shift
    if clamp:
        there = there.clamp(low, high)
    else:
        inside = (there >= low) & (there <= high)
        here, there = here[inside], there[inside]
    move = model.W_pos[there] - model.W_pos[here]
    if weight:
        move = move @ getattr(model, weight)[0, 0]

    def edit(activation, hook):
        activation = activation.clone()
        activation[:, here] += move[:, None] if activation.ndim == 4 else move
        return activation

    return model.run_with_hooks(tokens, fwd_hooks=[(at, edit)])


@mistake("shift_query_position", "Your shift has the wrong sign: a positive one takes the query further along")
def wrong_sign(model, tokens, shift):
    return shifted(model, tokens, -shift)


@mistake("shift_query_position", "You moved the keys: only what the position asks for, its query, changes")
def keys_moved(model, tokens, shift):
    return shifted(model, tokens, shift, weight="W_K", at=KEY)


@mistake(
    "shift_query_position",
    "You edited the residual stream, so keys, values and the direct path moved too: edit the query alone",
)
def residual_moved(model, tokens, shift):
    return shifted(model, tokens, shift, weight="", at="blocks.0.hook_resid_pre")


@mistake("shift_query_position", "You moved position 11 as well, or moved to it: the rule holds within 12 to 20")
def position_11_too(model, tokens, shift):
    return shifted(model, tokens, shift, low=11)


@mistake("shift_query_position", "You moved position 21 as well, or moved to it: the rule holds within 12 to 20")
def position_21_too(model, tokens, shift):
    return shifted(model, tokens, shift, high=21)


@mistake("shift_query_position", "You moved all 22 positions: the rule holds within 12 to 20")
def all_positions(model, tokens, shift):
    return shifted(model, tokens, shift, low=0, high=21)


@mistake(
    "shift_query_position",
    "Where p + shift falls outside 12 to 20 you moved to the nearest end: leave those queries be",
)
def targets_clamped(model, tokens, shift):
    return shifted(model, tokens, shift, clamp=True)


@mistake("shift_query_position", "You sent the difference of positions through W_K: queries are made by W_Q")
def shifted_through_w_k(model, tokens, shift):
    return shifted(model, tokens, shift, weight="W_K")


@mistake(
    "shift_query_position", "These are the logits of the untouched model: did your hook return the edited queries?"
)
def shift_without_effect(model, tokens, shift):
    return model(tokens)


def _inside(shift: int) -> torch.Tensor:
    return torch.tensor([p for p in range(12, 21) if 12 <= p + shift <= 20], dtype=torch.long)


@mistake("shift_query_position", "You added the new position and left the old one in the query: take that out")
def old_position_left(model, tokens, shift):
    here = _inside(shift)
    move = (model.W_pos[here + shift] @ model.W_Q[0, 0])[:, None]
    return model.run_with_hooks(
        tokens, fwd_hooks=[(QUERY, lambda q, hook: q.index_add(1, here, move.expand(len(q), -1, -1, -1)))]
    )


@mistake(
    "shift_query_position", "You moved whole queries, the token's part with them: the token stays, its position changes"
)
def token_moved_too(model, tokens, shift):
    here = _inside(shift)

    def edit(q, hook):
        made = q.clone()
        made[:, here] = q[:, here + shift]
        return made

    return model.run_with_hooks(tokens, fwd_hooks=[(QUERY, edit)])


@mistake(
    "shift_query_position",
    "You added the difference of positions to the query as it is: it becomes part of a query through W_Q",
)
def shifted_without_w_q(model, tokens, shift):
    return shifted(model, tokens, shift, weight="")


# -- failing_list: what a search returned is recognised by a property


@torch.no_grad()
def _errs(at, numbers: torch.Tensor) -> bool:
    made = dataset.make_sorting_tokens(numbers[None].long())
    return not torch.equal(at.model(made)[:, STEPS].argmax(-1), made[:, 12:])


def _obeys(at, call, numbers: torch.Tensor) -> bool:
    """Whether a list keeps to its kind, whatever the model says to it."""
    kind, gaps = call.args["kind"], numbers.sort().values.diff()
    if kind == "invented":
        made = dataset.make_sorting_tokens(numbers[None].long())
        with torch.no_grad():
            return not torch.isin(at.model(made)[:, STEPS].argmax(-1), numbers).all()
    return bool((gaps >= {"any": 0, "distinct": 1, "gap2": 2}[kind]).all())


def _is_list(numbers: torch.Tensor) -> bool:
    return numbers.shape == (10,) and bool(((numbers >= 0) & (numbers <= 49)).all())


EASY, CLUSTERS = 5 * torch.arange(10), torch.tensor([0, *range(41, 50)])
SPARSE_CLUSTERS = torch.tensor([0, *range(33, 50, 2)])


@mistake(
    "failing_list",
    "The model sorts every one of your lists: did you compare rows 11 to 20 of the logits with the sorted half?",
    when=lambda at, call, got: _is_list(got) and not _errs(at, got),
)
def sorted_by_the_model(model, kind):
    return EASY


@mistake(
    "failing_list",
    "Your lists hold 50 or 51, which are BOS and MID: the numbers go from 0 to 49",
    when=lambda at, call, got: got.shape == (10,) and got.max() in (50, 51) and got.min() >= 0,
)
def special_tokens_in_the_list(model, kind):
    return torch.tensor([0, *range(43, 52)])


@mistake(
    "failing_list",
    "You returned the whole sequence of 22 tokens: only the ten numbers are the list",
    when=lambda at, call, got: got.shape == (22,),
)
def whole_sequence(model, kind):
    return dataset.make_sorting_tokens(SPARSE_CLUSTERS[None])[0]


@mistake(
    "failing_list",
    "Your lists break the model but do not keep to their kind: distinct, gap2 and invented each ask for something more",
    when=lambda at, call, got: (
        _is_list(got) and _errs(at, got) and (call.args["kind"] == "any" or not _obeys(at, call, got))
    ),
)
def kind_ignored(model, kind):
    pairs = torch.rand(300, 50, generator=torch.Generator().manual_seed(0)).argsort(1)[:, :5]
    sequences = dataset.make_sorting_tokens(torch.cat([pairs, pairs], 1))
    said, answers = model(sequences)[:, STEPS].argmax(-1), sequences[:, 12:]
    in_the_list = (said[:, :, None] == answers[:, None, :]).any(2).all(1)
    return sequences[((said != answers).any(1) & in_the_list).int().argmax(), 1:11]


@mistake(
    "failing_list",
    "The model sorts your gap2 list: random ones almost never fail, so think of what a weighted mixture does where the "
    "list jumps",
    when=lambda at, call, got: (
        _is_list(got) and _obeys(at, call, got) and _errs(at, got) == (call.args["kind"] != "gap2")
    ),
)
def random_gap2(model, kind):
    return EASY if kind == "gap2" else CLUSTERS


# -- explain_step


def program(
    tables,
    counts,
    previous,
    step,
    *,
    weigh: Callable = lambda scores, copies: (scores + copies.log()).softmax(-1),
    scores: Callable | None = None,
    values: Callable = lambda t, group: t["ov_tok"] + t["ov_pos"][group],
    direct: bool = True,
    special: bool = True,
) -> torch.Tensor:
    """The right program with one thing changed."""
    group = torch.tensor([1] * 50 + [0, 2])
    copies = torch.cat([counts, torch.full_like(counts[:, :2], int(special))], 1).to(tables["tok_tok"].dtype)
    if scores is None:
        made = tables["tok_tok"][previous] + tables["pos_tok"][step]
        made = made + (tables["tok_pos"][previous] + tables["pos_pos"][step])[:, group]
    else:
        made = scores(tables, group)
    logits = weigh(made, copies) @ values(tables, group)
    if direct:
        logits = logits + tables["direct_tok"][previous] + tables["direct_pos"][step]
    return logits.argmax(-1)


@mistake(
    "explain_step", "You read tok_tok the wrong way round: its rows are destinations, so take the row of `previous`"
)
def program_tok_tok_transposed(tables, counts, previous, step):
    return program(tables | {"tok_tok": tables["tok_tok"].T}, counts, previous, step)


@mistake("explain_step", "You scaled the scores by sqrt(d_head) once more: the tables are in softmax units already")
def program_scaled_again(tables, counts, previous, step):
    weigh = lambda scores, copies: (scores / 128**0.5 + copies.log()).softmax(-1)  # noqa: E731
    return program(tables, counts, previous, step, weigh=weigh)


@mistake("explain_step", "You multiplied the scores by sqrt(d_head): the tables are in softmax units already")
def program_scale_undone(tables, counts, previous, step):
    weigh = lambda scores, copies: (scores * 128**0.5 + copies.log()).softmax(-1)  # noqa: E731
    return program(tables, counts, previous, step, weigh=weigh)


@mistake(
    "explain_step",
    "You ask only whether a number is in the list: one that occurs twice is two sources and gets twice the attention",
)
def program_of_sets(tables, counts, previous, step):
    return program(tables, counts.clamp(max=1), previous, step)


@mistake(
    "explain_step", "You added the counts to the scores: copies multiply the weight, so add the logarithm of the count"
)
def program_adds_counts(tables, counts, previous, step):
    weigh = lambda scores, copies: (scores + copies.log().clamp(max=0) + copies).softmax(-1)  # noqa: E731
    return program(tables, counts, previous, step, weigh=weigh)


@mistake(
    "explain_step", "You left ov_pos out: a source adds logits on account of its position too, BOS and MID above all"
)
def program_without_ov_pos(tables, counts, previous, step):
    return program(tables, counts, previous, step, values=lambda t, group: t["ov_tok"])


@mistake(
    "explain_step",
    "You left the direct path out",
    accepted="it passes short of full marks: the direct path is small, and the evidence asks for it",
)
def program_without_direct_path(tables, counts, previous, step):
    return program(tables, counts, previous, step, direct=False)


@mistake("explain_step", "You left tok_pos and pos_pos out: they set how much attention BOS and MID draw off the list")
def program_without_groups(tables, counts, previous, step):
    return program(tables, counts, previous, step, scores=lambda t, group: t["tok_tok"][previous] + t["pos_tok"][step])


@mistake(
    "explain_step", "You left BOS and MID out as sources: they hold no number, and still their rows move the logits"
)
def program_without_bos_and_mid(tables, counts, previous, step):
    return program(tables, counts, previous, step, special=False)


@mistake("explain_step", "Your rows of pos_tok, pos_pos and direct_pos are one step late: row i belongs to step i")
def program_a_step_late(tables, counts, previous, step):
    return program(tables, counts, previous, min(step + 1, 9))


@mistake("explain_step", "Your rows of pos_tok, pos_pos and direct_pos are one step early: row i belongs to step i")
def program_a_step_early(tables, counts, previous, step):
    return program(tables, counts, previous, max(step - 1, 0))


@mistake(
    "explain_step",
    "You let the head copy the list number with the highest score: a pattern is a mixture, so add up what all sources "
    "say",
)
def program_copies_the_favourite(tables, counts, previous, step):
    scores = (tables["tok_tok"][previous] + tables["pos_tok"][step])[:, :50]
    return scores.masked_fill(counts == 0, -torch.inf).argmax(-1)


@mistake(
    "explain_step",
    "You answer with the number that gets most attention in all: what a source says is its whole OV row, not one vote",
)
def program_counts_votes(tables, counts, previous, step):
    scores = (tables["tok_tok"][previous] + tables["pos_tok"][step])[:, :50]
    return (scores + counts.to(scores.dtype).log()).argmax(-1)


@mistake(
    "explain_step",
    "Your program just sorts and never looks at the tables: where the model goes wrong it must go wrong too",
)
def program_sorts(tables, counts, previous, step):
    return (counts.cumsum(1) <= step).sum(1)


@mistake("explain_step", "You answer with the next larger number of the list, so a repeated number is never said twice")
def program_says_the_next(tables, counts, previous, step):
    numbers = torch.arange(50)
    later = (counts > 0) & ((numbers > previous[:, None]) | (previous[:, None] == 51))
    return later.int().argmax(1)


@mistake(
    "explain_step",
    "You mix the OV rows of the list numbers alone: BOS, MID, the positions' rows and the direct path count too",
)
def program_of_the_list_alone(tables, counts, previous, step):
    scores = (tables["tok_tok"][previous] + tables["pos_tok"][step])[:, :50]
    return ((scores + counts.to(scores.dtype).log()).softmax(-1) @ tables["ov_tok"][:50]).argmax(-1)
