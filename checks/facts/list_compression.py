"""Figures of the list_compression checkpoints that the texts quote, each with its bounds and the published value.

There are only 100 lists, so every figure here is over all of them unless it says otherwise.
"""

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch

from kata.checking import Bench, fact
from kata.checkpoints import Checkpoint
from solutions.list_compression import ablation, attribution, circuits, dataset, explain

NOTEBOOK = "list_comp.ipynb of github.com/Theosdoor/list-comp"
SAMPLE = f"{NOTEBOOK}, its one sample [8, 3]"

LISTS = torch.cartesian_prod(torch.arange(10), torch.arange(10))
FIRST, SECOND = LISTS.unbind(1)
OFF = FIRST != SECOND  # the 90 lists of two different digits
REVERSED = SECOND * 10 + FIRST  # row of each list read backwards
MASK = dataset.block_mask(5)
EXAMPLE = 83  # the row of [8, 3]


def teacher(checkpoint: Checkpoint) -> bool:
    return checkpoint.variant == "teacher"


def bottleneck(checkpoint: Checkpoint) -> bool:
    return checkpoint.variant == "bottleneck"


@cache
def tokens(at: Bench) -> torch.Tensor:
    return dataset.make_tokens(LISTS, at.variant == "teacher")


@cache
def run(at: Bench) -> tuple[torch.Tensor, Any]:
    """Logits and activations on all lists."""
    with torch.no_grad():
        return at.model.run_with_cache(tokens(at), attention_mask=MASK)


def pattern(at: Bench, layer: int) -> torch.Tensor:
    return run(at)[1][f"blocks.{layer}.attn.hook_pattern"][:, 0]


def read(at: Bench, logits: torch.Tensor) -> torch.Tensor:
    """The two answers, from the positions that carry them in this family."""
    return logits[:, 2:4].argmax(-1) if at.variant == "teacher" else logits[:, 3:5].argmax(-1)


@torch.no_grad()
def answers(at: Bench, *hooks: tuple[str, Callable], fed: torch.Tensor | None = None, masked: bool = True):
    given = tokens(at) if fed is None else fed
    more = {"attention_mask": MASK} if masked else {}
    return read(at, at.model.run_with_hooks(given, fwd_hooks=list(hooks), **more))


def right(said: torch.Tensor) -> list[float]:
    """The share of right first answers and of right second answers."""
    return (said == LISTS).double().mean(0).tolist()


def both(said: torch.Tensor, wanted: torch.Tensor = LISTS) -> float:
    return (said == wanted).all(1).double().mean().item()


def rows(layer: int, change: Callable[[torch.Tensor], None]) -> tuple[str, Callable]:
    """A hook that changes a copy of a layer's pattern [list, query, key] in place."""

    def hook(pattern: torch.Tensor, hook: Any) -> torch.Tensor:
        pattern = pattern.clone()
        change(pattern[:, 0])
        return pattern

    return f"blocks.{layer}.attn.hook_pattern", hook


def ablated(layer: int, kind: str) -> tuple[str, Callable]:
    hook = partial(ablation.pattern_ablation_hook, kind=kind, mask=MASK)
    return f"blocks.{layer}.attn.hook_pattern", hook


# -- the data and the loss


@fact("share of the lists that the model, left to itself, answers right in both digits", bounds=(0.99, 1),
      published="100%", source=f"{NOTEBOOK}, training log", uses=["greedy_decode"])  # fmt: skip
def accuracy(at):
    return both(dataset.greedy_decode(at.model, LISTS))


@fact("the same without the extra mask", bounds=(0, 0.8), uses=["block_mask"])
def accuracy_no_mask(at):
    return both(answers(at, masked=False))


@fact("without the extra mask, the share of right answers at o1 and at o2", uses=["block_mask"])
def right_no_mask(at):
    return right(answers(at, masked=False))


@fact("largest change of a logit when the extra mask is left out", bounds=(1, 200), uses=["block_mask"])
def no_mask_change(at):
    return (at.model(tokens(at)) - run(at)[0]).abs().max().item()


@fact("largest difference of a logit between a transposed mask and no mask", bounds=(0, 0), uses=["block_mask"])
def transposed_mask_change(at):
    flipped = at.model(tokens(at), attention_mask=MASK.mT)
    return (flipped - at.model(tokens(at))).abs().max().item()


@fact("largest difference of a logit between a mask put into hook_attn_scores and no mask", bounds=(0, 0))
def scores_hook_change(at):
    import warnings

    hooks = [(f"blocks.{i}.attn.hook_attn_scores", lambda s, hook: s.masked_fill(MASK, -math.inf)) for i in (0, 1)]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return (at.model.run_with_hooks(tokens(at), fwd_hooks=hooks) - at.model(tokens(at))).abs().max().item()


@fact("share of lists that a bottleneck model answers right when it is fed a teacher's tokens", bounds=(0, 0.5),
      uses=["make_tokens"], on=bottleneck)  # fmt: skip
def accuracy_teacher_tokens(at):
    return both(answers(at, fed=dataset.make_tokens(LISTS, True)))


@fact("share of lists that come out when both answers are read one position too early (bottleneck) or too late "
      "(teacher)", bounds=(0, 0.15), uses=["greedy_decode"])  # fmt: skip
def accuracy_read_wrong(at):
    logits = run(at)[0]
    return both((logits[:, 3:5] if at.variant == "teacher" else logits[:, 2:4]).argmax(-1))


@fact("loss at the four positions", uses=["loss_by_position"], on=teacher)
def loss_at(at):
    return dataset.loss_by_position(at.model, tokens(at), MASK)


@fact("loss at the first position, where d2 cannot be known (ln 10 = 2.3026)", bounds=(2.3025, 2.33),
      uses=["loss_by_position"], on=teacher)  # fmt: skip
def loss_first(at):
    return dataset.loss_by_position(at.model, tokens(at), MASK)[0].item()


@fact("mean loss at the three positions that can be known", bounds=(0, 0.02), uses=["loss_by_position"], on=teacher)
def loss_rest(at):
    return dataset.loss_by_position(at.model, tokens(at), MASK)[1:].mean().item()


@fact("mean loss; the floor is ln(10) / 4 = 0.5756", bounds=(0.5756, 0.6), uses=["loss_by_position"], on=teacher)
def loss_mean(at):
    return dataset.loss_by_position(at.model, tokens(at), MASK).mean().item()


@fact("mean loss of the two answers", bounds=(0, 0.05), uses=["greedy_decode"], on=bottleneck)
def loss_answers(at):
    return torch.nn.functional.cross_entropy(run(at)[0][:, 3:].flatten(0, 1), LISTS.flatten()).item()


@fact("share of the loss that is paid at the first position", bounds=(0.98, 1), uses=["loss_by_position"], on=teacher)
def loss_first_share(at):
    loss = dataset.loss_by_position(at.model, tokens(at), MASK)
    return (loss[0] / loss.sum()).item()


@cache
def loss_of_each(at: Bench) -> torch.Tensor:
    logits = run(at)[0][:, :-1]
    return torch.nn.functional.cross_entropy(logits.mT, tokens(at)[:, 1:], reduction="none").mean(1)


@fact("the loss of the list [8, 3] alone", bounds=(0.5, 0.7), published=0.598, source=SAMPLE,
      uses=["loss_by_position"], on=teacher)  # fmt: skip
def loss_example(at):
    return loss_of_each(at)[EXAMPLE].item()


@fact("lowest and highest loss of a single list", uses=["loss_by_position"], on=teacher)
def loss_one_list(at):
    return [loss_of_each(at).min().item(), loss_of_each(at).max().item()]


@fact("lowest share of right second answers when one and the same token is forced in at o1 for every list",
      bounds=(0.99, 1), uses=["greedy_decode"], on=teacher)  # fmt: skip
def forced_o1(at):
    forced = []
    for token in range(11):
        fed = tokens(at).clone()
        fed[:, 3] = token
        forced.append(right(answers(at, fed=fed))[1])
    return min(forced)


# -- where the heads look


@fact("layer 0, row SEP: mean attention to d1, d2 and SEP", uses=["mean_std_pattern"])
def sep_row(at):
    return circuits.mean_std_pattern(at.model, tokens(at), MASK, 0)[0][2, :3]


@fact("layer 0, row SEP: standard deviation over the lists", uses=["mean_std_pattern"])
def sep_row_std(at):
    return circuits.mean_std_pattern(at.model, tokens(at), MASK, 0)[1][2, :3]


@fact("layer 0, row SEP: how many times more attention d2 gets than d1", bounds=(4, 1000), uses=["mean_std_pattern"],
      on=teacher)  # fmt: skip
def sep_prefers_second(at):
    row = circuits.mean_std_pattern(at.model, tokens(at), MASK, 0)[0][2]
    return (row[1] / row[0]).item()


@fact("layer 0, row SEP on [8, 3]: attention to d1, d2 and SEP", published=[0.098, 0.450, 0.453], source=SAMPLE,
      uses=["mean_std_pattern"], on=teacher)  # fmt: skip
def sep_row_example(at):
    return pattern(at, 0)[EXAMPLE, 2, :3]


@fact("layer 0, row SEP: largest standard deviation of a teacher's weight on a digit", bounds=(0, 0.03),
      uses=["mean_std_pattern"], on=teacher)  # fmt: skip
def sep_std_teacher(at):
    return circuits.mean_std_pattern(at.model, tokens(at), MASK, 0)[1][2, :2].max().item()


@fact("layer 0, row SEP: standard deviation of a bottleneck model's weight on d1", bounds=(0.08, 0.5),
      uses=["mean_std_pattern"], on=bottleneck)  # fmt: skip
def sep_std_bottleneck(at):
    return circuits.mean_std_pattern(at.model, tokens(at), MASK, 0)[1][2, 0].item()


@fact("layer 1: mean attention of SEP to d1", bounds=(0.88, 1), uses=["mean_std_pattern"], on=teacher)
def late_sep_to_d1(at):
    return circuits.mean_std_pattern(at.model, tokens(at), MASK, 1)[0][2, 0].item()


@fact("layer 1: mean attention of o1 to SEP", bounds=(0.92, 1), uses=["mean_std_pattern"], on=teacher)
def late_o1_to_sep(at):
    return circuits.mean_std_pattern(at.model, tokens(at), MASK, 1)[0][3, 2].item()


@fact("layer 1: mean attention of o1 and of o2 to SEP", uses=["mean_std_pattern"], on=bottleneck)
def gate_mean(at):
    return circuits.mean_std_pattern(at.model, tokens(at), MASK, 1)[0][3:, 2]


@fact("layer 1: standard deviation of the attention of o1 and of o2 to SEP", bounds=(0.05, 0.5),
      uses=["mean_std_pattern"], on=bottleneck)  # fmt: skip
def gate_std(at):
    return circuits.mean_std_pattern(at.model, tokens(at), MASK, 1)[1][3:, 2]


@fact("layer 0, rows o1 and o2: largest standard deviation", bounds=(0, 0), uses=["mean_std_pattern"], on=bottleneck)
def answer_rows_std(at):
    return circuits.mean_std_pattern(at.model, tokens(at), MASK, 0)[1][3:].max().item()


# -- strengths and copies


@fact("largest difference between row SEP from the strength table and from the run", bounds=(0, 1e-5),
      uses=["strength_table"])  # fmt: skip
def strength_error(at):
    table, itself = circuits.strength_table(at.model)
    scores = torch.stack([table[0, FIRST], table[1, SECOND], itself.expand(100)], dim=1)
    return (scores.softmax(1) - pattern(at, 0)[:, 2, :3]).abs().max().item()


@fact("strength of each digit, mean over its two places, relative to SEP's own score", uses=["strength_table"])
def strength(at):
    table, itself = circuits.strength_table(at.model)
    return (table - itself).mean(0)


@fact("lowest and highest strength of a digit", uses=["strength_table"])
def strength_range(at):
    table, itself = circuits.strength_table(at.model)
    return [f((table - itself).mean(0)).item() for f in (torch.min, torch.max)]


@fact("the weakest and the strongest digit", uses=["strength_table"])
def weakest_strongest(at):
    mean = circuits.strength_table(at.model)[0].mean(0)
    return [int(mean.argmin()), int(mean.argmax())]


@fact("largest difference between the scores of one digit at its two places", bounds=(0, 0.3),
      uses=["strength_table"], on=bottleneck)  # fmt: skip
def place_gap(at):
    table, _ = circuits.strength_table(at.model)
    return (table[0] - table[1]).abs().max().item()


@fact("smallest difference between the scores of one digit at its two places", bounds=(1, 20),
      uses=["strength_table"], on=teacher)  # fmt: skip
def place_gap_teacher(at):
    table, _ = circuits.strength_table(at.model)
    return (table[0] - table[1]).abs().min().item()


def diagonal_top(table: torch.Tensor) -> float:
    return (table.argmax(1) == torch.arange(10)).double().mean().item()


@fact("share of rows of the two-hop table with the largest entry on the diagonal, for d1 and d2", bounds=(1, 1),
      uses=["copy_table"], on=teacher)  # fmt: skip
def copy_top(at):
    return [diagonal_top(circuits.copy_table(at.model, which)) for which in ("d1", "d2")]


@fact("the same in a bottleneck model", uses=["copy_table"], on=bottleneck)
def copy_top_bottleneck(at):
    return [diagonal_top(circuits.copy_table(at.model, which)) for which in ("d1", "d2")]


@fact("smallest lead of a diagonal entry of the two-hop table over the rest of its row, for d1 and d2",
      bounds=(0.3, 50), uses=["copy_table"], on=teacher)  # fmt: skip
def copy_margin(at):
    margins = []
    for which in ("d1", "d2"):
        table = circuits.copy_table(at.model, which)
        rest = table.clone()
        rest[torch.arange(10), torch.arange(10)] = -math.inf
        margins.append((table.diag() - rest.max(1).values).min().item())
    return margins


@fact("share of diagonal rows of a one-hop table W_E W_V W_O W_U, for layer 0 and layer 1", bounds=(0, 0.4),
      uses=["copy_table"], on=teacher)  # fmt: skip
def one_hop_top(at):
    m = at.model
    return [diagonal_top(m.W_E[:10] @ m.W_V[i, 0] @ m.W_O[i, 0] @ m.W_U) for i in (0, 1)]


@fact("share of D that changes sign with the order of the list", bounds=(0.95, 1), uses=["place_vs_digit"],
      on=bottleneck)  # fmt: skip
def digit_bound(at):
    return circuits.place_vs_digit(at.model, MASK)["digit_bound"]


@fact("correlation of D(a, b) with -D(b, a)", bounds=(0.95, 1), uses=["place_vs_digit"], on=bottleneck)
def digit_correlation(at):
    return circuits.place_vs_digit(at.model, MASK)["correlation"]


@fact("the same two in a teacher model: share and correlation", uses=["place_vs_digit"], on=teacher)
def digit_bound_teacher(at):
    return list(circuits.place_vs_digit(at.model, MASK).values())


# -- whose fault is a logit


def correct_minus_mean(logits: torch.Tensor, digits: torch.Tensor) -> torch.Tensor:
    """The logit of a digit minus the mean over the digits, as a mean over the lists; logits [..., list, token]."""
    chosen = logits[..., torch.arange(len(digits)), digits]
    return (chosen - logits[..., :10].mean(-1)).mean(-1)


def places(at: Bench) -> tuple[int, int]:
    return (2, 3) if at.variant == "teacher" else (3, 4)


@fact("largest difference between the sum of the four parts and the logits, as a share of the largest part",
      bounds=(0, 1e-5), uses=["dla_components"])  # fmt: skip
def parts_error(at):
    parts = attribution.dla_components(at.model, tokens(at), MASK)
    return ((parts.sum(0) - run(at)[0]).abs().max() / parts.abs().max()).item()


@fact("correct digit minus the mean digit, by part (embedding, layer 0, layer 1, bias): first answer, second answer",
      uses=["dla_components"])  # fmt: skip
def parts_at_answers(at):
    parts = attribution.dla_components(at.model, tokens(at), MASK)
    return [correct_minus_mean(parts[:, :, places(at)[i]], LISTS[:, i]) for i in (0, 1)]


@fact("what layer 1 gives the correct digit above the mean digit, first and second answer", bounds=(5, 9),
      uses=["dla_components"], on=teacher)  # fmt: skip
def attn1_at_answers(at):
    parts = attribution.dla_components(at.model, tokens(at), MASK)
    return [correct_minus_mean(parts[2, :, places(at)[i]], LISTS[:, i]).item() for i in (0, 1)]


@cache
def by_source(at: Bench) -> list[torch.Tensor]:
    """Correct digit minus the mean digit by source position: first answer, second answer."""
    return [
        correct_minus_mean(
            attribution.dla_attn1_by_source(at.model, tokens(at), MASK, place).movedim(1, 0), LISTS[:, i]
        )
        for i, place in enumerate(places(at))
    ]


@fact("what o1 gets from position d1, and o2 from SEP: correct digit minus the mean digit", bounds=(5, 9),
      uses=["dla_attn1_by_source"], on=teacher)  # fmt: skip
def main_sources(at):
    return [by_source(at)[0][0].item(), by_source(at)[1][2].item()]


@fact("the largest of all the other sources, without sign", bounds=(0, 0.15), uses=["dla_attn1_by_source"], on=teacher)
def other_sources(at):
    first, second = by_source(at)
    return torch.cat([first[1:], second[:2], second[3:]]).abs().max().item()


@cache
def sep_parts(at: Bench) -> dict[str, torch.Tensor]:
    """Bottleneck: logit of d1 minus logit of d2 on lists of two digits, [answer, list], through the part of SEP
    that came from d1, the part that came from d2, and in all. The scales of both norms are held."""
    m, (logits, kept) = at.model, run(at)
    moved = pattern(at, 0)[:, 2, :3, None] * (kept["blocks.0.attn.hook_v"][:, :3, 0] @ m.W_O[0, 0])
    moved = moved - moved.mean(-1, keepdim=True)
    moved = moved / kept["blocks.1.ln1.hook_scale"][:, 2, None] * m.blocks[1].ln1.weight
    moved = moved @ m.W_V[1, 0] @ m.W_O[1, 0]
    found: dict[str, list[torch.Tensor]] = {"d1": [], "d2": [], "all": []}
    lists = torch.arange(100)
    for query in (3, 4):
        part = pattern(at, 1)[:, query, 2, None, None] * moved
        part = (part - part.mean(-1, keepdim=True)) / kept["ln_final.hook_scale"][:, query, None]
        part = part * m.ln_final.weight @ m.W_U
        for i, name in enumerate(("d1", "d2")):
            found[name].append((part[lists, i, FIRST] - part[lists, i, SECOND])[OFF])
        found["all"].append((logits[lists, query, FIRST] - logits[lists, query, SECOND])[OFF])
    return {name: torch.stack(values) for name, values in found.items()}


@fact("mean push towards d1 and away from d2 by the part of SEP that came from d1, at o1 and at o2", bounds=(5, 60),
      uses=["dla_attn1_by_source"], on=bottleneck)  # fmt: skip
def push_of_d1(at):
    return sep_parts(at)["d1"].mean(1)


@fact("the same by the part that came from d2", bounds=(-60, -3), uses=["dla_attn1_by_source"], on=bottleneck)
def push_of_d2(at):
    return sep_parts(at)["d2"].mean(1)


@fact("mean logit of d1 minus logit of d2, at o1 and at o2", uses=["dla_attn1_by_source"], on=bottleneck)
def push_in_all(at):
    return sep_parts(at)["all"].mean(1)


@fact("share of lists on which the d1 part of SEP pushes towards d1 at o2, where the answer is d2", bounds=(0.5, 1),
      uses=["dla_attn1_by_source"], on=bottleneck)  # fmt: skip
def push_of_d1_at_o2(at):
    return (sep_parts(at)["d1"][1] > 0).double().mean().item()


def one_hot(digits: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(digits, 10).float()


def sep_after(at: Bench, layer: int) -> torch.Tensor:
    return run(at)[1][f"blocks.{layer}.hook_resid_post"][:, 2]


def explained(at: Bench, layer: int) -> list[float]:
    labels = (one_hot(FIRST), one_hot(SECOND), LISTS.sum(1, keepdim=True).float())
    return [attribution.variance_explained(sep_after(at, layer), each) for each in labels]


@fact("variance of the top 3 components of SEP after layer 0 that d1, d2 and their sum explain",
      uses=["variance_explained"])  # fmt: skip
def pcs_after_0(at):
    return explained(at, 0)


@fact("the same after layer 1", uses=["variance_explained"])
def pcs_after_1(at):
    return explained(at, 1)


@fact("d2 after layer 0 and d1 after layer 1: the digit that SEP holds there", bounds=(0.93, 1),
      uses=["variance_explained"], on=teacher)  # fmt: skip
def pcs_of_the_digit(at):
    return [explained(at, 0)[1], explained(at, 1)[0]]


@fact("d1 after layer 0 and d2 after layer 1: the digit that it does not", bounds=(0, 0.05),
      uses=["variance_explained"], on=teacher)  # fmt: skip
def pcs_of_the_other(at):
    return [explained(at, 0)[0], explained(at, 1)[1]]


@fact("the sum of the digits, after layer 0 and after layer 1", bounds=(0, 0.15), uses=["variance_explained"],
      on=teacher)  # fmt: skip
def pcs_of_the_sum(at):
    return [explained(at, 0)[2], explained(at, 1)[2]]


@fact("variance of the top 3 components of SEP after layer 0 that both digits together explain", bounds=(0.9, 1),
      uses=["variance_explained"], on=bottleneck)  # fmt: skip
def pcs_of_both(at):
    labels = torch.cat([one_hot(FIRST), one_hot(SECOND)], dim=1)
    return attribution.variance_explained(sep_after(at, 0), labels)


def probe(x: torch.Tensor, digits: torch.Tensor, ridge: float = 1e-2) -> float:
    """Accuracy of a ridge probe that is scored on each list while that list is left out of the fit."""
    x = (x - x.mean(0)).double()
    x = torch.cat([x / x.std(), torch.ones(len(x), 1)], dim=1)
    hat = x @ torch.linalg.solve(x.T @ x + ridge * torch.eye(x.shape[1]), x.T)
    labels = one_hot(digits).double()
    left_out = labels - (labels - hat @ labels) / (1 - hat.diag()[:, None])
    return (left_out.argmax(1) == digits).double().mean().item()


@fact("a linear probe finds d1 and d2 in SEP after layer 0 (share of left-out lists; chance is 0.1)",
      uses=["patch_sep"], on=teacher)  # fmt: skip
def probe_after_0(at):
    return [probe(sep_after(at, 0), digits) for digits in (FIRST, SECOND)]


@fact("a linear probe finds d1 and d2 in SEP after layer 1", bounds=(0.8, 1), uses=["patch_sep"], on=teacher)
def probe_after_1(at):
    return [probe(sep_after(at, 1), digits) for digits in (FIRST, SECOND)]


# -- ablation: the teacher's two routes


def losses(at: Bench, kind: str) -> list[float]:
    return [ablation.ablate_attention(at.model, tokens(at), MASK, layer, kind)["after"] for layer in (0, 1)]


@fact("loss without attention, layer 0 and layer 1", bounds=(1.5, 6), uses=["ablate_attention"], on=teacher)
def loss_zero(at):
    return losses(at, "zero")


@fact("loss with the mean pattern, layer 0 and layer 1", bounds=(0.57, 0.62), uses=["ablate_attention"], on=teacher)
def loss_mean_pattern(at):
    return losses(at, "mean_pattern")


@fact("loss with uniform attention, layer 0 and layer 1", bounds=(1, 4), uses=["ablate_attention"], on=teacher)
def loss_uniform(at):
    return losses(at, "uniform")


@fact("share of lists right with the mean pattern in layer 0, in layer 1, in both", bounds=(0.98, 1),
      uses=["pattern_ablation_hook"], on=teacher)  # fmt: skip
def accuracy_mean_pattern(at):
    edits = [ablated(i, "mean_pattern") for i in (0, 1)]
    return [both(answers(at, *e)) for e in (edits[:1], edits[1:], edits)]


@fact("what the mean pattern costs, layer 0 and layer 1, in nats", bounds=(-0.001, 0.02), uses=["ablate_attention"],
      on=teacher)  # fmt: skip
def mean_pattern_cost(at):
    return [after - loss_mean.compute(at) for after in losses(at, "mean_pattern")]


def loss_of_example(at: Bench, kind: str) -> float:
    name, hook = ablated(0, kind)
    logits = at.model.run_with_hooks(tokens(at), fwd_hooks=[(name, hook)], attention_mask=MASK)[EXAMPLE, :-1]
    return torch.nn.functional.cross_entropy(logits, tokens(at)[EXAMPLE, 1:]).item()


@fact("the loss of [8, 3] alone without attention in layer 0", published=2.882, source=SAMPLE,
      uses=["ablate_attention"], on=teacher)  # fmt: skip
def example_zero(at):
    return loss_of_example(at, "zero")


@fact("the loss of [8, 3] alone with the mean pattern in layer 0", published=0.598, source=SAMPLE,
      uses=["ablate_attention"], on=teacher)  # fmt: skip
def example_mean_pattern(at):
    return loss_of_example(at, "mean_pattern")


@fact("the loss of [8, 3] alone with uniform attention in layer 0", published=1.468, source=SAMPLE,
      uses=["ablate_attention"], on=teacher)  # fmt: skip
def example_uniform(at):
    return loss_of_example(at, "uniform")


@fact("loss when hook_z is zeroed at index 0 of the position axis, layer 0 and layer 1", uses=["ablate_attention"],
      on=teacher)  # fmt: skip
def loss_wrong_axis(at):
    def zero(z: torch.Tensor, hook: Any) -> torch.Tensor:
        z = z.clone()
        z[:, 0] = 0
        return z

    found = []
    for layer in (0, 1):
        edits = [(f"blocks.{layer}.attn.hook_z", zero)]
        logits = at.model.run_with_hooks(tokens(at), fwd_hooks=edits, attention_mask=MASK)[:, :-1]
        found.append(torch.nn.functional.cross_entropy(logits.mT, tokens(at)[:, 1:]).item())
    return found


def cut(at: Bench, layer: int, query: int, key: int) -> list[float]:
    """Share of right answers at o1 and o2 when `query` may not see `key` in one layer."""

    def change(pattern: torch.Tensor) -> None:
        pattern[:, query, key] = 0
        pattern[:, query] /= pattern[:, query].sum(-1, keepdim=True).clamp_min(1e-9)

    return right(answers(at, rows(layer, change)))


@fact("right at o1 and o2 without layer 0, d2 -> d1", bounds=(0.98, 1), uses=["patch_sep"])
def cut_d2_d1(at):
    return cut(at, 0, 1, 0)


@fact("right at o1 and o2 without layer 0, SEP -> d1", bounds=(0.98, 1), uses=["patch_sep"], on=teacher)
def cut_sep_d1(at):
    return cut(at, 0, 2, 0)


@fact("right at o1 and o2 without layer 0, SEP -> d2", uses=["patch_sep"], on=teacher)
def cut_sep_d2(at):
    return cut(at, 0, 2, 1)


@fact("right at o1 and o2 without layer 1, SEP -> d1", uses=["patch_sep"], on=teacher)
def cut_late_sep_d1(at):
    return cut(at, 1, 2, 0)


@fact("right at o1 and o2 without layer 1, o1 -> SEP", uses=["patch_sep"], on=teacher)
def cut_late_o1_sep(at):
    return cut(at, 1, 3, 2)


PAIRS = torch.cartesian_prod(torch.arange(100), torch.arange(100))
PAIRS = PAIRS[(LISTS[PAIRS[:, 0]] != LISTS[PAIRS[:, 1]]).all(1)]  # the 8100 pairs that differ in both digits


@cache
def patched(at: Bench, layer: int) -> dict[str, float]:
    """Every list gets the SEP of every list that differs from it in both digits."""
    return ablation.patch_sep(at.model, LISTS[PAIRS[:, 0]], LISTS[PAIRS[:, 1]], MASK, layer)


@fact("SEP of another list after layer 0: o1 stays, o2 becomes the donor's", bounds=(0.95, 1), uses=["patch_sep"],
      on=teacher)  # fmt: skip
def patch_after_0(at):
    return [patched(at, 0)["o1_recipient"], patched(at, 0)["o2_donor"]]


@fact("SEP of another list after layer 1: o1 becomes the donor's, o2 stays", bounds=(0.95, 1), uses=["patch_sep"],
      on=teacher)  # fmt: skip
def patch_after_1(at):
    return [patched(at, 1)["o1_donor"], patched(at, 1)["o2_recipient"]]


@fact("bottleneck, SEP of another list after layer 0: both answers become the donor's", bounds=(0.98, 1),
      uses=["patch_sep"], on=bottleneck)  # fmt: skip
def patch_bottleneck(at):
    return [patched(at, 0)["o1_donor"], patched(at, 0)["o2_donor"]]


@fact("bottleneck, SEP of another list after layer 1: largest change of a logit at o1 and o2", bounds=(0, 0),
      uses=["patch_sep"], on=bottleneck)  # fmt: skip
def patch_late_change(at):
    def roll(resid: torch.Tensor, hook: Any) -> torch.Tensor:
        resid = resid.clone()
        resid[:, 2] = resid[:, 2].roll(7, 0)
        return resid

    hooks = [("blocks.1.hook_resid_post", roll)]
    logits = at.model.run_with_hooks(tokens(at), fwd_hooks=hooks, attention_mask=MASK)
    return (logits - run(at)[0])[:, 3:].abs().max().item()


# -- ablation: the bottleneck's order


def with_sep(at: Bench, weights: torch.Tensor, values: torch.Tensor, take: torch.Tensor | float = 0.0) -> list[float]:
    """Give SEP in layer 0 other attention weights or value vectors: the share of lists of two different digits
    whose answers stay, and the share that get the answers of the reversed list."""
    z = (weights[..., None] * values).sum(1) - take

    def hook(given: torch.Tensor, hook: Any) -> torch.Tensor:
        given = given.clone()
        given[:, 2, 0] = z
        return given

    said, own = answers(at, ("blocks.0.attn.hook_z", hook)), answers(at)
    return [both(said[OFF], own[OFF]), both(said[OFF], own[REVERSED][OFF])]


@cache
def sep_reads(at: Bench) -> tuple[torch.Tensor, ...]:
    """Attention of SEP to d1, d2 and itself, and the values there; and both when each digit is given what it has
    on the reversed list."""
    weights, values = pattern(at, 0)[:, 2, :3], run(at)[1]["blocks.0.attn.hook_v"][:, :3, 0]
    swap = torch.tensor([1, 0, 2])
    return weights, values, weights[REVERSED][:, swap], values[REVERSED][:, swap]


@fact("each digit gets the attention it has in the reversed list: answers unchanged, answers reversed",
      uses=["place_vs_digit"], on=bottleneck)  # fmt: skip
def swap_magnitudes(at):
    _, values, other, _ = sep_reads(at)
    return with_sep(at, other, values)


@fact("each digit gets the value vector it has in the reversed list: answers unchanged, answers reversed",
      uses=["place_vs_digit"], on=bottleneck)  # fmt: skip
def swap_places(at):
    weights, _, _, other = sep_reads(at)
    return with_sep(at, weights, other)


@fact("answers reversed by the other list's attention, and answers unchanged by the other place's values",
      bounds=(0, 0.05), uses=["place_vs_digit"], on=bottleneck)  # fmt: skip
def swaps_that_fail(at):
    return [swap_magnitudes.compute(at)[1], swap_places.compute(at)[0]]


@fact("answers reversed by the value vectors of the other place", bounds=(0.75, 1), uses=["place_vs_digit"],
      on=bottleneck)  # fmt: skip
def swap_that_works(at):
    return swap_places.compute(at)[1]


@fact("both exchanged: answers unchanged, answers reversed", uses=["place_vs_digit"], on=bottleneck)
def swap_both(at):
    _, _, weights, values = sep_reads(at)
    return with_sep(at, weights, values)


@fact("the two attention weights of one row exchanged: answers unchanged, answers reversed", uses=["place_vs_digit"],
      on=bottleneck)  # fmt: skip
def swap_weights(at):
    weights, values, _, _ = sep_reads(at)
    return with_sep(at, weights[:, [1, 0, 2]], values)


def direction(at: Bench, times: float) -> list[float]:
    """Take away `times` the term (a1 - a2) / 2 * delta, delta the mean difference of a digit's two value vectors."""
    weights, values, _, _ = sep_reads(at)
    digits = at.model.blocks[0].ln1(at.model.W_E[:10] + at.model.W_pos[:2, None])
    first, second = digits @ at.model.W_V[0, 0]
    delta = (first - second).mean(0)
    return with_sep(at, weights, values, times * (weights[:, :1] - weights[:, 1:2]) / 2 * delta)


@fact("the one shared positional direction flipped: answers unchanged, answers reversed", uses=["place_vs_digit"],
      on=bottleneck)  # fmt: skip
def direction_flipped(at):
    return direction(at, 2)


@fact("the one shared positional direction deleted: answers unchanged, answers reversed", uses=["place_vs_digit"],
      on=bottleneck)  # fmt: skip
def direction_deleted(at):
    return direction(at, 1)


@fact("cosine between a digit's value vector at place 1 and at place 2, each without the mean over digits",
      bounds=(0.9, 1), uses=["strength_table"], on=bottleneck)  # fmt: skip
def value_cosine(at):
    values = at.model.blocks[0].ln1(at.model.W_E[:10] + at.model.W_pos[:2, None]) @ at.model.W_V[0, 0]
    first, second = values - values.mean(1, keepdim=True)
    return torch.nn.functional.cosine_similarity(first, second, dim=-1).mean().item()


def with_mean_row(at: Bench, layer: int, query: int) -> list[float]:
    def change(pattern: torch.Tensor) -> None:
        pattern[:, query] = pattern[:, query].mean(0)

    return right(answers(at, rows(layer, change)))


@fact("right at o1 and o2 when SEP looks by its mean row in layer 0", bounds=(0.2, 0.9), uses=["mean_std_pattern"],
      on=bottleneck)  # fmt: skip
def mean_sep_row(at):
    return with_mean_row(at, 0, 2)


@fact("right at o1 and o2 when o2 looks by its mean row in layer 1", uses=["gate_from_reversed"], on=bottleneck)
def mean_o2_row(at):
    return with_mean_row(at, 1, 4)


@fact("right at o1 and o2 when o1 looks by its mean row in layer 1", uses=["gate_from_reversed"], on=bottleneck)
def mean_o1_row(at):
    return with_mean_row(at, 1, 3)


def gate(at: Bench) -> torch.Tensor:
    """The attention of o2 to SEP in layer 1, by list."""
    return pattern(at, 1)[:, 4, 2]


@fact("mean difference between o2's attention to SEP on a list and on its reverse", bounds=(0.15, 1),
      uses=["gate_from_reversed"], on=bottleneck)  # fmt: skip
def gate_change(at):
    return (gate(at) - gate(at)[REVERSED])[OFF].abs().mean().item()


@fact("correlation of o2's attention to SEP with D, SEP's attention to d1 minus to d2", bounds=(-1, -0.5),
      uses=["gate_from_reversed"], on=bottleneck)  # fmt: skip
def gate_correlation(at):
    row = pattern(at, 0)[:, 2]
    return torch.corrcoef(torch.stack([gate(at), row[:, 0] - row[:, 1]])[:, OFF])[0, 1].item()


@fact("share of lists on which o2 says d1 when it looks as it does on the reversed list", bounds=(0.35, 1),
      uses=["gate_from_reversed"], on=bottleneck)  # fmt: skip
def gate_reversed(at):
    return ablation.gate_from_reversed(at.model, LISTS, MASK)


@fact("share of lists on which o2 is still right then", bounds=(0, 0), uses=["gate_from_reversed"], on=bottleneck)
def gate_reversed_right(at):
    other = pattern(at, 1)[REVERSED]

    def change(pattern: torch.Tensor) -> None:
        pattern[:, 4] = other[:, 4]

    return (answers(at, rows(1, change))[:, 1] == SECOND)[OFF].double().mean().item()


@fact("the same with the row of o1 reversed: o1 still right, o1 says d2", uses=["gate_from_reversed"], on=bottleneck)
def gate_reversed_o1(at):
    other = pattern(at, 1)[REVERSED]

    def change(pattern: torch.Tensor) -> None:
        pattern[:, 3] = other[:, 3]

    said = answers(at, rows(1, change))[:, 0][OFF]
    return [(said == digits[OFF]).double().mean().item() for digits in (FIRST, SECOND)]


@fact("right at o1 and o2 without layer 1, o1 -> SEP; then without o2 -> SEP; then without o2 -> o1",
      uses=["patch_sep"], on=bottleneck)  # fmt: skip
def cut_gates(at):
    return [*cut(at, 1, 3, 2), *cut(at, 1, 4, 2), *cut(at, 1, 4, 3)]


# -- the explanation


@fact("share of lists on which the reference prediction from weights agrees with the model", bounds=(0.9, 1),
      uses=["predict_from_weights"])  # fmt: skip
def explained_share(at):
    return both(explain.predict_from_weights(at.model, LISTS), answers(at))


@torch.no_grad()
def formula(
    model: Any, lists: torch.Tensor, one_strength: bool = False, equal: bool = False, one_vector: bool = False,
    order: bool = True,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    """A bottleneck model's forward pass by hand, exact unless something is simplified: the answers' logits, SEP's
    attention in layer 0, and o2's attention to SEP in layer 1.

    Args:
        one_strength: a digit has one strength, the mean over its two places.
        equal: all digits have the same strength.
        one_vector: a digit has one vector, plus or minus half a direction that all digits share.
        order: whether that direction is kept.
    """

    def value(layer: int, x: torch.Tensor) -> torch.Tensor:
        return (x @ model.W_V[layer, 0] + model.b_V[layer, 0]) @ model.W_O[layer, 0]

    def score(layer: int, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        query = query @ model.W_Q[layer, 0] + model.b_Q[layer, 0]
        keys = keys @ model.W_K[layer, 0] + model.b_K[layer, 0]
        return (keys @ query[..., None])[..., 0] / model.cfg.d_head**0.5

    a, b = lists.unbind(1)
    digits = model.blocks[0].ln1(model.W_E[:10] + model.W_pos[:2, None])
    rest = model.W_E[10] + model.W_pos[2:]
    keys = model.blocks[0].ln1(rest)
    strengths, itself = score(0, keys[0], digits), score(0, keys[0], keys[:1])
    if one_strength:
        strengths = strengths.mean(0).expand(2, 10)
    if equal:
        strengths = strengths.mean().expand(2, 10)
    vectors = value(0, digits)
    if one_vector:
        half = order * (vectors[0] - vectors[1]).mean(0) / 2
        vectors = torch.stack([vectors.mean(0) + half, vectors.mean(0) - half])
    weights = torch.stack([strengths[0, a], strengths[1, b], itself.expand(len(a))], dim=1).softmax(1)
    fixed = value(0, keys)
    sep = weights[:, :1] * vectors[0, a] + weights[:, 1:2] * vectors[1, b] + weights[:, 2:] * fixed[0]
    o1 = score(0, keys[1], keys[:2]).softmax(0) @ fixed[:2]
    o2 = score(0, keys[2], keys).softmax(0) @ fixed
    stream = torch.stack([sep, o1.expand_as(sep), o2.expand_as(sep)], dim=1) + rest + model.b_O[0]
    keys, logits, gates = model.blocks[1].ln1(stream), [], []
    for i in (1, 2):
        row = score(1, keys[:, i], keys[:, : i + 1]).softmax(1)
        moved = (row[..., None] * value(1, keys[:, : i + 1])).sum(1) + model.b_O[1]
        logits.append(model.ln_final(stream[:, i] + moved) @ model.W_U)
        gates.append(row[:, 0])
    return torch.stack(logits, dim=1), weights, gates[1]


def agreement(at: Bench, **simpler: bool) -> float:
    return both(formula(at.model, LISTS, **simpler)[0].argmax(-1), answers(at))


@fact("the whole formula by hand: largest difference of a logit, to a thousandth", bounds=(0, 0.001),
      uses=["predict_from_weights"], on=bottleneck)  # fmt: skip
def formula_error(at):
    return round((formula(at.model, LISTS)[0] - run(at)[0][:, 3:]).abs().max().item(), 3)


@fact("agreement of the whole formula", bounds=(1, 1), uses=["predict_from_weights"], on=bottleneck)
def formula_whole(at):
    return agreement(at)


@fact("agreement with one strength per digit, all else exact", bounds=(0.9, 1), uses=["predict_from_weights"],
      on=bottleneck)  # fmt: skip
def formula_one_strength(at):
    return agreement(at, one_strength=True)


@fact("agreement with one strength and one vector per digit, and one direction for the order",
      uses=["predict_from_weights"], on=bottleneck)  # fmt: skip
def formula_one_direction(at):
    return agreement(at, one_strength=True, one_vector=True)


@fact("the same without the direction", bounds=(0, 0.5), uses=["predict_from_weights"], on=bottleneck)
def formula_no_direction(at):
    return agreement(at, one_strength=True, one_vector=True, order=False)


@fact("agreement with equal strengths and one vector per digit and one direction", bounds=(0, 0.4),
      uses=["predict_from_weights"], on=bottleneck)  # fmt: skip
def formula_equal(at):
    return agreement(at, equal=True, one_vector=True)


@fact("agreement of 'the digit with the larger weight comes first', over all lists", bounds=(0.4, 0.65),
      uses=["predict_from_weights"], on=bottleneck)  # fmt: skip
def larger_first(at):
    row = pattern(at, 0)[:, 2]
    return both(torch.where((row[:, 0] >= row[:, 1])[:, None], LISTS, LISTS.flip(1)), answers(at))


@fact("the same over the 90 lists of two digits", bounds=(0.4, 0.65), uses=["predict_from_weights"], on=bottleneck)
def larger_first_of_two(at):
    row = pattern(at, 0)[:, 2]
    said = torch.where((row[:, 0] >= row[:, 1])[:, None], LISTS, LISTS.flip(1))
    return both(said[OFF], answers(at)[OFF])


@fact("agreement of a program: the strong and the weak digit, ordered by one threshold on o2's gate (fitted)",
      bounds=(0.8, 1), uses=["predict_from_weights"], on=bottleneck)  # fmt: skip
def program(at):
    _, weights, o2_gate = formula(at.model, LISTS, one_strength=True)
    first_is_strong = weights[:, 0] >= weights[:, 1]
    strong, weak = (torch.where(first_is_strong == x, FIRST, SECOND) for x in (True, False))
    said = (torch.stack([strong, weak], dim=1), torch.stack([weak, strong], dim=1))
    flags = [o2_gate >= threshold for threshold in o2_gate]
    return max(both(torch.where(f[:, None], a, b), answers(at)) for f in flags for a, b in (said, said[::-1]))
