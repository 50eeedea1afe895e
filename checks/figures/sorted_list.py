"""sorted_list: the figures, each drawn from the result of one exercise."""

from functools import cache

import torch

from checks.test_sorted_list import reduced_tables
from kata.checking import MODEL, Bench, call, figure
from kata.plots import bars, heat, join, lines, panels
from solutions.sorted_list import ablation, attribution, circuits, dataset

TERMS = ("tok_tok", "pos_tok", "tok_pos", "pos_pos")
TOKENS = [*map(str, range(50)), "BOS", "MID"]
STEPS = list(range(10))


@cache
def distinct(at: Bench, number: int = 192) -> torch.Tensor:
    """Sequences whose lists hold no number twice."""
    order = torch.rand(number, 50, generator=at.generator("distinct lists")).argsort(dim=1)
    return dataset.make_sorting_tokens(order[:, :10])


@cache
def uniform(at: Bench, number: int = 160) -> torch.Tensor:
    return dataset.make_sorting_tokens(torch.randint(0, 50, (number, 10), generator=at.generator("figure lists")))


def accuracy(logits: torch.Tensor, tokens: torch.Tensor) -> float:
    return (logits[:, 11:21].argmax(-1) == tokens[:, 12:22]).double().mean().item()


# -- dataset.py


@figure(
    "sorting_metrics",
    "How often is each step right?",
    "Nearly always: mind that the axis does not start at zero. But a list counts only if all ten steps are right, and "
    "a few in a thousand at each step are a few in a hundred of the lists.",
    calls=lambda at: [call(logits=_logits(at), tokens=uniform(at, 1024))],
)
def accuracy_by_step(at, calls, values):
    steps = values[0]["step_accuracy"]
    made = bars({"right": steps}, STEPS, x="step", y="part of the lists")
    return made.update_yaxes(range=[min(0.98, float(steps.min()) - 0.005), 1.002], tickformat=".1%")


@cache
def _logits(at: Bench) -> torch.Tensor:
    with torch.no_grad():
        return at.model(uniform(at, 1024))


# -- circuits.py


@figure(
    "ov_tables",
    "What each source adds to each output",
    "A strong diagonal, so the head copies? It is there, but thin: most of the table is a smooth hill that moves with "
    "the source. The two rows at the bottom, BOS and MID, have hills of their own.",
)
def ov_table(at, call, value):
    return heat(value[0], rows="source token", columns="output number", row_labels=TOKENS, unit="logits", height=620)


@figure(
    "ov_tables",
    "Three rows of that table",
    "Source 25 is a broad curve with one spike at 25. Outputs 24 and 26 stand only a little below it. BOS and MID "
    "push in opposite directions: they hold no number, and yet they move the answer.",
)
def ov_rows(at, call, value):
    table = value[0]
    rows = {"source 25": table[25], "BOS": table[50], "MID": table[51]}
    return lines(rows, x="output number", y="logits at full attention")


@figure(
    "qk_tables",
    "What each step wants: pos_tok",
    "Step by step the wish moves from small numbers to large ones. The last step stands apart: mind its scale. It "
    "wants the maximum, and nothing else comes near.",
)
def wishes(at, call, value):
    rows = value["pos_tok"][11:21, :50]
    early = lines({f"step {i}": rows[i] for i in range(9)}, x="source number", y="score", ordered=True)
    last = lines({"step 9": rows[9]}, x="source number", y="score").update_layout(showlegend=True)
    return join({"steps 0 to 8": early, "step 9, the last": last})


@figure(
    "qk_tables",
    "What each number wants next: tok_tok",
    "Circles mark the favourite of each row. They lie above the diagonal everywhere: a number wants a larger one. On "
    "the dotted line it wants its successor; between about 10 and 22 the favourite is much larger than that.",
)
def successors(at, call, value):
    table = value["tok_tok"][:50, :50]
    favourite = table.nan_to_num(-1e9).argmax(dim=1).tolist()
    made = heat(
        table,
        rows="destination number",
        columns="source number",
        unit="score",
        marks=list(enumerate(favourite)),
        mark_name="favourite",
        height=600,
    )
    made.add_shape(type="line", x0=1, y0=0, x1=49, y1=48, line={"dash": "dot", "width": 1, "color": "#7d8590"})
    return made


@figure(
    "score_terms",
    "Where a step looks: a soft step, not a spike",
    "Row i is step i, on lists without repeats; column r is the number of rank r. Little attention goes to numbers "
    "that are already written, most to the next one, and much to those after it. Is that 'attend to the answer'?",
    calls=lambda at: [call(model=MODEL, tokens=distinct(at))],
)
def soft_step(at, calls, values):
    tokens = calls[0].args["tokens"]
    future = torch.ones(22, 22, dtype=torch.bool).triu(1)
    pattern = values[0].sum(0).masked_fill(future, -torch.inf).softmax(-1)[:, 11:21]
    ranks = tokens[:, 1:11].argsort(dim=1)
    inside = pattern[:, :, 1:11].gather(2, ranks[:, None].expand(-1, 10, -1))
    table = torch.cat([inside, pattern[:, :, :1], pattern[:, :, 11:12]], dim=-1).mean(0)
    labels = [*map(str, STEPS), "BOS", "MID"]
    return heat(table, rows="step", columns="rank of the source", column_labels=labels, unit="attention")


# -- attribution.py


@figure(
    "source_attribution",
    "Who votes for the right answer?",
    "The copies of the answer carry most of its logit at the ends, and little in the middle: there other numbers and "
    "MID vote for it. BOS votes against the small answers, MID against the large ones. The direct path does next to "
    "nothing.",
    calls=lambda at: [call(model=MODEL, tokens=uniform(at))],
)
def votes(at, calls, values):
    tokens, (sources, direct) = calls[0].args["tokens"], values[0]
    answer = tokens[:, None, 1:11] == tokens[:, 12:22, None]
    listed = sources[:, :, 1:11]
    groups = {
        "copies of the answer": (listed * answer).sum(-1).mean(0),
        "other numbers of the list": (listed * ~answer).sum(-1).mean(0),
        "BOS": sources[:, :, 0].mean(0),
        "MID": sources[:, :, 11].mean(0),
        "the sorted half": sources[:, :, 12:].sum(-1).mean(0),
        "direct path": direct.mean(0),
    }
    return bars(groups, STEPS, x="step", y="logits for the answer (centred)", stacked=True)


@figure(
    "split_ov",
    "Two scales in one table",
    "Left the table, in the middle its smooth part, right the bump that stands on the diagonal. The smooth part spans "
    "more than thirty times as much, and looks the same to the eye. The model needs both.",
)
def two_scales(at, call, value):
    smooth, bump = value
    parts = {"number rows of the OV table": call.args["ov_numbers"], "smooth part": smooth, "bump": torch.diag(bump)}
    return panels(parts, rows="source number", columns="output number", unit="logits", shared=False, height=440)


@figure(
    "split_ov",
    "How high is the bump of each number?",
    "Every number has one, and none is much higher than the rest. A bump of this size decides between neighbours, and "
    "between neighbours only: against the hill it is nothing. (At 0 and 49 the estimate is poor: one side only.)",
)
def bumps(at, call, value):
    return bars({"bump": value[1]}, range(50), x="number", y="logits above the smooth part")


# -- ablation.py


@figure(
    "logits_with_terms",
    "Only some of the four terms",
    "Each bar keeps the named terms and sets the others to zero. Every term that goes costs answers. Before you say "
    "that each of them sorts: what else does a score do than choose inside the list?",
    calls=lambda at: [call(model=MODEL, tokens=uniform(at), keep=keep) for keep in _kept()],
)
def kept_terms(at, calls, values):
    right = [accuracy(v, c.args["tokens"]) for c, v in zip(calls, values, strict=True)]
    names = ["all four", *(f"no {t}" for t in TERMS), *(f"{t} only" for t in TERMS[:2])]
    return bars({"right": right}, names, x="terms", y="part of the answers", percent=True).update_yaxes(range=[0, 1.1])


def _kept() -> list[list[str]]:
    return [list(TERMS), *([t for t in TERMS if t != gone] for gone in TERMS), ["tok_tok"], ["pos_tok"]]


@figure(
    "block_sources",
    "Which sources can be hidden?",
    "What stands after MID can go without a trace. BOS and MID hold no number, and without them the model gets half "
    "of its answers wrong: attention on them balances the hill.",
    calls=lambda at: [call(model=MODEL, tokens=uniform(at), sources=s) for s in _hidden().values()],
)
def hidden_sources(at, calls, values):
    right = [accuracy(v, c.args["tokens"]) for c, v in zip(calls, values, strict=True)]
    made = bars({"right": right}, list(_hidden()), x="hidden from the steps", y="part of the answers", percent=True)
    return made.update_yaxes(range=[0, 1.1])


def _hidden() -> dict[str, list[int]]:
    late = list(range(12, 22))
    return {"nothing": [], "after MID": late, "BOS": [0], "MID": [11], "BOS and MID": [0, 11], "list": [*range(1, 11)]}


@figure(
    "remove_term_keep_mass",
    "Take a term away, with and without moving attention off the list",
    "Set to zero, every term seems to matter. With the list's share of attention held fixed, tok_pos and pos_pos cost "
    "nothing: they only set the balance between list, BOS and MID. Order inside the list is tok_tok and pos_tok.",
    calls=lambda at: [call(model=MODEL, tokens=uniform(at), term=term) for term in TERMS],
)
def two_ways_to_remove(at, calls, values):
    tokens = uniform(at)
    plain = [ablation.logits_with_terms(at.model, tokens, [t for t in TERMS if t != gone]) for gone in TERMS]
    groups = {
        "set to zero": [accuracy(v, tokens) for v in plain],
        "share of the list kept": [accuracy(v, tokens) for v in values],
    }
    made = bars(groups, TERMS, x="term that is taken away", y="part of the answers", percent=True)
    return made.update_yaxes(range=[0, 1.1])


@figure(
    "shift_query_position",
    "Tell a step that it is another one",
    "Only the query's position is changed. One step back, and the model often writes the previous answer again; one "
    "step on, and it often skips one. The position counts, not only the number that came last.",
    calls=lambda at: [call(model=MODEL, tokens=distinct(at), shift=shift) for shift in (-1, 0, 1)],
)
def pretended_steps(at, calls, values):
    tokens = calls[0].args["tokens"]
    answer, rows = tokens[:, 12:22], slice(2, 9)
    groups: dict[str, list[float]] = {"the previous answer": [], "its own answer": [], "the next answer": []}
    for value in values:
        said = value[:, 11:21].argmax(-1)[:, rows]
        for name, shift in zip(groups, (-1, 0, 1), strict=True):
            groups[name].append((said == answer.roll(-shift, dims=1)[:, rows]).double().mean().item())
    made = bars(groups, ["one step back", "as it is", "one step on"], x="where the query claims to stand", percent=True)
    return made.update_yaxes(range=[0, 1.15], title_text="part of the answers")


# -- explain.py


@figure(
    "failing_list",
    "A list that breaks it, at the step where it breaks",
    "The marks at the bottom are the list. The curve is what the model says at its first wrong step, in logits below "
    "the best; the dashed one leaves the bumps out. Between two clusters the hill peaks in the gap, where no number "
    "is.",
    calls=lambda at: [call(model=MODEL, kind="gap2")],
)
def broken_list(at, calls, values):
    found = values[0].long().clamp(0, 49).sort().values
    tokens = dataset.make_sorting_tokens(found[None])
    with torch.no_grad():
        logits, cache = at.model.run_with_cache(tokens)
    said = logits[0, 11:21].argmax(-1)
    wrong = (said != found).nonzero().flatten().tolist()
    step = wrong[0] if wrong else 0
    numbers = circuits.ov_tables(at.model)[0][:50]
    smooth, _ = attribution.split_ov(numbers)
    change = torch.zeros(52, 50)
    change[:50] = smooth - numbers
    without = logits + cache["pattern", 0][:, 0] @ change[tokens]
    rows = [v[0, 11 + step] - v[0, 11 + step].max() for v in (logits, without)]
    made = lines({"the model": rows[0], "without bumps": rows[1]}, x="number", y="logits below the best")
    made.add_scatter(x=found.tolist(), y=[-58] * 10, mode="markers", name="the list", marker_color="#7d8590",
                     marker_symbol="line-ns-open", marker_size=14)  # fmt: skip
    right, model = int(found[step]), int(said[step])
    for value, text, place in ((right, "true answer", right > model), (model, "the model", model >= right)):
        made.add_vline(x=value, line={"dash": "dot", "color": "#7d8590"}, annotation_text=f"{text}: {value}",
                       annotation_position="top right" if place else "top left")  # fmt: skip
    made.update_yaxes(range=[-62, 4]).update_xaxes(range=[-0.5, 50])
    return made.update_layout(title_text=f"Step {step} on {found.tolist()}" if wrong else "The model sorts this list")


@cache
def _mixed(at: Bench, number: int = 600) -> torch.Tensor:
    """Sequences from windows of several widths: from all alike to all different."""
    made = at.generator("mixed lists")
    width = torch.tensor([3, 6, 12, 25, 50]).repeat(number // 5)
    low = (torch.rand(number, generator=made) * (51 - width)).long()
    lists = low[:, None] + (torch.rand(number, 10, generator=made) * width[:, None]).long()
    return dataset.make_sorting_tokens(lists)


def _steps(at: Bench):
    tokens = _mixed(at)
    counts = torch.nn.functional.one_hot(tokens[:, 12:], 50).sum(1)
    tables = reduced_tables(at.model)
    return [call(tables=tables, counts=counts, previous=tokens[:, 11 + i], step=i) for i in STEPS]


@figure(
    "explain_step",
    "Lists that are sorted wrongly, and your forecast of them",
    "The fewer different numbers a list holds, the more often the model fails. A program that sorts forecasts no "
    "failure at all. One that mixes table rows as the head does follows the model down.",
    calls=_steps,
)
def failures(at, calls, values):
    tokens = _mixed(at)
    truth = tokens[:, 12:]
    with torch.no_grad():
        fails = (at.model(tokens)[:, 11:21].argmax(-1) != truth).any(1)
    foretold = (torch.stack([v.long() for v in values], dim=1) != truth).any(1)
    kinds = (truth.diff(dim=1) != 0).sum(1) + 1
    groups: dict[str, list[float]] = {"the model fails": [], "the explanation says so": []}
    shown = [n for n in range(1, 11) if (kinds == n).any()]
    for n in shown:
        for name, which in zip(groups, (fails, foretold), strict=True):
            groups[name].append(which[kinds == n].double().mean().item())
    made = bars(groups, shown, x="different numbers in the list", y="part of the lists", percent=True)
    return made.update_yaxes(range=[0, 1.12])
