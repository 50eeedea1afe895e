"""first_unique_char: the figures, each drawn from the result of one exercise."""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F

from checks.test_first_unique_char import scales, tokens
from kata.checking import MODEL, Bench, call, figure
from kata.plots import bars, heat, join, lines, note, panels
from solutions.first_unique_char import dataset

LETTERS = list("abcdefghij")
EARLY = ["H0.0", "H0.1", "H0.2"]
LATE = ["H1.0", "H1.1", "H1.2"]
MAIN = ("shown", "sibling")
ALL = (*MAIN, "contrast_b", "contrast_c")
EXAMPLE = "?cbcadjbahgfigjdehei"


@cache
def sample(at: Bench, number: int = 300) -> torch.Tensor:
    return tokens(at, number, "figures")


@cache
def answers(at: Bench, number: int = 300) -> torch.Tensor:
    return dataset.first_unique_labels(sample(at, number))


@cache
@torch.no_grad()
def cached(at: Bench) -> tuple[torch.Tensor, Any]:
    return at.model.run_with_cache(sample(at))


# -- dataset.py


@figure(
    "first_unique_labels",
    "How often is each position right? And if the first letter may not see itself?",
    "Nearly always. But forbid the heads of layer 0 to look from position 1 at position 1, one cell of the pattern, "
    "and the first letter is not said any more, and later positions suffer with it. Being first is marked there.",
    calls=lambda at: [call(tokens=sample(at))],
)
def first_position(at, calls, values):
    def block(pattern: torch.Tensor, hook: Any) -> torch.Tensor:
        pattern = pattern.clone()
        pattern[:, :, 1, 1], pattern[:, :, 1, 0] = 0, 1
        return pattern

    with torch.no_grad():
        blocked = at.model.run_with_hooks(sample(at), fwd_hooks=[("blocks.0.attn.hook_pattern", block)])
    runs = {"the model": cached(at)[0], "position 1 may not see itself": blocked}
    curves = {name: (v.argmax(-1) == values[0]).double().mean(0) for name, v in runs.items()}
    return lines(curves, x="position", y="part of the answers", markers=True).update_yaxes(range=[-0.03, 1.05])


@figure(
    "occurrence_info",
    "The earlier a letter came, the higher its logit",
    "Each point is the mean logit, at the last position, of letters that are unique there, by where they stand; the "
    "bars are one standard deviation. A falling line is all that says which of two unique letters came first.",
    calls=lambda at: [call(tokens=sample(at))],
    on=MAIN,
)
def falling_line(at, calls, values):
    count, first = (v[:, -1] for v in values[0])
    logits = cached(at)[0][:, -1, :10]
    means, spreads = [], []
    for place in range(1, 20):
        found = logits[(count == 1) & (first == place)]
        means.append(found.mean() if len(found) else torch.tensor(float("nan")))
        spreads.append(found.std() if len(found) > 1 else torch.tensor(0.0))
    made = lines({"unique letters": torch.stack(means)}, list(range(1, 20)), x="position where the letter stands",
                 y="its logit at position 19", markers=True)  # fmt: skip
    made.data[0].error_y = {"array": torch.stack(spreads).tolist(), "thickness": 1, "color": "#7d8590"}
    return made


@figure(
    "occurrence_info",
    "Neighbours are the hard case",
    "How often the model names the first of two unique letters at the last position, by how far apart the two stand. "
    "Next to one another their logits differ least.",
    calls=lambda at: [call(tokens=tokens(at, 1500, "gaps"))],
    on=MAIN,
)
def by_gap(at, calls, values):
    count, first = (v[:, -1] for v in values[0])
    places = torch.where(count == 1, first, 99).sort(dim=1)
    gap = places.values[:, 1] - places.values[:, 0]
    with torch.no_grad():
        right = at.model(calls[0].args["tokens"])[:, -1].argmax(-1) == places.indices[:, 0]
    shares = [right[gap == g].double().mean() if (gap == g).any() else 0.0 for g in range(1, 8)]
    made = bars({"right": shares}, range(1, 8), x="distance of the first two unique letters", y="part of the answers")
    return made.update_yaxes(range=[0.8, 1.01], tickformat=".0%")


# -- circuits.py


@figure(
    "ln0_scale_table",
    "What the LayerNorms divide by",
    "The first scale is a table that you can read from the weights. The second and the last depend on the sequence, "
    "and change along it by a factor of two and more. Can each be treated as one number?",
    on=MAIN,
)
def scale_by_position(at, call, value):
    kept = cached(at)[1]
    curves = {"first (from your table)": value[:10].mean(0)}
    for name, hook in (("second", "blocks.1.ln1.hook_scale"), ("final", "ln_final.hook_scale")):
        curves[name] = kept[hook][..., 0].mean(0)
    made = lines(curves, x="position", y="scale, mean over letters", markers=True)
    for trace, spread in zip(
        made.data,
        [value[:10].std(0), *(kept[h][..., 0].std(0) for h in ("blocks.1.ln1.hook_scale", "ln_final.hook_scale"))],
        strict=False,
    ):
        trace.error_y = {"array": spread.tolist(), "thickness": 1}
    return made


@figure(
    "freeze_layernorm",
    "Freeze the LayerNorms",
    "Agreement with the model when a LayerNorm divides by its mean. The final one may be a constant: it divides all "
    "answers alike. To freeze the first one, the usual simplification, ruins the account.",
    calls=lambda at: [call(model=MODEL, tokens=sample(at), which=w) for w in _frozen().values()],
    on=MAIN,
)
def frozen(at, calls, values):
    own = cached(at)[0].argmax(-1)
    shares = [(v.argmax(-1) == own)[:, 1:].double().mean().item() for v in values]
    made = bars({"agreement": shares}, list(_frozen()), x="frozen", y="part of the answers", percent=True)
    return made.update_yaxes(range=[0, 1.12])


def _frozen() -> dict[str, list[str]]:
    every = ["first", "second", "final"]
    return {"none": [], **{name: [name] for name in every}, "all three": every}


@figure(
    "token_qk",
    "Whom would each letter choose?",
    "Rows ask, columns are looked at; each row adds up to 1. A strong diagonal makes a duplicate detector, an empty "
    "one its opposite. In the sibling look at g and i: they look at each other.",
    calls=lambda at: [call(model=MODEL, head=h, ln_scale=scales(at)[0]) for h in range(3)],
    on=MAIN,
)
def choices(at, calls, values):
    parts = {name: v.softmax(-1) for name, v in zip(EARLY, values, strict=True)}
    return panels(parts, rows="letter that asks", columns="letter looked at", row_labels=LETTERS, column_labels=LETTERS,
                  unit="share", bound=1.0, height=380)  # fmt: skip


@figure(
    "virtual_ov",
    "What a head of layer 1 does to the letter it reads",
    "One panel for each head of layer 1; rows are the ways by which the letter came there. The way through the "
    "duplicate detector lowers the letter, the ways through the other heads raise it. Each head cares for letters of "
    "its own.",
    calls=lambda at: [call(model=MODEL, scales=scales(at))],
    on=MAIN,
)
def own_letters(at, calls, values):
    diagonal = values[0].diagonal(dim1=-2, dim2=-1)[..., :10]
    parts = dict(zip(LATE, diagonal, strict=True))
    return panels(parts, rows="way", columns="letter", row_labels=["itself", *EARLY], column_labels=LETTERS,
                  unit="logits", height=340)  # fmt: skip


# -- attribution.py


@figure(
    "component_logits",
    "Who speaks for the answer, and who against the rest?",
    "Logit of the right answer minus the mean of the other letters, by component, at the last position. Layer 1 does "
    "the work; the embeddings and the biases take hardly any part.",
    calls=lambda at: [call(model=MODEL, tokens=sample(at))],
    on=MAIN,
)
def speakers(at, calls, values):
    right = answers(at)[:, -1]
    logits = values[0][:, :, -1]
    chosen = logits.gather(-1, right.expand(len(logits), -1)[..., None])[..., 0]
    lead = (chosen - (logits.sum(-1) - chosen) / 10).mean(1)
    return bars({"lead": lead}, ["token", "position", *EARLY, *LATE, "biases"], y="lead of the answer, logits")


@figure(
    "duplicate_attribution",
    "Who pushes a repeated letter down?",
    "For nearly every letter one head does it alone, and the heads share out the alphabet. Which head gets which "
    "letter differs from model to model. In the last one, of another family, one head has nearly all of them.",
    calls=lambda at: [call(model=MODEL, tokens=sample(at))],
    on=(*MAIN, "contrast_c"),
)
def pushed_down(at, calls, values):
    groups = dict(zip(LATE, values[0], strict=True))
    return bars(groups, LETTERS, x="repeated letter", y="logits for it")


@figure(
    "value_path_logits",
    "What has layer 1 read, and what does it make of it?",
    "What came through the duplicate detector lowers repeated letters and raises the unique ones. What came through "
    "the others raises repeated letters most of all: it says 'was here', and not 'is unique'.",
    calls=lambda at: [call(model=MODEL, tokens=sample(at)[:100])],
    on=MAIN,
)
def read_and_made(at, calls, values):
    count = F.one_hot(calls[0].args["tokens"], 11)[..., :10].cumsum(1)[:, 1:]
    logits = values[0][:, :, 1:, :10]
    groups = {name: [v[w].mean() for v in logits] for name, w in
              (("repeated", count > 1), ("unique", count == 1), ("absent", count == 0))}  # fmt: skip
    return bars(groups, ["token", "position", *EARLY, "bias of layer 0"], x="read by layer 1", y="logits for letters")


# -- ablation.py


@figure(
    "ablate_heads",
    "What each head is worth, by position",
    "Loss that is added where one head says its mean. At every position another head may be the one that is missed; "
    "the duplicate detector is missed more and more, for the longer the sequence the more letters have a twin.",
    calls=lambda at: [call(model=MODEL, tokens=sample(at), labels=answers(at), kind="mean")],
    on=MAIN,
)
def missed(at, calls, values):
    halves = {}
    for layer, names in enumerate((EARLY, LATE)):
        curves = dict(zip(names, values[0][layer], strict=True))
        halves[f"layer {layer}"] = lines(curves, x="position", y="added loss, nats")
    return join(halves)


@figure(
    "ablate_qkv",
    "Queries, keys or values?",
    "Layer 1 hardly misses its queries: its heads look for the same thing from everywhere. Its keys and values "
    "matter. In the duplicate detector of layer 0 all three do.",
    calls=lambda at: [call(model=MODEL, tokens=sample(at), labels=answers(at), kind="mean")],
    on=MAIN,
)
def asked_or_told(at, calls, values):
    groups = dict(zip(("queries", "keys", "values"), values[0].flatten(1), strict=True))
    return bars(groups, [*EARLY, *LATE], x="head", y="added loss, nats")


WAYS = ["emb", "pos", *EARLY]


@figure(
    "ablate_composition",
    "Which way between the layers carries what?",
    "Loss that is added when one way is cut, all others left. Layer 0 reaches layer 1 through the keys (where to "
    "look) and the values (what to write); its queries could do without.",
    calls=lambda at: [
        call(model=MODEL, tokens=sample(at)[:120], labels=answers(at)[:120], into=into, components=cut)
        for into in "qkv"
        for cut in [[], *([w] for w in WAYS), EARLY]
    ],
    on=MAIN,
)
def cut_ways(at, calls, values):
    losses = torch.tensor([v[0] for v in values], dtype=torch.float64).view(3, 7)
    return heat(losses[:, 1:] - losses[:, :1], rows="into layer 1's", columns="cut", unit="added loss, nats",
                row_labels=["queries", "keys", "values"], column_labels=[*WAYS, "all heads"], height=320)  # fmt: skip


# -- explain.py


@figure(
    "find_adversarial",
    "Sequences that break it",
    "A cell shows what the model says at a position; orange is wrong. Breaking sequences are full of repeats, and "
    "their mistakes come in runs: a wrong letter that once wins goes on winning.",
    calls=lambda at: [call(model=MODEL, tokens=sample(at)[:100])],
)
def broken(at, calls, values):
    found = values[0][:8].long().clamp(0, 10)
    with torch.no_grad():
        said = at.model(found).argmax(-1)
    wrong = said != dataset.first_unique_labels(found)
    made = heat(torch.where(wrong, -1.0, 0.25), rows="sequence", columns="position", bound=2.0,
                row_labels=[dataset.to_text(row) for row in found], height=120 + 42 * len(found))  # fmt: skip
    text = [[dataset.ALPHABET[t] for t in row] for row in said.tolist()]
    made.update_traces(text=text, texttemplate="%{text}", hoverinfo="skip", selector={"type": "heatmap"})
    return made.update_layout(coloraxis_showscale=False)


@figure(
    "family",
    "Three algorithms for one task",
    "What it costs to cut layer 0 off from layer 1's keys, values and queries, and from the logits directly. The same "
    "data and architecture: in one family layer 0 says where to look, in one it answers itself, in one neither.",
    calls=lambda at: [call(model=MODEL, tokens=sample(at)[:150])],
    on=ALL,
)
def families(at, calls, values):
    cuts = at.fact("cut_all")
    made = bars({"added loss": cuts}, ["keys", "values", "queries", "logits directly"], x="cut", y="added loss, nats")
    return note(made, f"family {values[0]}").update_layout(height=360)


@figure(
    "family",
    "Where layer 1 looks from the last position",
    "One sequence; the circle marks the letter that is the answer. In the published family the heads look at letters "
    "that are repeated, to rule them out. In the other one, H1.1 looks at the answer itself and copies it.",
    calls=lambda at: [call(model=MODEL, tokens=sample(at)[:150])],
    on=("shown", "contrast_c"),
)
def last_look(at, calls, values):
    example = dataset.to_tokens(EXAMPLE)
    with torch.no_grad():
        _, kept = at.model.run_with_cache(example)
    answer = dataset.first_unique_labels(example)[0, -1]
    place = int((example[0] == answer).nonzero()[0])
    made = heat(kept["blocks.1.attn.hook_pattern"][0, :, -1], rows="head", columns="token", row_labels=LATE,
                column_labels=list(EXAMPLE), unit="attention", marks=[(h, place) for h in range(3)],
                mark_name="the answer", height=330)  # fmt: skip
    return made


@figure(
    "explain",
    "How much of the model is your program?",
    "Agreement on sequences in which one letter is far too frequent, and the same where the model is wrong. To solve "
    "the task explains no mistake. To hold every LayerNorm constant, as published accounts do, explains neither well.",
    calls=lambda at: [call(model=MODEL, then=({"tokens": _flooded(at)},))],
    on=MAIN,
)
def marks(at, calls, values):
    flooded = _flooded(at)
    with torch.no_grad():
        said = at.model(flooded).argmax(-1)[:, 1:]
    wrong = said != dataset.first_unique_labels(flooded)[:, 1:]
    same = values[0][0].argmax(-1)[:, 1:] == said
    own = [same.double().mean().item(), same[wrong].double().mean().item()]
    known = {"solves the task": "marks_of_the_task", "constant LayerNorms": "milestone"}
    known["first letter"] = "marks_of_first_letter"
    rivals = {"this program": own, **{name: at.fact(fact)[1:] for name, fact in known.items()}}
    groups = {"all answers": [r[0] for r in rivals.values()], "the model's mistakes": [r[1] for r in rivals.values()]}
    made = bars(groups, list(rivals), x="program", y="agreement with the model", percent=True)
    return made.update_yaxes(range=[0, 1.12])


@cache
def _flooded(at: Bench) -> torch.Tensor:
    made, generator = tokens(at, 300, "under").clone(), at.generator("flood for figures")
    letter = torch.randint(0, 10, (300, 1), generator=generator)
    made[:, 1:] = torch.where(torch.rand(300, 19, generator=generator) < 0.6, letter, made[:, 1:])
    return made
