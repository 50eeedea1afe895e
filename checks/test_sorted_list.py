"""sorted_list: one check per exercise, read as a list of claims.

Tolerances. Logits reach 2000 and tables 1900, and in float32 a right answer whose products are taken in another order
differs by up to 1.5e-3; the nearest wrong logit in this set (a direct path that was not centred) is 0.5 away. Scores
stay below 15: right answers differ by 3e-6, wrong ones by more than 1.
"""

from functools import cache

import torch
from torch.nn.functional import one_hot

from kata.checking import MODEL, Bench, Call, Judged, Tolerance, call, check, claim, hooked
from solutions.sorted_list import circuits, dataset

LOGITS = Tolerance(atol=2e-2, rtol=1e-5)
SCORES = Tolerance(atol=1e-3, rtol=1e-5)
EXACT = Tolerance(atol=0, rtol=0)

TWO_CLUSTERS = [[0, *range(41, 50)], [0, 1, *range(42, 50)], [0, 1, 2, 3, 4, *range(45, 50)], [0, *range(33, 50, 2)]]


@cache
def lists(at: Bench, number: int = 24, label: str = "lists") -> torch.Tensor:
    """Uniform lists; the last third holds five numbers twice."""
    made = torch.randint(0, 50, (number, 10), generator=at.generator(label))
    pairs = torch.randint(0, 50, (number, 5), generator=at.generator(label + " repeats"))
    made[-(number // 3) :] = torch.cat([pairs.flip(1), pairs], dim=1)[-(number // 3) :]
    return made


@cache
def tokens(at: Bench, number: int = 24, label: str = "lists") -> torch.Tensor:
    return dataset.make_sorting_tokens(lists(at, number, label))


@cache
def run(at: Bench, number: int, label: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and attention scores of some lists, from the model itself."""
    with torch.no_grad():
        logits, kept = at.model.run_with_cache(tokens(at, number, label))
    scores = torch.einsum("bqhd,bkhd->bqk", kept["q", 0], kept["k", 0]) / at.model.cfg.d_head**0.5
    return logits, scores


def close(a: torch.Tensor, b: torch.Tensor, room: float) -> bool:
    return torch.allclose(a.double(), b.double(), rtol=0, atol=room)


# -- dataset.py


@check(
    on="one",
    tolerance=EXACT,
    shown="The model can read your lists now, and gets {token_accuracy:.2%} of its predictions on them right. Ten "
    "predictions make a list: how many whole lists is that?",
    claims=[
        claim("column 0 is BOS (50) and column 11 is MID (51)")(
            lambda at, call, got: (got[:, 0] == 50).all() and (got[:, 11] == 51).all()
        ),
        claim("columns 12 to 21 ascend")(lambda at, call, got: (got[:, 12:].diff(dim=1) >= 0).all()),
        claim("both halves hold the same numbers")(
            lambda at, call, got: torch.equal(got[:, 1:11].sort(dim=1).values, got[:, 12:].sort(dim=1).values)
        ),
    ],
)
def make_sorting_tokens(at):
    yield call("24 random lists, some with repeats", lists=lists(at))
    yield call("one list", lists=torch.tensor([[49, 0, 7, 7, 7, 30, 12, 0, 49, 1]]))


@check(
    tolerance=Tolerance(atol=1e-4, rtol=1e-4),
    shown="{token_accuracy:.2%} of the predictions are right but only {list_accuracy:.1%} of the lists, because a list "
    "counts when all ten of its steps do. The weakest step is number {weakest_step}: what is hard about the middle?",
    claims=[
        claim("token_accuracy is the mean of step_accuracy")(
            lambda at, call, got: abs(got["token_accuracy"] - got["step_accuracy"].mean()) < 1e-4
        ),
        claim("list_accuracy is at most the lowest step_accuracy")(
            lambda at, call, got: got["list_accuracy"] <= got["step_accuracy"].min() + 1e-6
        ),
    ],
)
def sorting_metrics(at):
    yield call("the model's logits", logits=run(at, 32, "metrics")[0], tokens=tokens(at, 32, "metrics"))
    yield call("made-up logits with some steps spoilt", logits=spoilt(at), tokens=tokens(at, 24, "spoilt"))


def spoilt(at: Bench) -> torch.Tensor:
    """Noise that says the right number at most steps: five lists go wrong, each at other steps."""
    right = torch.full((24, 10), 8.0)
    right[0] = right[1:3, 4] = right[3, 9] = right[4, 2:5] = -8.0
    made = torch.randn(24, 22, 50, generator=at.generator("spoilt noise"))
    made[:, 11:21] += right[:, :, None] * one_hot(tokens(at, 24, "spoilt")[:, 12:], 50)
    return made


# -- circuits.py


@check(
    tolerance=LOGITS,
    shown="In {ov_row_top:.0%} of the number rows the largest entry stands at the number itself: attention to a number "
    "speaks for that number. But it leads by {ov_margin_mean:.0f} logits on average, in a table that spans "
    "{ov_range:.0f}. What is all the rest of the table for?",
    claims=[
        claim("the row of every number is largest at the number itself")(
            lambda at, call, got: (got[0][:50].argmax(1) == torch.arange(50)).all()
        ),
        claim("rows 1 to 10 of the position table are nearly equal")(
            lambda at, call, got: got[1][1:11].std(0).mean() < 0.06 * got[1][1:11].mean(0).std()
        ),
    ],
)
def ov_tables(at):
    yield call(model=MODEL)


@check(
    tolerance=SCORES,
    shown="Through pos_tok the early steps ask for small numbers and the late ones for large: its correlation with the "
    "number goes from {pos_tok_correlation[0]:+.2f} at step 0 to {pos_tok_correlation[9]:+.2f} at step 9. The place "
    "alone says roughly where in the order the model is. What is left for tok_tok to do?",
    claims=[
        claim("the rows of pos_tok for steps 0 to 2 fall with the number, those for steps 5 to 9 rise")(
            lambda at, call, got: (_slopes(got)[:3] < -0.5).all() and (_slopes(got)[5:] > 0.5).all()
        ),
    ],
)
def qk_tables(at):
    yield call(model=MODEL)


def _slopes(tables: dict[str, torch.Tensor]) -> torch.Tensor:
    rows = tables["pos_tok"][11:21, :50]
    return torch.stack([torch.corrcoef(torch.stack([row.double(), torch.arange(50.0).double()]))[0, 1] for row in rows])


@check(
    tolerance=Tolerance(atol=1e-4, rtol=0),
    shown="{successor_fraction:.0%} of the numbers score their successor highest, and the favourite of every number is "
    "larger than itself. Is this a successor table, then? One looks {favourite_offset_largest} further: "
    "print the favourite of each number.",
)
def successor_fraction(at):
    yield call("this checkpoint's table", tok_tok=circuits.qk_tables(at.model)["tok_tok"])
    yield call("a made-up table in which BOS and MID score highest", tok_tok=planted(at))


def planted(at: Bench) -> torch.Tensor:
    """Noise in which 17 numbers prefer their successor, 10 themselves and 6 their predecessor."""
    table = torch.randn(52, 52, generator=at.generator("planted"))
    rows = torch.arange(0, 49, 3)
    table[rows, rows + 1] += 12
    table[rows[:10] + 1, rows[:10] + 1] += 12
    table[rows[:6] + 2, rows[:6] + 1] += 12
    table[:, 50:] += 20
    return table


@check(
    tolerance=SCORES,
    shown="Four look-ups add up to every score of the head. Within the list two of them say next to nothing: from one "
    "list position to the next tok_pos and pos_pos vary by {tok_pos_spread:.3f} and {pos_pos_spread:.3f}, where "
    "tok_tok and pos_tok vary by {tok_tok_spread:.1f} and {pos_tok_spread:.1f} from number to number. Can the model do "
    "without those two?",
    claims=[
        claim("the four terms add up to q . k / sqrt(d_head)")(
            lambda at, call, got: close(got.sum(0), run(at, len(call.args["tokens"]), call.label)[1], 1e-2)
        ),
        claim("pos_pos does not depend on the sequence")(lambda at, call, got: torch.equal(got[3, 0], got[3, -1])),
    ],
)
def score_terms(at):
    yield call("lists", model=MODEL, tokens=tokens(at, 6, "lists"))
    yield call("other lists", model=MODEL, tokens=tokens(at, 3, "other lists"))


# -- attribution.py


@check(
    tolerance=LOGITS,
    shown="Among the list positions a copy of the answer gives the answer most in {attribution_top_is_answer:.1%} of "
    "the steps, although it gets most attention in only {attention_top_in_list_is_answer:.1%}. And all its copies "
    "together make {answer_share:.0%} of the logit: does the rest come from noise, or does the model need it?",
    claims=[
        claim("the 22 sources and the direct path add up to the answer's centred logit")(
            lambda at, call, got: close(got[0].sum(-1) + got[1], _answer_logit(at, call.args["tokens"]), 5e-2)
        ),
    ],
)
def source_attribution(at):
    yield call(model=MODEL, tokens=tokens(at))
    two_clusters = dataset.make_sorting_tokens(torch.tensor(TWO_CLUSTERS))
    yield call("lists that the model sorts wrongly", model=MODEL, tokens=two_clusters)


def _answer_logit(at: Bench, sequences: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        steps = at.model(sequences)[:, 11:21]
    steps = steps - steps.mean(-1, keepdim=True)
    return steps.gather(-1, sequences[:, 12:, None])[..., 0]


@check(
    tolerance=LOGITS,
    shown="With the smooth table alone the model lands within one of the answer in {smooth_within_one:.1%} of the "
    "steps, and right on it in {smooth_exact:.0%}. The bump, {bump_mean:.0f} logits on average, picks the number among "
    "its neighbours: two scales in one matrix. How does attention steer the smooth part so near?",
    claims=[
        claim("smooth plus the bump on the diagonal gives the table back")(
            lambda at, call, got: close(got[0] + got[1].diag(), call.args["ov_numbers"], 1e-2)
        ),
    ],
)
def split_ov(at):
    yield call("this checkpoint's table", ov_numbers=circuits.ov_tables(at.model)[0][:50])
    rough = 40 * torch.randn(50, 50, generator=at.generator("rough"))
    yield call("a made-up table", ov_numbers=rough)


# -- ablation.py


@check(
    tolerance=LOGITS,
    shown="Right answers without tok_tok {without_tok_tok:.0%}, without pos_tok {without_pos_tok:.0%}, without tok_pos "
    "{without_tok_pos:.0%}, without pos_pos {without_pos_pos:.0%}. So the model needs all four. Does it need all four "
    "for the same thing?",
    claims=[
        claim("with all four terms kept these are the model's own logits")(
            lambda at, call, got: len(call.args["keep"]) < 4 or close(got, run(at, 8, "lists")[0], 5e-2)
        ),
    ],
)
def logits_with_terms(at):
    for keep in (["tok_tok", "tok_pos", "pos_tok", "pos_pos"], ["pos_tok", "tok_tok"], ["tok_pos"], ["pos_pos"], []):
        yield call(model=MODEL, tokens=tokens(at, 8, "lists"), keep=keep)


AFTER_MID = [12, 13, 14, 15, 16, 17, 18, 19, 20, 21]


@check(
    tolerance=LOGITS,
    shown="With everything after MID hidden by your hook, {block_tail:.1%} of the answers are right: the steps hardly "
    "look there ({attention_mass[3]:.1%} of their attention). They give {attention_mass[0]:.0%} to BOS and "
    "{attention_mass[2]:.0%} to MID, which hold no number. Are those just as idle?",
    claims=[
        claim("in the edited pattern every row that a step uses sums to 1")(
            lambda at, call, got: all(
                close(p[:, :, 11:21].sum(-1), torch.ones(()), 1e-3) for p in got["activation"].values()
            )
        ),
    ],
)
def block_sources_hook(at):
    for sources in ([0], [11], list(range(1, 11)), AFTER_MID):
        yield hooked("blocks.0.attn.hook_pattern", tokens=tokens(at, 6, "lists"), sources=sources)


@check(
    tolerance=LOGITS,
    shown="Right answers with BOS hidden {block_bos:.0%}, with MID hidden {block_mid:.0%}, with both hidden "
    "{block_both:.0%}. Neither holds a number of the list, and without them the model sorts badly. Look at their rows "
    "in the OV table.",
)
def block_sources(at):
    for sources in ([0], [11], AFTER_MID, [3, 4, 5], []):
        yield call(model=MODEL, tokens=tokens(at, 8, "lists"), sources=sources)


@check(
    tolerance=LOGITS,
    shown="With the list's share of attention held fixed, taking out tok_pos or pos_pos moves the accuracy by "
    "{keep_mass_change:.2%}: these two only weigh the list against BOS and MID. The choice within the list is made by "
    "tok_tok ({keep_mass_tok_tok:.0%} right without it) and pos_tok ({keep_mass_pos_tok:.0%}).",
)
def remove_term_keep_mass(at):
    for term in ("tok_tok", "tok_pos", "pos_tok", "pos_pos"):
        yield call(model=MODEL, tokens=tokens(at, 8, "lists"), term=term)


@check(
    tolerance=LOGITS,
    shown="Told that it stands one step earlier, the model says the number before its answer in "
    "{shift_back_follows:.0%} of the cases; one step later, the number after it in {shift_on_follows:.0%}. And after "
    "both copies of a repeated number one step back makes it say a third in {repeat_again:.1%}: it counts copies by "
    "position. Where would you look for its errors?",
    claims=[
        claim("a shift of 0 changes nothing")(
            lambda at, call, got: call.args["shift"] != 0 or close(got, run(at, 8, "lists")[0], 5e-2)
        ),
        claim("positions up to 11 and position 21 keep their logits")(
            lambda at, call, got: (
                close(got[:, :12], run(at, 8, "lists")[0][:, :12], 5e-2)
                and close(got[:, 21], run(at, 8, "lists")[0][:, 21], 5e-2)
            )
        ),
    ],
)
def shift_query_position(at):
    for shift in (-1, 1, 0, 3):
        yield call(model=MODEL, tokens=tokens(at, 8, "lists"), shift=shift)


# -- explain.py


@torch.no_grad()
def answers_to(at: Bench, numbers: torch.Tensor) -> torch.Tensor:
    """What the model says at the ten steps of each list."""
    return at.model(dataset.make_sorting_tokens(numbers.long()))[:, 11:21].argmax(-1)


def _fails(at: Bench, calls: list[Call], values: list[torch.Tensor]) -> Judged:
    """Run the model on each list that came back; many lists are right."""

    def no(headline: str, *lines: str) -> Judged:
        return Judged(0, False, headline, (f"for kind {kind!r} you gave {found.tolist()}", *lines))

    for request, found in zip(calls, values, strict=True):
        kind = request.args["kind"]
        if found.min() < 0 or found.max() > 49:
            return no("The numbers of a list go from 0 to 49: 50 and 51 are BOS and MID")
        ordered = found.long().sort().values
        if kind == "distinct" and (ordered.diff() == 0).any():
            return no("A distinct list holds no number twice")
        if kind == "gap2" and (ordered.diff() < 2).any():
            return no("In a gap2 list any two numbers are at least 2 apart")
        said = answers_to(at, found[None])[0]
        model = f"{at.checkpoint.described} says {said.tolist()}"
        if torch.equal(said, ordered):
            return no("The model sorts your list correctly", model)
        if kind == "invented" and torch.isin(said, ordered).all():
            return no("Every answer of the model to your list is one of its numbers", model)
    step = (~torch.isin(said, ordered)).nonzero()[0].item()
    return Judged(
        1,
        True,
        "",
        (f"{at.checkpoint.described} on {found.tolist()}: {said[step]} where {ordered[step]} comes next",),
    )


@check(
    judge=_fails,
    shown="Of random lists {failing_uniform:.1%} fail, and next to none if no two of their numbers are neighbours. But "
    "a jump from one cluster to another fails at once, with a number that is not in the list. A head that copies one "
    "list element could never say that. What could?",
)
def failing_list(at):
    for kind in ("any", "distinct", "gap2", "invented"):
        yield call(model=MODEL, kind=kind)


@cache
def hard_lists(at: Bench) -> tuple[torch.Tensor, torch.Tensor]:
    """Lists within a window of 12 numbers, 25 for each window, and what the model answers to them."""
    low = torch.arange(975) % 39
    made = low[:, None] + torch.randint(0, 12, (975, 10), generator=at.generator("window"))
    answers = torch.cat([answers_to(at, part) for part in made.split(125)])  # small batches stay in the cache
    return dataset.make_sorting_tokens(made), answers


@torch.no_grad()
def reduced_tables(model) -> dict[str, torch.Tensor]:
    """What explain_step may know about a model; the docstring there says what each table means."""
    groups = torch.zeros(3, 22, dtype=model.W_E.dtype)
    groups[0, 0], groups[1, 1:11], groups[2, 11] = 1, 0.1, 1
    embeds, steps, groups = model.W_E, model.W_pos[11:21], groups @ model.W_pos
    qk = model.W_Q[0, 0] @ model.W_K[0, 0].T / model.cfg.d_head**0.5
    ov = model.W_V[0, 0] @ model.W_O[0, 0] @ model.W_U
    return {
        "tok_tok": embeds @ qk @ embeds.T,
        "pos_tok": steps @ qk @ embeds.T,
        "tok_pos": embeds @ qk @ groups.T,
        "pos_pos": steps @ qk @ groups.T,
        "ov_tok": embeds @ ov,
        "ov_pos": groups @ ov,
        "direct_tok": embeds @ model.W_U,
        "direct_pos": steps @ model.W_U,
    }


RENAMED = torch.cat([torch.arange(50).flip(0), torch.tensor([50, 51])])  # the number v is called 49 - v


def renamed_tables(tables: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tables of the same model with its numbers renamed: it sorts downwards, and no one has seen it."""
    made = {name: table[RENAMED] if len(table) == 52 else table for name, table in tables.items()}
    for name in ("tok_tok", "pos_tok"):
        made[name] = made[name][:, RENAMED]
    for name in ("ov_tok", "ov_pos", "direct_tok", "direct_pos"):
        made[name] = made[name].flip(1)
    return made


def _score(at: Bench, calls: list[Call], values: list[torch.Tensor]) -> Judged:
    """Agreement with the model on hard lists, and F1 of the mistakes foretold; then, do the tables matter?"""
    ordered, answers = hard_lists(at)
    truth = ordered[:, 12:]
    said = torch.stack([v.long() for v in values[:10]], dim=1)
    agreement = (said == answers).double().mean().item()
    foretold, real = said != truth, answers != truth
    f1 = 2 * (foretold & real).sum().item() / max(1, (foretold.sum() + real.sum()).item())
    sorting = (truth == answers).double().mean().item()
    renamed = zip(calls[10:], values[10:], strict=True)
    followed = torch.stack([49 - v.long() == answers[::8, c.args["step"]] for c, v in renamed]).double().mean().item()
    line = (
        f"{at.checkpoint.described}: your program agrees with {agreement:.1%} of its answers and foretells its errors "
        f"with F1 {f1:.2f} (a program that just sorts: {sorting:.1%} and 0)"
    )
    if agreement < 0.90 or f1 < 0.60:
        headline = "Your program and the model disagree too often: a pass needs 90% agreement and F1 0.60"
        if not foretold.any():
            headline = "Your program just sorts, and the model does not always: its mistakes are part of the question"
        return Judged(0, False, headline, (line,))
    if followed < agreement - 0.15:
        headline = (
            "Your program does not go by its tables: with those of a model whose numbers are renamed "
            "(v is called 49 - v) it does not say what that model says"
        )
        return Judged(0, False, headline, (f"agreement with the renamed model {followed:.1%}", line))
    score = 0.5 + 0.5 * min(1.0, (agreement - 0.90) / 0.04, (f1 - 0.60) / 0.20)
    lines = (line,)
    if score < 1:
        lines += ("full marks from 94% and F1 0.80: is there a way to the logits that your program leaves out?",)
    return Judged(score, True, "", lines)


@check(
    judge=_score,
    tolerance=Tolerance(atol=0.5, rtol=0, fraction=2e-3),  # only to tell known programs apart: near ties may flip
    shown="A weighted mixture of table rows, of the list, BOS and MID together, says what the model says, errors "
    "included. On lists like these an algorithm that attends to the answer and copies it agrees with only "
    "{copy_agreement:.0%} of what the model says.",
)
def explain_step(at):
    ordered, _ = hard_lists(at)
    tables, counts = reduced_tables(at.model), one_hot(ordered[:, 12:], 50).sum(1)
    for step in range(10):
        yield call(f"step {step}", tables=tables, counts=counts, previous=ordered[:, 11 + step], step=step)
    tables, counts = renamed_tables(tables), counts[::8].flip(1)
    for step in (0, 4, 9):
        previous = RENAMED[ordered[::8, 11 + step]]
        yield call(f"step {step}, numbers renamed", tables=tables, counts=counts, previous=previous, step=step)
