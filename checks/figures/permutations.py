"""permutations: the figures, each drawn from the result of one exercise."""

from functools import cache

import torch

from checks.test_permutations import first_term, letter_rows, n_of, pair, tokens
from kata.checking import MODEL, Bench, call, figure
from kata.plots import bars, dots, heat, lines, note, panels
from solutions.permutations import circuits, dataset

HEAD = "blocks.0.attn.hook_pattern"
N4, N5 = ("n4_shown",), ("n5_shown",)


@cache
@torch.no_grad()
def pattern(at: Bench) -> torch.Tensor:
    """The head's pattern, mean over a few sequences."""
    sequences = tokens(at, 4, "figures")
    return at.model.run_with_cache(sequences, names_filter=HEAD)[1][HEAD][:, 0].mean(0)


@cache
def table(at: Bench) -> torch.Tensor:
    return dataset.lookup_table(n_of(at))


@cache
def rows_by_kind(at: Bench) -> dict[str, torch.Tensor]:
    """Rows by what comes next: a letter, a space (both from the second term on), the full stop."""
    n, codes = n_of(at), table(at)
    after = torch.cat([codes[1:], torch.tensor([-1])])
    late = torch.arange(len(codes)) > n + 1
    return {"letter": (after < n) & (after >= 0) & late, "space": (after == n) & late, "full stop": after == n + 2}


# -- dataset.py


@figure(
    "lookup_table",
    "Gibberish, or another list?",
    "The model of five characters, asked for the list of `ghg4`. It says the wrong thing nearly everywhere. But blue "
    "is what the table of five characters allows at that position: it goes on with the list that it knows.",
    calls=lambda at: [call(n=5), call(n=4)],
    on=N5,
)
def gibberish(at, calls, values):
    prompt = dataset.build_batch(dataset.to_tokens("ghg4")[None])
    with torch.no_grad():
        said = at.model(prompt)[0].argmax(-1)
    text = prompt[0]
    colours, share = torch.full((24, 5), 0.0), []
    for codes in values:
        codes = codes[: len(text)]
        hits = [bool(said[p] in text[: p + 1][codes[: p + 1] == codes[p + 1]]) for p in range(5, len(text) - 1)]
        share.append(sum(hits) / len(hits))
        if len(share) == 1:
            for p, hit in zip(range(5, len(text) - 1), hits, strict=True):
                colours.view(-1)[p - 1] = 1.0 if hit else -1.0
    name = f"allowed by the table of five: {share[0]:.0%}, by that of four: {share[1]:.0%}"
    made = panels({name: colours}, rows="term", columns="place in the term", row_labels=range(1, 25), height=680)
    shown = [dataset.VOCABULARY[t].replace(" ", "␣") for t in said[1:121].tolist()]
    shown = [c if v else "" for c, v in zip(shown, colours.flatten(), strict=True)]
    grid = [shown[i : i + 5] for i in range(0, 120, 5)]
    made.update_traces(text=grid, texttemplate="%{text}", selector={"type": "heatmap"}, hoverinfo="skip")
    return made.update_layout(coloraxis={"showscale": False, "cmin": -2.2, "cmax": 2.2})


# -- circuits.py


@figure(
    "admissible_sources",
    "Where it could look, and where it looks",
    "Left every place from which the next token could be copied, whatever the characters are; right the head's "
    "pattern. All of its attention falls on allowed cells. But it uses only a few of them: most columns stay empty.",
    calls=lambda at: [call(n=4)],
    on=N4,
)
def allowed(at, calls, values):
    parts = {"allowed": values[0], "the head": pattern(at)}
    return panels(parts, rows="destination", columns="source", bound=1.0, unit="attention", height=560)


@figure(
    "positional_pattern",
    "A head that sees no tokens",
    "The pattern from position embeddings alone is nearly the real one. So the head holds a look-up table of "
    "positions, and the tokens are only what it carries.",
    on=N4,
)
def blind(at, call, value):
    parts = {"positions alone": value, "the head": pattern(at)}
    return panels(parts, rows="destination", columns="source", bound=1.0, unit="attention", height=560)


@figure(
    "ov_circuit",
    "What looking at a token does to every logit",
    "One strong diagonal: each character raises itself and next to nothing else. A head of an attention-only model "
    "does have an OV circuit, and this one copies.",
    on=N4,
)
def copier(at, call, value):
    labels = list(dataset.VOCABULARY.replace(" ", "␣"))
    return heat(value, rows="source token", columns="logit", row_labels=labels, column_labels=labels, height=640,
                unit="before scales")  # fmt: skip


@figure(
    "copying_score",
    "Its eigenvalues",
    "All 62 of them lie on the positive real axis, or beside it: whatever mix of characters goes in, the same mix "
    "comes out stronger. The copying score says the same in one number.",
    calls=lambda at: [call(matrix=circuits.ov_circuit(at.model))],
    on=N4,
)
def eigenvalues(at, calls, values):
    found = torch.linalg.eigvals(calls[0].args["matrix"][3:, 3:])
    made = dots({"eigenvalues": (found.real, found.imag)}, x="real part", y="imaginary part")
    top = float(found.abs().max()) * 1.1
    made.update_xaxes(range=[-top, top]).update_yaxes(range=[-top, top])
    return note(made, f"copying score {values[0]:.4f}")


# -- attribution.py


@figure(
    "attention_on_admissible",
    "How much attention lies on allowed sources?",
    "Nearly all of it before a letter, and a little less before a space: any space would do, and so would the opening "
    "mark. The few rows at the top left are early ones, which have little choice.",
    calls=lambda at: [call(model=MODEL, tokens=tokens(at, 4, "figures"), n=4)],
    on=N4,
)
def mass(at, calls, values):
    groups = {k: (w.nonzero().flatten(), values[0][w]) for k, w in rows_by_kind(at).items() if k != "full stop"}
    named = {f"before a {k}": v for k, v in groups.items()}
    return dots(named, x="row", y="attention on allowed sources").update_yaxes(range=[-0.03, 1.05])


@figure(
    "logit_attribution",
    "Which path says what",
    "Letters come by attention. Spaces get a little from the position as well. The full stop, which never occurred "
    "before and so cannot be copied, is said by its position.",
    calls=lambda at: [call(model=MODEL, tokens=tokens(at, 4, "figures"))],
    on=N4,
)
def paths(at, calls, values):
    kinds = rows_by_kind(at)
    groups = {name: [part[:, w].mean() for w in kinds.values()] for name, part in values[0].items()}
    return bars(groups, list(kinds), x="what comes next", y="logit of the right token", stacked=True)


@figure(
    "source_attribution",
    "Which source makes the logit",
    "The same columns as in the pattern. What is attended to is what counts: on the rows before a letter attention "
    "and contribution are nearly proportional.",
    calls=lambda at: [call(model=MODEL, tokens=tokens(at, 1, "figures"))],
    on=N4,
)
def sources(at, calls, values):
    return heat(values[0][0], rows="destination", columns="source", unit="logits", height=600)


# -- ablation.py


@figure(
    "ablate_head",
    "Take the head away",
    "Without the head no letter is right. Spaces and the full stop survive if its mean is put in: they hang on the "
    "position, so any sequence's head output says them. Zero is not the same as nothing to say.",
    calls=lambda at: [
        call(model=MODEL, tokens=pair(at, 4)[0], mode=mode, reference=tokens(at, 12, "reference"))
        for mode in ("zero", "mean")
    ],
    on=N4,
)
def headless(at, calls, values):
    own = pair(at, 4)[0]
    with torch.no_grad():
        runs = {"the model": at.model(own), "head at zero": values[0], "head at its mean": values[1]}
    groups = {name: [_right(v, own, w) for w in rows_by_kind(at).values()] for name, v in runs.items()}
    made = bars(groups, list(rows_by_kind(at)), x="what comes next", y="part of the rows", percent=True)
    return made.update_yaxes(range=[0, 1.12])


def _right(logits: torch.Tensor, sequences: torch.Tensor, rows: torch.Tensor) -> float:
    hits = logits[:, :-1].argmax(-1) == sequences[:, 1:]
    return hits[:, rows[:-1]].double().mean().item()


@figure(
    "restrict_sources",
    "Which sources does it need?",
    "Only allowed sources: nothing is lost. All but the allowed ones: everything is. The first term can go at a small "
    "price, and the first term alone is enough: there is more than one place to copy from.",
    calls=lambda at: [call(model=MODEL, tokens=tokens(at, 4, "figures"), allowed=a) for a in _masks(at).values()],
    on=N4,
)
def narrowed(at, calls, values):
    rows = torch.cat([letter_rows(4)[:-1], torch.tensor([False])])
    shares = [_right(v, tokens(at, 4, "figures"), rows) for v in values]
    made = bars({"letters": shares}, list(_masks(at)), x="sources that are left", y="part of the letters", percent=True)
    return made.update_yaxes(range=[0, 1.12])


@cache
def _masks(at: Bench) -> dict[str, torch.Tensor]:
    good, place = circuits.admissible_sources(4), torch.arange(122)
    first = (place >= 2) & (place < 6)
    return {"allowed": good, "not allowed": ~good, "all but the first term": ~first.expand(122, -1),
            "first term only": first.expand(122, -1), "none, so all": torch.zeros_like(good)}  # fmt: skip


@figure(
    "transplant",
    "Put in a part of another sequence",
    "The queries, the keys, even the whole pattern of another sequence change nothing: where to look is the same for "
    "all. Its values change everything: every letter is now the donor's.",
    calls=lambda at: [
        call(model=MODEL, tokens=pair(at, 4)[0], donor=pair(at, 4)[1], part=p) for p in ("q", "k", "pattern", "v")
    ],
    on=N4,
)
def donors(at, calls, values):
    own, other = pair(at, 4)
    rows = torch.cat([letter_rows(4)[:-1], torch.tensor([False])])
    groups = {name: [_right(v, s, rows) for v in values] for name, s in (("its own", own), ("the donor's", other))}
    names = ["queries", "keys", "pattern", "values"]
    made = bars(groups, names, x="taken from the donor", y="part of the letters", percent=True)
    return made.update_yaxes(range=[0, 1.12])


# -- explain.py


@figure(
    "key_strength",
    "How strong each position is, by the index that it holds",
    "Of the hundred and more positions that hold an index a handful stand out; they are named. Which ones win is a "
    "lottery of the initialisation. A position that is early and strong is copied from in every later row.",
    calls=lambda at: [call(model=MODEL, tokens=tokens(at, 1, "figures"), n=5)],
    on=N5,
)
def winners(at, calls, values):
    strength, codes = values[0], table(at)
    groups, labels = {}, {}
    for index in range(5):
        places = (codes == index).nonzero().flatten()
        best = strength[places].nan_to_num(-1e9).topk(3).indices.tolist()
        groups[f"index {index}"] = (places, strength[places])
        labels[f"index {index}"] = [str(int(p)) if i in best else "" for i, p in enumerate(places)]
    return dots(groups, labels=labels, x="position", y="strength as a key, nats", size=5).update_layout(height=520)


@figure(
    "key_strength",
    "The pattern, from one number per position",
    "Rows sorted by the index they want. Left what the strengths alone foretell, right the head. A column is used "
    "from the moment that it exists until a stronger one with the same index appears.",
    calls=lambda at: [call(model=MODEL, tokens=tokens(at, 4, "figures"), n=4)],
    on=N4,
)
def sorted_rows(at, calls, values):
    wanted = torch.cat([table(at)[1:], torch.tensor([-1])])
    rows = (letter_rows(4)).nonzero().flatten()
    order = rows[wanted[rows].sort(stable=True).indices]
    mask = circuits.admissible_sources(4)
    foretold = values[0].expand(122, -1).masked_fill(~mask, -torch.inf).softmax(-1)[order]
    labels = [f"{int(wanted[r])} at {int(r)}" for r in order]
    parts = {"strengths alone": foretold, "the head": pattern(at)[order]}
    return panels(parts, rows="index wanted, at row", columns="source", row_labels=labels, bound=1.0, unit="attention",
                  height=560)  # fmt: skip


@figure(
    "alphabet_preference",
    "A leak: the order of the alphabet",
    "Rows that want the first index like keys from the beginning of the vocabulary, rows that want the last one from "
    "its end. In training the first terms were sorted, so that guess was free. Unsorted lists show that it is a flaw.",
    calls=lambda at: [call(model=MODEL, tokens=tokens(at, 1, "figures"), n=5)],
    on=N5,
)
def alphabet(at, calls, values):
    curves = {f"index {i}": row for i, row in enumerate(values[0])}
    made = lines(curves, x="letter of the key", y="preference, nats", ordered=True)
    return made.update_xaxes(tickmode="array", tickvals=list(range(62)), ticktext=list(dataset.VOCABULARY[3:]))


@figure(
    "predict_copy",
    "Which source is copied? Programs against the model",
    "On lists whose letters are drawn anew at every place it matters from which source the head copies. To copy from "
    "the first term is right on every clean list, and seldom here. To weigh the sources as the head does is right.",
    calls=lambda at: [call(model=MODEL, tokens=_scrambled(at), n=4)],
    on=N4,
)
def programs(at, calls, values):
    sequences, rows = _scrambled(at), letter_rows(4, first=2)
    with torch.no_grad():
        answers = at.model(sequences).argmax(-1)
    even = circuits.admissible_sources(4).float() @ torch.nn.functional.one_hot(sequences, 65).float()
    said = {
        "this program": values[0],
        "from the first term": first_term(sequences, 4),
        "all sources alike": even.argmax(-1),
    }
    shares = [(v == answers)[:, rows].double().mean().item() for v in said.values()]
    made = bars({"agreement": shares}, list(said), x="program", y="part of the rows", percent=True)
    return made.update_yaxes(range=[0, 1.12])


@cache
def _scrambled(at: Bench) -> torch.Tensor:
    plain = tokens(at, 8, "figures")
    drawn = torch.randint(3, 65, plain.shape, generator=at.generator("scrambled for figures"))
    return torch.where(plain >= 3, drawn, plain)
