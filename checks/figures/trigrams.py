"""trigrams: the figures, each drawn from the result of one exercise."""

from functools import cache

import torch

from checks.trigrams_data import natural, planted, table, trigrams
from kata.checking import MODEL, Bench, call, figure
from kata.plots import bars, heat, lines, panels, spread
from solutions.trigrams import ablation, attribution, circuits, dataset
from solutions.trigrams import explain as explaining

PARTS = ("token", "position", "bias")


@cache
def gate(at: Bench) -> torch.Tensor:
    """The attention that each trigram's second token gives to the first."""
    return circuits.previous_token_attention(at.model)[tuple(trigrams(at)[:, :2].T)]


@cache
def modes(at: Bench) -> dict[str, torch.Tensor]:
    """The trigrams that the head reacts to, and the others."""
    return {"detected": trigrams(at)[gate(at) > 0.2], "undetected": trigrams(at)[gate(at) <= 0.2]}


@cache
def sparse(at: Bench) -> torch.Tensor:
    """The MLP units that are on in less than a tenth of the places where nothing is forced."""
    return attribution.neuron_firing(at.model, natural(at, 60, 50, "figure firing"), table(at))[1] < 0.1


@cache
def crowded(at: Bench) -> torch.Tensor:
    """50 tokens: of many natural sequences the one with the most trigrams."""
    tokens = natural(at, 400, 50, "crowded")
    wanted = dataset.required_next_token(tokens, table(at))[:, :-1]
    return tokens[(wanted >= 0).sum(1).argmax()]


def softmaxed(scores: torch.Tensor) -> torch.Tensor:
    future = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)


# -- circuits.py


@figure(
    "score_terms",
    "Fifty tokens, and where each of them looks",
    "Every token looks at itself. The circles mark where a trigram begins, one step to the left: at some of them part "
    "of the attention moves there, at others none does. (The last position was never trained.)",
    calls=lambda at: [call(model=MODEL, tokens=crowded(at))],
)
def pattern_of_fifty(at, calls, values):
    tokens = calls[0].args["tokens"]
    wanted = dataset.required_next_token(tokens[None], table(at))[0, :-1]
    marks = [(p, p - 1) for p in (wanted >= 0).nonzero().flatten().tolist()]
    return heat(softmaxed(values[0].sum((0, 1))), rows="query position", columns="key position", unit="attention",
                marks=marks, mark_name="the token before, where a trigram begins", bound=1.0, height=600)  # fmt: skip


@figure(
    "score_terms",
    "Nine terms of one score",
    "Keys differ most by their position (middle column): later keys win, whoever asks. Keys of the right column are "
    "all alike, so it adds the same to a whole row, and the softmax does not see it. What is left is small: token by "
    "token.",
    calls=lambda at: [call(model=MODEL, tokens=crowded(at)[:24])],
)
def nine_terms(at, calls, values):
    parts = {f"{PARTS[i]} asks, {PARTS[j]} answers": values[0][i, j] for i in range(3) for j in range(3)}
    return panels(parts, rows="query", columns="key", unit="score", across=3, height=300)


@figure(
    "score_terms",
    "What a position is worth as a key",
    "A straight line: each step towards the end makes a key more attractive by the same amount. So the head prefers "
    "its own position, unless the tokens object. The last position is off the line: nothing ever trained it.",
    calls=lambda at: [call(model=MODEL, tokens=crowded(at))],
)
def position_ramp(at, calls, values):
    worth = values[0][:, 1, :-1].sum(0).mean(0)
    return lines({"score of the key's position": worth}, x="key position", y="score, mean over queries", markers=True)


@figure(
    "previous_token_attention",
    "Every pair of tokens, and every trigram",
    "Row a, column b: how much b looks back to a. Orange dots mark the pairs that begin a trigram. Nearly every "
    "strong cell has a dot. But many dots stand on empty cells: how are those trigrams answered?",
)
def gate_table(at, call, value):
    marks = [(a, b) for a, b, _ in trigrams(at).tolist()]
    made = heat(value, rows="first token", columns="second token", unit="attention", bound=1.0, marks=marks,
                mark_name="begins a trigram", height=680)  # fmt: skip
    made.data[-1].marker.update(size=4, color="#d9631e", line={"width": 0})
    return made


@figure(
    "previous_token_attention",
    "How much a trigram is noticed",
    "Two heaps and a gap: a trigram is noticed or it is not. Those that are noticed seldom get all of the attention, "
    "most have between a half and nine tenths. The rest of the pairs lie at 0 and are not drawn.",
)
def two_heaps(at, call, value):
    seen = value[tuple(trigrams(at)[:, :2].T)]
    return spread({"trigrams": seen}, x="attention to the first token", y="trigrams", bins=40, low=0.0, high=1.0)


@figure(
    "recency_penalty",
    "What a step back costs",
    "Never less than nothing: of two equal keys the later one always wins. That is why a trigram (x, x, y) cannot be "
    "noticed, and why a token two steps back is never looked at.",
)
def step_back(at, call, value):
    return spread({"token at a position": value}, x="score lost by one step back", y="tokens at positions", low=0.0)


# -- attribution.py


@figure(
    "logit_parts",
    "Who writes the answer of a trigram?",
    "On trigrams that the head notices the MLP writes almost everything. The head, which knows the pair, writes next "
    "to nothing itself: it detects, and the MLP answers. On the others no part is sure of anything.",
    calls=lambda at: [call(m, model=MODEL, tokens=t[:, :2], targets=t[:, 2]) for m, t in modes(at).items()],
)
def writers(at, calls, values):
    names = ["token", "position", "attention", "MLP", "bias"]
    groups = {c.label: v.mean(1) for c, v in zip(calls, values, strict=True)}
    return bars(groups, names, x="part of the model", y="logits for the answer (centred)")


@figure(
    "neuron_firing",
    "Which units are on, and when",
    "Some units are on nearly always: they make the background. The others sleep, and wake on trigrams: a few of them "
    "at a time, and no single one for a single trigram.",
    calls=lambda at: [call(model=MODEL, tokens=planted(at, 120, 24, "figure"), table=table(at))],
)
def sleepers(at, calls, values):
    order = values[0][1].nan_to_num(0).argsort()
    groups = {"after a trigram's pair": values[0][0][order], "elsewhere": values[0][1][order]}
    return bars(groups, [f"unit {i}" for i in order.tolist()], y="part of the places", percent=True)


@figure(
    "subspace_overlap",
    "Do the head's writing and the MLP's reading overlap by chance?",
    "The first four cosines are 1 for any two spaces of 16 and 20 directions in 32: there is no room to avoid each "
    "other. Below them the model keeps to the upper edge of what random matrices give: beyond chance, but not far.",
    calls=lambda at: [call(w_write=at.model.W_O[0, 0], w_read=at.model.W_in[0])],
)
def angles(at, calls, values):
    chance = _chance(at)
    made = lines({"this model": values[0]}, x="principal angle", y="cosine", markers=True)
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    made.add_scatter(y=chance.amax(0).numpy(), showlegend=False, **edge)
    made.add_scatter(y=chance.amin(0).numpy(), name="50 pairs of random matrices", fill="tonexty",
                     fillcolor="rgba(125,133,144,0.35)", **edge)  # fmt: skip
    return made.update_layout(showlegend=True)


@cache
def _chance(at: Bench) -> torch.Tensor:
    made = at.generator("random matrices")
    shapes = [x.shape for x in (at.model.W_O[0, 0], at.model.W_in[0])]
    return torch.stack(
        [attribution.subspace_overlap(*(torch.randn(s, generator=made) for s in shapes)) for _ in range(50)]
    )


# -- ablation.py


@figure(
    "with_previous_attention",
    "Two ways of knowing, and each breaks alone",
    "Forced to look at itself the model keeps its lookups and loses what it had noticed. Forced to look back it is "
    "the other way round. Even a half-and-half mix costs: the MLP wants the mix that the head really gives.",
    calls=lambda at: [call(model=MODEL, tokens=trigrams(at)[:, :2], p_prev=p) for p in _shares(at).values()],
)
def forced_gaze(at, calls, values):
    found, groups = gate(at) > 0.2, {}
    for name, which in (("detected", found), ("undetected", ~found)):
        groups[name] = [int(((v.argmax(-1) == trigrams(at)[:, 2]) & which).sum()) for v in values]
    made = bars(
        groups, list(_shares(at)), x="where the head is told to look", y="trigrams answered right", stacked=True
    )
    made.add_hline(y=len(found), line={"dash": "dot", "color": "#7d8590"}, annotation_text="all trigrams")
    return made


@cache
def _shares(at: Bench) -> dict[str, torch.Tensor]:
    every = torch.ones_like(gate(at))
    return {
        "as the model does": gate(at),
        "itself only": 0 * every,
        "back only": every,
        "half and half": every / 2,
        "the shares swapped": 1 - gate(at),
    }


@figure(
    "accuracy_without_neurons",
    "Take the sleeping units away",
    "Without the units that sleep elsewhere the lookups live on, and most of what the head had noticed is lost. "
    "Without the busy units it is the lookups that die.",
    calls=lambda at: [
        call(f"{mode}, {what}", model=MODEL, trigrams=chosen, neurons=neurons, fill=None)
        for mode, chosen in modes(at).items()
        for what, neurons in _taken(at).items()
    ],
)
def without_units(at, calls, values):
    number = len(_taken(at))
    groups = {mode: values[i * number : (i + 1) * number] for i, mode in enumerate(modes(at))}
    made = bars(groups, list(_taken(at)), x="units taken away", y="part of these trigrams", percent=True)
    return made.update_yaxes(range=[0, 1.12])


@cache
def _taken(at: Bench) -> dict[str, torch.Tensor]:
    nothing = torch.zeros_like(sparse(at))
    return {"none": nothing, "sleeping units": sparse(at), "busy units": ~sparse(at), "all": ~nothing}


# -- explain.py


@figure(
    "explain",
    "Your explanation, and others, against the model",
    "To look back always explains nothing where no trigram is. To know every trigram is a good guess, and wrong about "
    "this model. What is right says, of each pair, whether the head notices it.",
    calls=lambda at: [
        call(model=MODEL, table=table(at), tokens=natural(at, 60, 50, "explained"), closed=("blocks.0",))
    ],
)
def scores(at, calls, values):
    tokens = calls[0].args["tokens"]
    wanted = dataset.required_next_token(tokens, table(at))
    with torch.no_grad():
        actual = at.model(tokens).softmax(-1)
    rivals = {"this explanation": values[0], **_rivals(at, tokens, wanted)}
    marks = [sum(explaining.explanation_score(v, actual, wanted)) / 3 for v in rivals.values()]
    made = bars({"score": marks}, list(rivals), x="explanation", y="agreement with the model", percent=True)
    return made.update_yaxes(range=[0, 1.12])


def _rivals(at: Bench, tokens: torch.Tensor, wanted: torch.Tensor) -> dict[str, torch.Tensor]:
    size = len(table(at))
    every = torch.cartesian_prod(torch.arange(size), torch.arange(size))
    same = torch.arange(size).repeat(2, 1).T
    made = {}
    for name, share in (("always back (published)", 1.0), ("always itself", 0.0)):
        pairs = every if share else same
        answers = ablation.with_previous_attention(at.model, pairs, torch.full((len(pairs),), share)).softmax(-1)
        answers = answers.view(size, size, -1) if share else answers.expand(size, size, -1)
        said = answers[tokens[:, :-1], tokens[:, 1:]]
        made[name] = torch.cat([said[:, :1], said], dim=1)
    knows = torch.full((*tokens.shape, size), 1 / size)
    knows[wanted >= 0] = torch.eye(size)[wanted[wanted >= 0]]
    return {**made, "knows every trigram": knows}
