"""Facts about the sorted_list checkpoints: every figure that the texts quote, and the thresholds they rest on.

Unless a fact says otherwise it is measured on 2048 uniform lists, the same for every checkpoint, and what an
intervention does on the first 1024 of them. All is computed in float64, so that no prediction hangs on the float noise
of one machine.
"""

import copy
import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from checks.test_sorted_list import TWO_CLUSTERS, reduced_tables
from kata.checking import Bench, fact
from kata.project import Project
from kata.training import recipe
from solutions.sorted_list import ablation, attribution, circuits, dataset, explain

NOTEBOOK = "C. Kissane, github.com/ckkissane/mech-interp-practice, sorted list notebook"
TRAINING = "C. Kissane, github.com/ckkissane/mech-interp-practice, sorted list training notebook"
TERMS = ablation.TERMS
NUMBERS = torch.arange(50)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(number: int, seed: int) -> Tensor:
    return torch.randint(0, 50, (number, 10), generator=seeded(seed))


def distinct(number: int, size: int, seed: int) -> Tensor:
    """Rows of `size` different numbers."""
    return torch.rand(number, 50, generator=seeded(seed)).argsort(1)[:, :size]


@cache
def double(at: Bench):
    """The model in float64."""
    return copy.deepcopy(at.model).double()


@torch.no_grad()
def answers_to(at: Bench, lists: Tensor) -> Tensor:
    """What the model says at the ten steps of each list."""
    return double(at)(dataset.make_sorting_tokens(lists))[:, 11:21].argmax(-1)


@dataclass(frozen=True, eq=False)
class Run:
    """The model on the evaluation lists: everything that several facts need."""

    tokens: Tensor  # [batch, 22]
    truth: Tensor  # [batch, step]
    logits: Tensor  # [batch, step, 50]
    pattern: Tensor  # [batch, step, source]
    copies: Tensor  # [batch, step, list position]: does it hold the answer?
    metrics: dict[str, Tensor]


@cache
def evaluation(at: Bench) -> Run:
    return _run(at, 2048)


@cache
def few(at: Bench) -> Run:
    """The first half of the lists: what each intervention is tried on."""
    return _run(at, 1024)


@torch.no_grad()
def _run(at: Bench, number: int) -> Run:
    tokens = dataset.make_sorting_tokens(uniform(2048, 777)[:number])
    logits, kept = double(at).run_with_cache(tokens)
    truth = tokens[:, 12:]
    return Run(
        tokens,
        truth,
        logits[:, 11:21],
        kept["pattern", 0][:, 0, 11:21],
        tokens[:, None, 1:11] == truth[:, :, None],
        dataset.sorting_metrics(logits, tokens),
    )


@cache
def tables(at: Bench) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    return *circuits.ov_tables(double(at)), circuits.qk_tables(double(at))


def accuracy(at: Bench, logits: Tensor) -> float:
    """Token accuracy on the first lists, from logits of all positions or of the ten steps."""
    steps = logits[:, 11:21] if logits.shape[1] == 22 else logits
    return share(steps.argmax(-1) == few(at).truth)


def share(right: Tensor) -> float:
    return right.double().mean().item()


# -- dataset.py


@fact("part of the predictions that are right", bounds=(0.99, 1), uses=["sorting_metrics"])
def token_accuracy(at):
    return evaluation(at).metrics["token_accuracy"].item()


@fact("part of the lists with all ten predictions right", bounds=(0.93, 0.995), uses=["sorting_metrics"])
def list_accuracy(at):
    return evaluation(at).metrics["list_accuracy"].item()


@fact("mean cross entropy, in nats", bounds=(0, 0.03), uses=["sorting_metrics"])
def loss(at):
    return evaluation(at).metrics["loss"].item()


@fact("part of the lists that are right at each step", bounds=(0.99, 1), uses=["sorting_metrics"])
def step_accuracy(at):
    return evaluation(at).metrics["step_accuracy"]


@fact("the step with most errors", bounds=(2, 7), uses=["sorting_metrics"])
def weakest_step(at):
    return int(evaluation(at).metrics["step_accuracy"].argmin())


@cache
@torch.no_grad()
def _sample(at: Bench) -> dict[str, Tensor]:
    tokens = dataset.make_sorting_tokens(uniform(256, 42))
    return dataset.sorting_metrics(double(at)(tokens), tokens)


@fact(
    "part of the predictions that are right, on 256 lists made with seed 42",
    bounds=(0.99, 1),
    published=0.9945,
    source=NOTEBOOK,
    uses=["sorting_metrics"],
)
def token_accuracy_of_256(at):
    return _sample(at)["token_accuracy"].item()


@fact("part of these 256 lists with all ten predictions right", bounds=(0.93, 1), uses=["sorting_metrics"])
def list_accuracy_of_256(at):
    return _sample(at)["list_accuracy"].item()


@fact(
    "part of the predictions that are right at the end of training (here: on the 2048 lists)",
    bounds=(0.99, 1),
    published=0.9957,
    source=TRAINING,
    uses=["sorting_metrics"],
)
def token_accuracy_after_training(at):
    return evaluation(at).metrics["token_accuracy"].item()


@fact("loss before the first training step", bounds=(3.7, 4.1), published=3.942, source=TRAINING)
def loss_at_start(at):
    told: list[str] = []
    entry = {"seed": at.checkpoint.seed, "recipe": {"steps": 1}}
    recipe(Project.find(), "sorted_list").train(
        dict(at.checkpoint.architecture), entry, lambda step, total, text: told.append(text)
    )
    return float(told[0].removeprefix("loss "))


@fact("loss of a guess that gives every number the same chance", published=3.912, source=TRAINING)
def loss_of_chance(at):
    return math.log(50)


@fact("part of random lists that hold some number twice")
def repeats_among_random(at):
    return share((evaluation(at).truth.diff(dim=1) == 0).any(1))


# -- circuits.py: OV


@cache
def _ov(at: Bench) -> tuple[Tensor, Tensor]:
    """The number rows, and the same with the diagonal out of the running."""
    numbers = tables(at)[0][:50]
    return numbers, numbers.masked_fill(torch.eye(50, dtype=torch.bool), -torch.inf)


@fact(
    "part of the number rows of the OV table that are largest at the number itself",
    bounds=(1, 1),
    published=1.0,
    source=NOTEBOOK,
    uses=["ov_tables"],
)
def ov_row_top(at):
    return share(_ov(at)[0].argmax(1) == NUMBERS)


@fact("part of the columns that are largest at the number itself", bounds=(0.4, 0.9), uses=["ov_tables"])
def ov_column_top(at):
    return share(_ov(at)[0].argmax(0) == NUMBERS)


@fact("smallest lead of a diagonal entry over its best rival in the row, in logits", bounds=(5, 40), uses=["ov_tables"])
def ov_margin_min(at):
    numbers, rest = _ov(at)
    return (numbers.diagonal() - rest.amax(1)).min().item()


@fact("mean lead of a diagonal entry over its best rival in the row", bounds=(25, 60), uses=["ov_tables"])
def ov_margin_mean(at):
    numbers, rest = _ov(at)
    return (numbers.diagonal() - rest.amax(1)).mean().item()


@fact("part of the rows whose best rival is the number before or after", bounds=(1, 1), uses=["ov_tables"])
def ov_rival_is_neighbour(at):
    return share((_ov(at)[1].argmax(1) - NUMBERS).abs() == 1)


@fact("largest minus smallest entry of the number rows", bounds=(1200, 2500), uses=["ov_tables"])
def ov_range(at):
    numbers = _ov(at)[0]
    return (numbers.max() - numbers.min()).item()


@fact("spread over the ten list positions, in units of the spread over outputs", bounds=(0, 0.06), uses=["ov_tables"])
def ov_position_spread(at):
    rows = tables(at)[1][1:11]
    return (rows.std(0).mean() / rows.mean(0).std()).item()


@fact("largest minus smallest entry of the OV rows of BOS and MID", bounds=(700, 2000), uses=["ov_tables"])
def special_row_range(at):
    rows = tables(at)[0][50:]
    return rows.amax(1) - rows.amin(1)


@fact("the output at which the OV rows of BOS and MID are largest", bounds=(10, 40), uses=["ov_tables"])
def special_row_peak(at):
    return tables(at)[0][50:].argmax(1)


@fact("mean size of the entries of W_E W_U, the direct path of the numbers", bounds=(0, 3))
def direct_entry(at):
    return (double(at).W_E[:50] @ double(at).W_U).abs().mean().item()


# -- circuits.py: QK


@cache
def _offsets(at: Bench) -> Tensor:
    """How far above itself the favourite of each number 0 .. 48 stands."""
    return tables(at)[2]["tok_tok"][:49, :50].argmax(1) - torch.arange(49)


@fact(
    "part of the numbers 0 .. 48 that score their successor highest", bounds=(0.35, 0.80), uses=["successor_fraction"]
)
def successor_fraction(at):
    return circuits.successor_fraction(tables(at)[2]["tok_tok"])


@fact(
    "the same, divided by 50 although 49 has no successor",
    bounds=(0.34, 0.79),
    published=0.62,
    source=NOTEBOOK,
    uses=["successor_fraction"],
)
def successor_fraction_of_50(at):
    return successor_fraction.compute(at) * 49 / 50


@fact("part of the numbers whose favourite is larger than themselves", bounds=(1, 1), uses=["qk_tables"])
def favourite_is_larger(at):
    return share(_offsets(at) >= 1)


@fact("part of the numbers whose favourite is 1 to 6 larger", bounds=(0.85, 1), uses=["qk_tables"])
def favourite_is_near(at):
    return share((_offsets(at) >= 1) & (_offsets(at) <= 6))


@fact("mean distance to the favourite", bounds=(1, 4), uses=["qk_tables"])
def favourite_offset_mean(at):
    return _offsets(at).double().mean().item()


@fact("largest distance to the favourite", bounds=(6, 20), uses=["qk_tables"])
def favourite_offset_largest(at):
    return int(_offsets(at).max())


@fact("part of the numbers 10 .. 22 whose favourite is their successor", bounds=(0, 0.45), uses=["qk_tables"])
def successor_fraction_from_10_to_22(at):
    return share(_offsets(at)[10:23] == 1)


@fact("smallest score of a number for its successor minus that for itself", bounds=(0.05, 1), uses=["qk_tables"])
def successor_above_itself(at):
    table = tables(at)[2]["tok_tok"]
    return (table.diagonal(1)[:49] - table.diagonal()[:49]).min().item()


def _pos_tok(at: Bench) -> Tensor:
    return tables(at)[2]["pos_tok"][11:21, :50]


@fact("correlation of the rows of pos_tok with the number, by step", bounds=(-1, 1), uses=["qk_tables"])
def pos_tok_correlation(at):
    return [torch.corrcoef(torch.stack([r, NUMBERS.to(r.dtype)]))[0, 1].item() for r in _pos_tok(at)]


@fact("largest of these correlations at steps 0 to 2", bounds=(-1, -0.7), uses=["qk_tables"])
def pos_tok_correlation_early(at):
    return max(pos_tok_correlation.compute(at)[:3])


@fact("smallest of these correlations at steps 5 to 9", bounds=(0.6, 1), uses=["qk_tables"])
def pos_tok_correlation_late(at):
    return min(pos_tok_correlation.compute(at)[5:])


@fact("mean number under the softmax of each row of pos_tok, by step", uses=["qk_tables"])
def pos_tok_centre(at):
    return _pos_tok(at).softmax(1) @ NUMBERS.to(_pos_tok(at).dtype)


@fact("smallest rise of this centre from one step to the next", bounds=(0.1, 20), uses=["qk_tables"])
def pos_tok_centre_rise(at):
    return pos_tok_centre.compute(at).diff().min().item()


@fact("largest minus smallest score of pos_tok at the last step", bounds=(8, 20), uses=["qk_tables"])
def pos_tok_range_last(at):
    row = _pos_tok(at)[9]
    return (row.max() - row.min()).item()


@fact("the same at the other steps: the largest of them", bounds=(2, 6), uses=["qk_tables"])
def pos_tok_range_other(at):
    rows = _pos_tok(at)[:9]
    return (rows.amax(1) - rows.amin(1)).max().item()


@fact("mean score of pos_pos from the steps to the list", bounds=(0.4, 1.5), uses=["qk_tables"])
def pos_pos_to_list(at):
    return tables(at)[2]["pos_pos"][11:21, 1:11].mean().item()


@fact("mean score of pos_pos from positions 12 to 20 to what stands after MID", bounds=(-4, -1), uses=["qk_tables"])
def pos_pos_to_tail(at):
    table = tables(at)[2]["pos_pos"]
    return torch.cat([table[row, 12 : row + 1] for row in range(12, 21)]).mean().item()


@fact("largest score of tok_pos to a position after MID", bounds=(3, 6), uses=["qk_tables"])
def tok_pos_to_tail_max(at):
    return tables(at)[2]["tok_pos"][:50, 12:].max().item()


@fact("spread (standard deviation) of tok_pos over the ten list positions", bounds=(0, 0.04), uses=["qk_tables"])
def tok_pos_spread(at):
    return tables(at)[2]["tok_pos"][:, 1:11].std(1).mean().item()


@fact("spread of pos_pos over the ten list positions", bounds=(0, 0.04), uses=["qk_tables"])
def pos_pos_spread(at):
    return tables(at)[2]["pos_pos"][11:21, 1:11].std(1).mean().item()


@fact("spread of tok_tok over the 50 numbers as sources", bounds=(0.3, 10), uses=["qk_tables"])
def tok_tok_spread(at):
    return tables(at)[2]["tok_tok"][:50, :50].std(1).mean().item()


@fact("spread of pos_tok over the 50 numbers as sources", bounds=(0.3, 10), uses=["qk_tables"])
def pos_tok_spread(at):
    return _pos_tok(at).std(1).mean().item()


# -- attention


@fact("mean attention of the steps to BOS, the list, MID, and what stands after MID", uses=["score_terms"])
def attention_mass(at):
    p = evaluation(at).pattern
    return [p[..., part].sum(-1).mean().item() for part in (slice(0, 1), slice(1, 11), slice(11, 12), slice(12, 22))]


@fact("mean attention to what stands after MID", bounds=(0, 0.01), uses=["score_terms"])
def attention_to_tail(at):
    return evaluation(at).pattern[..., 12:].sum(-1).mean().item()


@fact("mean attention to all copies of the answer together", bounds=(0.2, 0.45), uses=["score_terms"])
def attention_on_answer(at):
    run = evaluation(at)
    return (run.pattern[..., 1:11] * run.copies).sum(-1).mean().item()


@fact("mean attention to all copies of the answer, by step", uses=["score_terms"])
def attention_on_answer_by_step(at):
    run = evaluation(at)
    return (run.pattern[..., 1:11] * run.copies).sum(-1).mean(0)


@fact("part of the steps at which the source with most attention is a list copy of the answer", bounds=(0.5, 0.75))
def attention_top_is_answer(at):
    run = evaluation(at)
    top = run.pattern.argmax(-1)
    return share((run.tokens.gather(1, top) == run.truth) & (top >= 1) & (top <= 10))


@fact("the same among the list positions only", bounds=(0.7, 0.9))
def attention_top_in_list_is_answer(at):
    run = evaluation(at)
    return share(run.tokens.gather(1, run.pattern[..., 1:11].argmax(-1) + 1) == run.truth)


@fact("at the last step, part of the lists whose favourite list source is the maximum", bounds=(0.995, 1))
def attention_top_is_maximum(at):
    run = evaluation(at)
    return share((run.tokens.gather(1, run.pattern[..., 1:11].argmax(-1) + 1) == run.truth)[:, 9])


DISTANCES = (-20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20)


@fact(f"mean attention to a list number that is the answer plus {', '.join(map(str, DISTANCES))}")
def attention_by_distance(at):
    run = evaluation(at)
    away = run.tokens[:, None, 1:11] - run.truth[:, :, None]
    return [run.pattern[..., 1:11][away == d].mean().item() for d in DISTANCES]


# -- attribution.py


@cache
def _attributed(at: Bench) -> tuple[Tensor, Tensor]:
    return attribution.source_attribution(double(at), evaluation(at).tokens)


@fact(
    "part of the steps at which the list source that gives the answer most is a copy of it",
    bounds=(0.90, 1),
    uses=["source_attribution"],
)
def attribution_top_is_answer(at):
    run, (sources, _) = evaluation(at), _attributed(at)
    return share(run.tokens.gather(1, sources[..., 1:11].argmax(-1) + 1) == run.truth)


@fact("part of the answer's logit that its copies give", bounds=(0.55, 0.72), uses=["source_attribution"])
def answer_share(at):
    sources, direct = _attributed(at)
    own = (sources[..., 1:11] * evaluation(at).copies).sum()
    return (own / (sources.sum() + direct.sum())).item()


@fact(
    "mean contribution of the answer's copies, the other list positions, BOS, MID, what follows MID, the direct path",
    uses=["source_attribution"],
)
def attribution_by_group(at):
    sources, direct = _attributed(at)
    own = (sources[..., 1:11] * evaluation(at).copies).sum(-1)
    parts = [
        own,
        sources[..., 1:11].sum(-1) - own,
        sources[..., 0],
        sources[..., 11],
        sources[..., 12:].sum(-1),
        direct,
    ]
    return [part.mean().item() for part in parts]


@fact("mean contribution of the direct path", bounds=(-5, 5), uses=["source_attribution"])
def attribution_direct(at):
    return _attributed(at)[1].mean().item()


@fact("mean contribution of BOS", bounds=(-30, -5), uses=["source_attribution"])
def attribution_bos(at):
    return _attributed(at)[0][..., 0].mean().item()


@fact("part of the steps at which the best wrong number is one next to the answer", bounds=(0.8, 1))
def best_wrong_is_neighbour(at):
    run = evaluation(at)
    wrong = run.logits.scatter(-1, run.truth[..., None], -torch.inf).argmax(-1)
    return share((wrong - run.truth).abs() == 1)


@fact("median lead of the answer over the best wrong number, in logits", bounds=(5, 40))
def lead_over_best_wrong(at):
    run = evaluation(at)
    wrong = run.logits.scatter(-1, run.truth[..., None], -torch.inf).amax(-1)
    return (run.logits.gather(-1, run.truth[..., None])[..., 0] - wrong).median().item()


@cache
def _split(at: Bench) -> tuple[Tensor, Tensor, Tensor]:
    """Smooth table, bump, and how far the smooth table's predictions are off."""
    numbers = tables(at)[0][:50]
    smooth, bump = attribution.split_ov(numbers)
    run = evaluation(at)
    said = attribution.predict_with_smooth_table(double(at), run.tokens, numbers, smooth)
    return smooth, bump, said - run.truth


@fact("mean height of the bump on the diagonal of the OV table, in logits", bounds=(35, 80), uses=["split_ov"])
def bump_mean(at):
    return _split(at)[1].mean().item()


@fact("part of the row-centred smooth table that two singular vectors hold", bounds=(0.97, 1), uses=["split_ov"])
def smooth_of_rank_two(at):
    smooth = _split(at)[0]
    squares = torch.linalg.svdvals(smooth - smooth.mean(1, keepdim=True)) ** 2
    return (squares[:2].sum() / squares.sum()).item()


@fact("with the smooth table alone, part of the predictions that are right", bounds=(0, 0.30), uses=["split_ov"])
def smooth_exact(at):
    return share(_split(at)[2] == 0)


@fact("with the smooth table alone, part that is off by one at most", bounds=(0.96, 1), uses=["split_ov"])
def smooth_within_one(at):
    return share(_split(at)[2].abs() <= 1)


@fact("part of the steps at which the number with most attention in all is the answer (bumps of one height)")
def bump_alone(at):
    run = evaluation(at)
    votes = torch.zeros(*run.truth.shape, 50, dtype=run.pattern.dtype)
    votes.scatter_add_(2, run.tokens[:, None, 1:11].expand(-1, 10, -1), run.pattern[..., 1:11].contiguous())
    return share(votes.argmax(-1) == run.truth)


# -- what the value side needs


@torch.no_grad()
def _rebuilt(at: Bench, tok: float = 1, pos: Tensor | None = None, direct: float = 1, pattern=None) -> float:
    """Accuracy of logits put together from tables, with parts of them changed."""
    run, (ov_tok, ov_pos, _) = few(at), tables(at)
    pattern = run.pattern if pattern is None else pattern
    moved = pattern @ (tok * ov_tok[run.tokens] + (ov_pos if pos is None else pos))
    here = (double(at).W_E[run.tokens] + double(at).W_pos)[:, 11:21] @ double(at).W_U
    return accuracy(at, moved + direct * here)


@fact("accuracy without the direct path", bounds=(0.98, 1))
def without_direct_path(at):
    return _rebuilt(at, direct=0)


@fact("accuracy of the direct path alone", bounds=(0, 0.3))
def direct_path_alone(at):
    return _rebuilt(at, tok=0, pos=torch.zeros_like(tables(at)[1]))


@fact("accuracy without the position table of OV", bounds=(0.5, 0.9))
def without_ov_positions(at):
    return _rebuilt(at, pos=torch.zeros_like(tables(at)[1]))


@fact("accuracy with the ten list rows of the position table replaced by their mean", bounds=(0.99, 1))
def ov_positions_averaged(at):
    rows = tables(at)[1].clone()
    rows[1:11] = rows[1:11].mean(0)
    return _rebuilt(at, pos=rows)


@fact("accuracy with the attention to BOS, list, MID and tail set to its mean at each step", bounds=(0.6, 0.9))
def group_attention_at_mean(at):
    pattern = few(at).pattern.clone()
    for part in (slice(0, 1), slice(1, 11), slice(11, 12), slice(12, 22)):
        mass = pattern[..., part].sum(-1, keepdim=True)
        pattern[..., part] *= mass.mean(0) / mass.clamp(min=1e-30)
    return _rebuilt(at, pattern=pattern)


# -- ablation.py


@cache
def _with(at: Bench, keep: tuple[str, ...]) -> float:
    return accuracy(at, ablation.logits_with_terms(double(at), few(at).tokens, keep))


def _without(term: str) -> tuple[str, ...]:
    return tuple(name for name in TERMS if name != term)


@fact("accuracy without tok_tok", bounds=(0.2, 0.45), uses=["logits_with_terms"])
def without_tok_tok(at):
    return _with(at, _without("tok_tok"))


@fact("accuracy without pos_tok", bounds=(0.3, 0.60), uses=["logits_with_terms"])
def without_pos_tok(at):
    return _with(at, _without("pos_tok"))


@fact("accuracy without tok_pos", bounds=(0.50, 0.70), uses=["logits_with_terms"])
def without_tok_pos(at):
    return _with(at, _without("tok_pos"))


@fact("accuracy without pos_pos", bounds=(0.60, 0.93), uses=["logits_with_terms"])
def without_pos_pos(at):
    return _with(at, _without("pos_pos"))


@fact("accuracy with tok_tok only", uses=["logits_with_terms"])
def only_tok_tok(at):
    return _with(at, ("tok_tok",))


@fact("accuracy with pos_tok only", uses=["logits_with_terms"])
def only_pos_tok(at):
    return _with(at, ("pos_tok",))


@fact("accuracy with tok_tok and pos_tok only", bounds=(0.5, 0.9), uses=["logits_with_terms"])
def only_tok_tok_and_pos_tok(at):
    return _with(at, ("tok_tok", "pos_tok"))


@fact("accuracy with even attention, no term at all", bounds=(0.05, 0.15), uses=["logits_with_terms"])
def no_terms(at):
    return _with(at, ())


def _scores_without_tail(at: Bench, index: int) -> float:
    run = few(at)
    terms = circuits.score_terms(double(at), run.tokens)
    terms[index][:, :, 12:] = 0
    future = torch.ones(22, 22, dtype=torch.bool).triu(1)
    pattern = terms.sum(0).masked_fill(future, -torch.inf).softmax(-1)[:, 11:21]
    return _rebuilt(at, pattern=pattern)


@fact("accuracy with pos_pos zero on sources after MID only", bounds=(0.98, 1), uses=["score_terms"])
def tail_without_pos_pos(at):
    return _scores_without_tail(at, 3)


@fact("accuracy with tok_pos zero on sources after MID only", bounds=(0.98, 1), uses=["score_terms"])
def tail_without_tok_pos(at):
    return _scores_without_tail(at, 1)


@fact("accuracy with scores that were not divided by sqrt(d_head)", bounds=(0.4, 0.8), uses=["score_terms"])
def unscaled(at):
    run = few(at)
    scores = circuits.score_terms(double(at), run.tokens).sum(0) * double(at).cfg.d_head ** 0.5
    future = torch.ones(22, 22, dtype=torch.bool).triu(1)
    return _rebuilt(at, pattern=scores.masked_fill(future, -torch.inf).softmax(-1)[:, 11:21])


def _blocked(at: Bench, sources: list[int]) -> float:
    return accuracy(at, ablation.block_sources(double(at), few(at).tokens, sources))


@fact("accuracy with everything after MID hidden", bounds=(0.99, 1), uses=["block_sources"])
def block_tail(at):
    return _blocked(at, list(range(12, 22)))


@fact("accuracy with BOS hidden", bounds=(0.55, 0.75), uses=["block_sources"])
def block_bos(at):
    return _blocked(at, [0])


@fact("accuracy with MID hidden", bounds=(0.30, 0.62), uses=["block_sources"])
def block_mid(at):
    return _blocked(at, [11])


@fact("accuracy with BOS and MID hidden", bounds=(0, 0.35), uses=["block_sources"])
def block_both(at):
    return _blocked(at, [0, 11])


@fact("accuracy with the list hidden", bounds=(0, 0.05), uses=["block_sources"])
def block_list(at):
    return _blocked(at, list(range(1, 11)))


@cache
def _mass_kept(at: Bench, term: str) -> float:
    return accuracy(at, ablation.remove_term_keep_mass(double(at), few(at).tokens, term))


@fact("accuracy without tok_tok, the list's attention kept", bounds=(0.2, 0.50), uses=["remove_term_keep_mass"])
def keep_mass_tok_tok(at):
    return _mass_kept(at, "tok_tok")


@fact("accuracy without pos_tok, the list's attention kept", bounds=(0.70, 0.92), uses=["remove_term_keep_mass"])
def keep_mass_pos_tok(at):
    return _mass_kept(at, "pos_tok")


@fact("accuracy without tok_pos, the list's attention kept", bounds=(0.99, 1), uses=["remove_term_keep_mass"])
def keep_mass_tok_pos(at):
    return _mass_kept(at, "tok_pos")


@fact("accuracy without pos_pos, the list's attention kept", bounds=(0.99, 1), uses=["remove_term_keep_mass"])
def keep_mass_pos_pos(at):
    return _mass_kept(at, "pos_pos")


@fact("largest change of the accuracy by these two, tok_pos and pos_pos", bounds=(0, 0.002))
def keep_mass_change(at):
    return max(abs(_mass_kept(at, t) - few(at).metrics["token_accuracy"].item()) for t in ("tok_pos", "pos_pos"))


@torch.no_grad()
def _shared_out(at: Bench, keep: tuple[str, ...]) -> float:
    run = few(at)
    terms = circuits.score_terms(double(at), run.tokens)[:, :, 11:21, 1:11]
    scores = sum((terms[TERMS.index(name)] for name in keep), torch.zeros_like(terms[0]))
    pattern = run.pattern.clone()
    pattern[..., 1:11] = scores.softmax(-1) * pattern[..., 1:11].sum(-1, keepdim=True)
    return _rebuilt(at, pattern=pattern)


@fact("accuracy with tok_tok and pos_tok alone sharing out the list's attention", bounds=(0.99, 1))
def in_list_both(at):
    return _shared_out(at, ("tok_tok", "pos_tok"))


@fact("the same with tok_tok alone", bounds=(0.7, 0.92))
def in_list_tok_tok(at):
    return _shared_out(at, ("tok_tok",))


@fact("the same with pos_tok alone", bounds=(0.2, 0.5))
def in_list_pos_tok(at):
    return _shared_out(at, ("pos_tok",))


@fact("the same with even shares", bounds=(0.03, 0.15))
def in_list_even(at):
    return _shared_out(at, ())


@cache
def _shifted(at: Bench, shift: int) -> Tensor:
    """What the model says at the steps when its queries are shifted."""
    logits = ablation.shift_query_position(double(at), few(at).tokens, shift)
    return logits[:, 11:21].argmax(-1)


def _moved(at: Bench, shift: int, follows: bool) -> float:
    """Part of the shifted steps, where the two answers differ, at which it follows the shift (or stays)."""
    truth = few(at).truth
    there = truth.roll(-shift, 1)
    counts = torch.tensor([12 <= p <= 20 and 12 <= p + shift <= 20 for p in range(11, 21)]) & (there != truth)
    return share((_shifted(at, shift) == (there if follows else truth))[counts])


@fact("shift -1: the output moves to the previous number of the order", bounds=(0.5, 1), uses=["shift_query_position"])
def shift_back_follows(at):
    return _moved(at, -1, True)


@fact("shift -1: the output stays", bounds=(0, 0.5), uses=["shift_query_position"])
def shift_back_stays(at):
    return _moved(at, -1, False)


@fact("shift +1: the output moves to the next number of the order", bounds=(0.5, 1), uses=["shift_query_position"])
def shift_on_follows(at):
    return _moved(at, 1, True)


@fact("shift +1: the output stays", bounds=(0, 0.5), uses=["shift_query_position"])
def shift_on_stays(at):
    return _moved(at, 1, False)


@cache
def _one_pair(at: Bench) -> tuple[Tensor, Tensor]:
    """Lists with exactly one number twice, and the rank of its first copy."""
    truth = few(at).truth
    counts = one_hot(truth, 50).sum(1)
    which = ((counts == 2).sum(1) == 1) & (counts.amax(1) == 2)
    index = which.nonzero()[:, 0]
    return index, (truth[index].diff(dim=1) == 0).int().argmax(1)


def _after_pair(at: Bench, said: Tensor, later: int, wanted: int) -> float:
    """Part of these lists at which, `later` steps after the first copy, `said` is the number `wanted` steps after."""
    truth = few(at).truth
    index, first = _one_pair(at)
    inside = first + 2 <= 9
    index, first = index[inside], first[inside]
    return share(said[index, first + later] == truth[index, first + wanted])


@fact("after both copies of a number, a shift of -1 makes the model say it again", bounds=(0.95, 1))
def repeat_again(at):
    return _after_pair(at, _shifted(at, -1), 2, 0)


@fact("the same without a shift", bounds=(0, 0.05))
def repeat_again_unshifted(at):
    return _after_pair(at, few(at).logits.argmax(-1), 2, 0)


@fact("after the first copy of two, a shift of +1 makes the model move on", bounds=(0.95, 1))
def move_on(at):
    return _after_pair(at, _shifted(at, 1), 1, 2)


@fact("the same without a shift: it moves on too early", bounds=(0, 0.05))
def move_on_unshifted(at):
    return _after_pair(at, few(at).logits.argmax(-1), 1, 2)


# -- explain.py: where it fails


@cache
def _many(at: Bench) -> tuple[Tensor, Tensor]:
    """The sorted half and the answers on 10 000 uniform lists."""
    made = uniform(10_000, 99)
    return made.sort(1).values, torch.cat([answers_to(at, part) for part in made.split(2500)])


@fact("part of 10 000 random lists with some error", bounds=(0.005, 0.05))
def failing_uniform(at):
    truth, said = _many(at)
    return share((truth != said).any(1))


@fact("the same among lists in which some number repeats", bounds=(0.01, 0.08))
def failing_with_repeats(at):
    truth, said = _many(at)
    return share((truth != said).any(1)[(truth.diff(dim=1) == 0).any(1)])


@fact("the same among lists without repeats", bounds=(0, 0.005))
def failing_without_repeats(at):
    truth, said = _many(at)
    return share((truth != said).any(1)[(truth.diff(dim=1) > 0).all(1)])


@cache
def _kinds(at: Bench) -> tuple[Tensor, Tensor]:
    """Which steps repeat the number before, and which move on after a repeat."""
    truth, _ = _many(at)
    repeats = torch.cat([torch.zeros(len(truth), 1, dtype=torch.bool), truth.diff(dim=1) == 0], 1)
    return repeats, ~repeats & repeats.roll(1, 1)


@fact("error rate where the answer repeats the number before", bounds=(0.002, 0.05))
def errors_when_repeating(at):
    truth, said = _many(at)
    return share((truth != said)[_kinds(at)[0]])


@fact("error rate where the order moves on after a repeat", bounds=(0.002, 0.05))
def errors_when_moving_on(at):
    truth, said = _many(at)
    return share((truth != said)[_kinds(at)[1]])


@fact("error rate at all other steps", bounds=(0, 0.002))
def errors_elsewhere(at):
    truth, said = _many(at)
    return share((truth != said)[~_kinds(at)[0] & ~_kinds(at)[1]])


@fact("part of all errors that are off by one", bounds=(0.5, 0.9))
def errors_off_by_one(at):
    truth, said = _many(at)
    return share((truth - said).abs()[truth != said] == 1)


@fact("part of all errors that are numbers not in the list", bounds=(0.05, 0.4))
def errors_invented(at):
    truth, said = _many(at)
    absent = (said[:, :, None] != truth[:, None, :]).all(2)
    return share(absent[truth != said])


def _sorted_right(at: Bench, lists: Tensor) -> float:
    return share((answers_to(at, lists) == lists.sort(1).values).all(1))


@fact("part of 3000 random lists with gaps of 2 or more that are sorted rightly", bounds=(0.999, 1))
def lists_with_gaps(at):
    places = torch.rand(3000, 41, generator=seeded(5)).argsort(1)[:, :10].sort(1).values
    return _sorted_right(at, places + torch.arange(10))


@fact("part of 1000 lists with one repeated number that are sorted rightly", bounds=(0.98, 1))
def lists_with_one_pair(at):
    numbers = distinct(1000, 9, 6)
    return _sorted_right(at, torch.cat([numbers, numbers[:, :1]], 1))


@fact("part of 1000 lists with one number three times that are sorted rightly", bounds=(0.8, 0.95))
def lists_with_a_triple(at):
    numbers = distinct(1000, 8, 7)
    return _sorted_right(at, torch.cat([numbers, numbers[:, :1], numbers[:, :1]], 1))


@fact("part of 1000 lists of five numbers twice that are sorted rightly", bounds=(0.5, 0.85))
def lists_of_five_pairs(at):
    numbers = distinct(1000, 5, 8)
    return _sorted_right(at, torch.cat([numbers, numbers], 1))


@fact("part of the 41 lists k, k + 1, .. k + 9 that are sorted rightly", bounds=(0.3, 0.95))
def lists_of_runs(at):
    return _sorted_right(at, torch.arange(41)[:, None] + torch.arange(10))


@fact("part of 1000 random lists within a window of 12 numbers that are sorted rightly", bounds=(0.1, 0.5))
def lists_in_a_window(at):
    low = torch.randint(0, 39, (1000, 1), generator=seeded(9))
    return _sorted_right(at, low + torch.randint(0, 12, (1000, 10), generator=seeded(10)))


@fact("part of the 50 lists of one number ten times that are sorted rightly", bounds=(0.1, 0.4))
def lists_of_one_number(at):
    return _sorted_right(at, NUMBERS[:, None].expand(-1, 10).contiguous())


@fact("part of 1000 lists, five numbers from 0 .. 4 and five from 45 .. 49, that are sorted rightly", bounds=(0, 0.01))
def lists_of_two_clusters(at):
    low = torch.randint(0, 5, (1000, 5), generator=seeded(11))
    return _sorted_right(at, torch.cat([low, 45 + torch.randint(0, 5, (1000, 5), generator=seeded(12))], 1))


@fact("what the model says to [0, 41, 42, .. 49], by step")
def two_clusters_said(at):
    return answers_to(at, torch.tensor(TWO_CLUSTERS[:1]))[0]


@fact("what the model says to [0, 33, 35, .. 49], by step")
def sparse_clusters_said(at):
    return answers_to(at, torch.tensor(TWO_CLUSTERS[3:]))[0]


# -- explain.py: the program


@cache
def _window(at: Bench) -> tuple[Tensor, Tensor]:
    low = torch.arange(1950) % 39
    made = low[:, None] + torch.randint(0, 12, (1950, 10), generator=seeded(31))
    return dataset.make_sorting_tokens(made), answers_to(at, made)


@cache
def _programs(at: Bench, hard: bool) -> dict[str, tuple[float, float]]:
    """Agreement with the model and F1 of foretold errors of four programs, on window lists or on uniform ones."""
    if hard:
        tokens, answers = _window(at)
    else:
        run = evaluation(at)
        tokens, answers = run.tokens, run.logits.argmax(-1)
    known, counts, truth = reduced_tables(double(at)), one_hot(tokens[:, 12:], 50).sum(1), tokens[:, 12:]
    short = known | {name: known[name] * 0 for name in ("direct_tok", "direct_pos")}

    def copying(given, counts, previous, step):
        scores = (given["tok_tok"][previous] + given["pos_tok"][step])[:, :50]
        return scores.masked_fill(counts == 0, -torch.inf).argmax(-1)

    def scored(function, given) -> tuple[float, float]:
        said = torch.stack([function(given, counts, tokens[:, 11 + i], i) for i in range(10)], 1)
        foretold, real = said != truth, answers != truth
        f1 = 2 * (foretold & real).sum() / (foretold.sum() + real.sum()).clamp(min=1)
        return share(said == answers), f1.item()

    return {
        "mixture": scored(explain.explain_step, known),
        "no direct path": scored(explain.explain_step, short),
        "copying": scored(copying, known),
        "sorting": (share(truth == answers), 0.0),
    }


@fact("agreement of the reference program with the model on lists in a window of 12", bounds=(0.945, 1))
def program_agreement(at):
    return _programs(at, True)["mixture"][0]


@fact("F1 of the errors that the reference program foretells there", bounds=(0.81, 1))
def program_f1(at):
    return _programs(at, True)["mixture"][1]


@fact("agreement without the direct path, there", bounds=(0.91, 0.96))
def program_agreement_without_direct(at):
    return _programs(at, True)["no direct path"][0]


@fact("F1 without the direct path, there", bounds=(0.65, 0.80))
def program_f1_without_direct(at):
    return _programs(at, True)["no direct path"][1]


@fact("agreement of a program that copies the list number with the highest score, there", bounds=(0.3, 0.7))
def copy_agreement(at):
    return _programs(at, True)["copying"][0]


@fact("agreement of a program that just sorts, there", bounds=(0.8, 0.93))
def sorting_agreement(at):
    return _programs(at, True)["sorting"][0]


@fact("agreement of the reference program with the model on uniform lists", bounds=(0.998, 1))
def program_agreement_uniform(at):
    return _programs(at, False)["mixture"][0]


@fact("agreement of the copying program on uniform lists", bounds=(0.7, 0.9))
def copy_agreement_uniform(at):
    return _programs(at, False)["copying"][0]


@fact("agreement of sorting on uniform lists", bounds=(0.99, 1))
def sorting_agreement_uniform(at):
    return _programs(at, False)["sorting"][0]
