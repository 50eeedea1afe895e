"""list_compression: the figures, each drawn from the result of one exercise."""

import math
from functools import cache
from typing import Any

import torch
from torch.nn.functional import one_hot

from kata.checking import MODEL, Bench, call, figure
from kata.plots import bars, dots, join, lines, note, panels
from solutions.list_compression import dataset

LISTS = torch.cartesian_prod(torch.arange(10), torch.arange(10))
FIRST, SECOND = LISTS.T
REVERSED = (10 * SECOND + FIRST).long()
OFF = FIRST != SECOND
MASK = dataset.block_mask(5)
PLACES = ["d1", "d2", "SEP", "o1", "o2"]
BOTH = ("teacher_shown", "bottleneck_shown")
DIGITS = list(range(10))


def teacher(at: Bench) -> bool:
    return at.variant == "teacher"


@cache
def tokens(at: Bench) -> torch.Tensor:
    return dataset.make_tokens(LISTS, teacher(at))


@cache
@torch.no_grad()
def cached(at: Bench) -> Any:
    return at.model.run_with_cache(tokens(at), attention_mask=MASK)[1]


def rows_of_answers(at: Bench) -> tuple[int, int]:
    """The positions whose logits say o1 and o2."""
    return (2, 3) if teacher(at) else (3, 4)


# -- dataset.py


@figure(
    "loss_by_position",
    "Where the loss is paid",
    "Nearly all of it at the first position, where the model has seen one digit and is asked for the other: nobody "
    "can do better than ln 10 there. The mean over positions hides how good the rest is.",
    calls=lambda at: [call(model=MODEL, tokens=tokens(at), mask=MASK)],
)
def paid_where(at, calls, values):
    made = bars({"loss": values[0]}, ["d1, asked for d2", "d2, for SEP", "SEP, for o1", "o1, for o2"], x="position",
                y="nats")  # fmt: skip
    return made.add_hline(y=math.log(10), line={"dash": "dot", "color": "#7d8590"}, annotation_text="ln 10")


# -- circuits.py


@figure(
    "mean_std_pattern",
    "Where each position looks, and how much that depends on the list",
    "The teacher model moves d2 to SEP in one layer and each digit to its answer in the next, and looks the same way "
    "at every list. In the bottleneck model SEP's look at the digits, and the answers' look at SEP, depend on the "
    "digits.",
    calls=lambda at: [call(model=MODEL, tokens=tokens(at), mask=MASK, layer=layer) for layer in (0, 1)],
    on=BOTH,
)
def looks(at, calls, values):
    parts = {f"layer {i}, {what}": v[j] for j, what in enumerate(("mean", "spread")) for i, v in enumerate(values)}
    return panels(parts, rows="query", columns="key", row_labels=PLACES, column_labels=PLACES, unit="attention",
                  bound=1.0, height=360)  # fmt: skip


@figure(
    "strength_table",
    "How strongly SEP is drawn to a digit, by place",
    "On the dotted line a digit draws SEP alike from both places. The bottleneck model's digits stand on it: each has "
    "a strength of its own. The teacher model's stand far above: what counts is the second place.",
    on=BOTH,
)
def strengths(at, call, value):
    table = value[0]
    made = dots({"digits": (table[0], table[1])}, x="score from the first place", y="score from the second place",
                labels={"digits": [str(d) for d in DIGITS]}, diagonal=True, size=10)  # fmt: skip
    return made


@figure(
    "copy_table",
    "Two hops, one copy",
    "No single head copies, but the product of two does: the largest entry of every row stands on the diagonal, for "
    "the first digit and for the second, over two different roads.",
    calls=lambda at: [call(model=MODEL, which=which) for which in ("d1", "d2")],
    on=BOTH[:1],
)
def two_hops(at, calls, values):
    parts = {c.args["which"]: v for c, v in zip(calls, values, strict=True)}
    labels = [*map(str, DIGITS), "SEP"]
    return panels(parts, rows="digit", columns="logit of", column_labels=labels, unit="logits", height=420)


@figure(
    "place_vs_digit",
    "Does attention belong to the digit or to the place?",
    "Each dot is a list: D is SEP's attention to its first digit minus that to its second, and upwards stands D of "
    "the reversed list. On the falling line the weight goes with the digit. Only one of the two models is on it.",
    calls=lambda at: [call(model=MODEL, mask=MASK)],
    on=BOTH,
)
def turned_lists(at, calls, values):
    row = cached(at)["blocks.0.attn.hook_pattern"][:, 0, 2]
    d = row[:, 0] - row[:, 1]
    made = dots({"lists": (d[OFF], d[REVERSED][OFF])}, x="D of the list", y="D of the reversed list")
    made.add_shape(type="line", x0=-1, y0=1, x1=1, y1=-1, line={"color": "#7d8590", "dash": "dot"})
    for axis in (made.update_xaxes, made.update_yaxes):
        axis(range=[-1.05, 1.05])
    share, agreement = values[0]["digit_bound"], values[0]["correlation"]
    return note(made, f"bound to the digit: {share:.1%}, correlation {agreement:.3f}")


@figure(
    "place_vs_digit",
    "Give SEP what it has on the reversed list",
    "The order of the list is not in how much SEP takes of each digit: give it the other list's attention, and the "
    "answers never turn round. It is in what it takes: give it the other place's values, and they do.",
    calls=lambda at: [call(model=MODEL, mask=MASK)],
    on=BOTH[1:],
)
def swaps(at, calls, values):
    names = {"attention": "swap_magnitudes", "values": "swap_places", "both": "swap_both"}
    groups = {"unchanged": [], "turned round": []}  # type: ignore[var-annotated]
    for fact in names.values():
        for group, share in zip(groups.values(), at.fact(fact), strict=True):
            group.append(share)
    made = bars(groups, list(names), x="taken from the reversed list", y="part of the lists' answers", percent=True)
    return made.update_yaxes(range=[0, 1.12])


# -- attribution.py


@figure(
    "dla_components",
    "Who says the digit?",
    "For both answers it is layer 1 that lifts the right digit above the mean digit. In the teacher model nothing "
    "else takes part. In the bottleneck model the parts are large, and some of them speak against the answer.",
    calls=lambda at: [call(model=MODEL, tokens=tokens(at), mask=MASK)],
    on=BOTH,
)
def speakers(at, calls, values):
    groups = {}
    for name, row, digits in zip(("o1", "o2"), rows_of_answers(at), (FIRST, SECOND), strict=True):
        logits = values[0][:, :, row, :10]
        groups[name] = (logits[:, torch.arange(100), digits] - logits.mean(-1)).mean(1)
    return bars(groups, ["embedding", "layer 0", "layer 1", "last bias"], x="part", y="right digit minus mean digit")


@figure(
    "dla_attn1_by_source",
    "From which position does layer 1 fetch the answer?",
    "In the teacher model each answer comes from one place: the first straight from d1, the second from SEP. In the "
    "bottleneck model o1 reads SEP, and o2 is lifted most by itself, by a vector that holds no digit. How can that "
    "help?",
    calls=lambda at: [call(model=MODEL, tokens=tokens(at), mask=MASK, query=q) for q in rows_of_answers(at)],
    on=BOTH,
)
def fetched_from(at, calls, values):
    groups = {}
    for name, logits, digits in zip(("o1", "o2"), values, (FIRST, SECOND), strict=True):
        right = logits[torch.arange(100), :, digits] - logits[:, :, :10].mean(-1)
        groups[name] = right.mean(0)
    return bars(groups, PLACES, x="read from", y="right digit minus mean digit")


def _labels() -> dict[str, torch.Tensor]:
    first, second = one_hot(FIRST, 10).float(), one_hot(SECOND, 10).float()
    both = torch.cat([first, second], dim=1)
    return {"d1": first, "d2": second, "both": both, "sum": LISTS.sum(1, keepdim=True).float()}


def sep_after(at: Bench, layer: int) -> torch.Tensor:
    return cached(at)[f"blocks.{layer}.hook_resid_post"][:, 2]


@figure(
    "variance_explained",
    "What SEP holds",
    "The teacher's SEP holds one digit at a time: d2 after layer 0, d1 after layer 1. The bottleneck's holds both at "
    "once. The sum of the digits, by which such pictures were coloured, explains next to nothing in either.",
    calls=lambda at: [call(x=sep_after(at, i), labels=x, n_pcs=3) for i in (0, 1) for x in _labels().values()],
    on=BOTH,
)
def held(at, calls, values):
    names = list(_labels())
    groups = {f"after layer {i}": values[i * len(names) : (i + 1) * len(names)] for i in (0, 1)}
    made = bars(groups, names, x="labels", y="R² on three components", percent=True)
    return made.update_yaxes(range=[0, 1.12])


@figure(
    "variance_explained",
    "The hundred lists in SEP, by their digits",
    "Each list stands where SEP puts it after layer 0, in its first two components, and is written as one of its "
    "digits. Where equal digits stand together, that digit is there. Which panel is sorted, in which model?",
    calls=lambda at: [call(x=sep_after(at, 0), labels=x, n_pcs=3) for x in list(_labels().values())[:2]],
    on=BOTH,
)
def map_of_lists(at, calls, values):
    x = calls[0].args["x"]
    centred = x - x.mean(0)
    places = centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T
    drawn = {}
    for name, digits, share in zip(("d1", "d2"), (FIRST, SECOND), values, strict=True):
        texts = {"lists": [str(d) for d in digits.tolist()]}
        one = dots({"lists": (places[:, 0], places[:, 1])}, x="component 1", y="component 2", labels=texts)
        shade = {"size": 13, "color": digits.tolist(), "colorscale": "Turbo", "opacity": 0.55, "symbol": "circle"}
        one.update_traces(marker=shade, textposition="middle center", textfont_size=10)
        drawn[f"written as {name}: R² {share:.2f}"] = one
    return join(drawn, height=480)


# -- ablation.py


@figure(
    "ablate_attention",
    "How much of a pattern is needed?",
    "Take attention away and the model is lost. Spread it evenly and it is lost as well. But one and the same mean "
    "pattern for every list costs nothing: where this model looks does not depend on the digits.",
    calls=lambda at: [
        call(model=MODEL, tokens=tokens(at), mask=MASK, layer=layer, kind=kind)
        for kind in ("mean_pattern", "uniform", "zero")
        for layer in (0, 1)
    ],
    on=BOTH[:1],
)
def pattern_needed(at, calls, values):
    kinds = ["as it is", "mean pattern", "uniform", "zero"]
    groups = {f"layer {i}": [values[i]["before"], *(v["after"] for v in values[i::2])] for i in (0, 1)}
    made = bars(groups, kinds, x="attention of one layer", y="loss in nats, all lists")
    floor = math.log(10) / 4
    return made.add_hline(y=floor, line={"dash": "dot", "color": "#7d8590"}, annotation_text="lowest possible")


@figure(
    "patch_sep",
    "Put another list's vector into SEP",
    "After layer 0 the teacher's SEP carries the second digit only: o2 follows the donor and o1 does not. After layer "
    "1 it is the other way round. In the bottleneck model both answers follow SEP after layer 0, and none after layer "
    "1.",
    calls=lambda at: [
        call(model=MODEL, lists=LISTS, donor=(LISTS + torch.tensor([3, 7])) % 10, mask=MASK, layer=layer)
        for layer in (0, 1)
    ],
    on=BOTH,
)
def transplanted(at, calls, values):
    labels = [f"{o} after layer {i}" for i in (0, 1) for o in ("o1", "o2")]
    groups = {f"the {who}'s digit": [v[f"{o}_{who}"] for v in values for o in ("o1", "o2")]
              for who in ("recipient", "donor")}  # fmt: skip
    made = bars(groups, labels, x="answer, and where SEP was replaced", y="part of the lists", percent=True)
    return made.update_yaxes(range=[0, 1.12])


@figure(
    "gate_from_reversed",
    "The gate of the second answer",
    "Each list and its reverse are joined by a line. How much o2 reads of SEP depends on whether the digit with the "
    "larger weight came first. Give o2 the other end of its line, and it never says its own digit again: often it "
    "says the other one.",
    calls=lambda at: [call(model=MODEL, lists=LISTS, mask=MASK)],
    on=BOTH[1:],
)
def gate(at, calls, values):
    row, reads = cached(at)["blocks.0.attn.hook_pattern"][:, 0, 2], cached(at)["blocks.1.attn.hook_pattern"][:, 0, 4, 2]
    d = row[:, 0] - row[:, 1]
    stronger = OFF & (d > 0)
    groups = {"stronger digit first": stronger, "stronger digit second": OFF & ~stronger}
    made = dots({k: (d[w], reads[w]) for k, w in groups.items()}, x="SEP's attention to d1 minus to d2",
                y="o2's attention to SEP", size=8)  # fmt: skip
    ends = [i for i in range(100) if stronger[i]]
    xs = [v for i in ends for v in (float(d[i]), float(d[REVERSED[i]]), None)]
    ys = [v for i in ends for v in (float(reads[i]), float(reads[REVERSED[i]]), None)]
    made.add_scatter(x=xs, y=ys, mode="lines", line={"width": 0.6, "color": "#7d8590"}, name="a list and its reverse")
    return note(made, f"o2 says d1 with the reversed row: {values[0]:.0%}")


@figure(
    "gate_from_reversed",
    "Open the gate little by little",
    "From its own attention (left) to that of the reversed list (right, with the share that your function gives) o2 "
    "loses its own digit and turns to the other one. Nothing else in the model was touched.",
    calls=lambda at: [call(model=MODEL, lists=LISTS, mask=MASK)],
    on=BOTH[1:],
)
def opened_gate(at, calls, values):
    mixes = [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0]
    said = torch.stack([_mixed(at, t) for t in mixes])[:, OFF]
    curves = {name: (said == digits[OFF]).double().mean(1) for name, digits in (("d2", SECOND), ("d1", FIRST))}
    made = lines({f"o2 says {k}": v for k, v in curves.items()}, mixes, x="part of the reversed list's attention",
                 y="part of the lists", markers=True)  # fmt: skip
    made.add_scatter(x=[1.0], y=[float(values[0])], mode="markers", name="gate_from_reversed",
                     marker={"symbol": "star", "size": 14, "color": "#d14d8b"})  # fmt: skip
    return made


@torch.no_grad()
def _mixed(at: Bench, share: float) -> torch.Tensor:
    """What o2 says when a share of its layer-1 attention is that of the reversed list."""

    def mix(pattern: torch.Tensor, hook: Any) -> torch.Tensor:
        pattern = pattern.clone()
        pattern[:, :, 4] = (1 - share) * pattern[:, :, 4] + share * pattern[REVERSED][:, :, 4]
        return pattern

    hooks = [("blocks.1.attn.hook_pattern", mix)]
    return at.model.run_with_hooks(tokens(at), fwd_hooks=hooks, attention_mask=MASK)[:, 4].argmax(-1)


# -- explain.py


@figure(
    "predict_from_weights",
    "Where the prediction and the model part",
    "Each cell is a list, first digit down, second across; marked are those on which the prediction misses one or "
    "both of the model's answers. Do the misses gather around some digits?",
    calls=lambda at: [call(model=MODEL, lists=LISTS)],
    on=BOTH,
)
def misses(at, calls, values):
    rows = rows_of_answers(at)
    with torch.no_grad():
        said = at.model(tokens(at), attention_mask=MASK)[:, list(rows)].argmax(-1)
    wrong = (values[0].long() != said).sum(1).view(10, 10)
    made = panels({f"{int((wrong > 0).sum())} of 100 lists": wrong}, rows="first digit", columns="second digit",
                  unit="answers missed", bound=2.0, height=460)  # fmt: skip
    return made
