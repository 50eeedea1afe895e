"""permutations: one check per exercise, read as a list of claims.

A sequence of n = 5 is 722 tokens long and costs 40 times as much to attend over as one of n = 4. So the n = 5
checkpoints get one or two sequences per exercise, and every setting of every argument is tried at n = 4.
"""

from functools import cache

import torch

from kata.checking import MODEL, Bench, Call, Judged, Tolerance, call, check, claim, exchanged, hooked
from solutions.permutations import circuits, dataset

EXACT = Tolerance(atol=0, rtol=0)
METRICS = Tolerance(atol=1e-5, rtol=2e-6)
TABLE = Tolerance(atol=1e-5, rtol=1e-5)  # entries up to 0.8
PATTERN = Tolerance(atol=1e-4, rtol=0)
LOGITS = Tolerance(atol=3e-4, rtol=1e-5)  # logits reach 20 and parts of them 30
STRENGTH = Tolerance(atol=5e-3, rtol=0)  # five rounds of alternation are off by 2e-3, the nearest mistake by 0.3
HEAD = "blocks.0.attn.hook_"


# -- what the calls are made of


def n_of(at: Bench) -> int:
    return {122: 4, 722: 5}[at.checkpoint.architecture["n_ctx"]]


def few(at: Bench, n5: int, n4: int) -> int:
    """How many sequences, on a checkpoint of either length."""
    return n5 if n_of(at) == 5 else n4


@cache
def letters(at: Bench, number: int, label: str, kind: str = "sorted") -> torch.Tensor:
    """First terms: "sorted" as in training, in "any" order, or "repeats" (any order, two places equal)."""
    n = n_of(at)
    drawn = 3 + torch.rand(number, 62, generator=at.generator(label)).argsort(dim=-1)[:, :n]
    if kind == "sorted":
        return drawn.sort(dim=-1).values
    if kind == "repeats":
        drawn[:, 2] = drawn[:, 0]
    return drawn


@cache
def tokens(at: Bench, number: int, label: str = "sequences", kind: str = "sorted") -> torch.Tensor:
    return dataset.build_batch(letters(at, number, label, kind))


@cache
def pair(at: Bench, number: int, label: str = "pair") -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences and donors that have no letter in common."""
    n = n_of(at)
    drawn = 3 + torch.rand(number, 62, generator=at.generator(label)).argsort(dim=-1)[:, : 2 * n]
    own, other = drawn[:, :n].sort(dim=-1).values, drawn[:, n:].sort(dim=-1).values
    return dataset.build_batch(own), dataset.build_batch(other)


@cache
def letter_rows(n: int, first: int = 1) -> torch.Tensor:
    """Rows whose next token is a letter of term number `first` (from 0) or a later one."""
    table = dataset.lookup_table(n)
    wanted = torch.cat([table[1:], torch.tensor([n])])
    rows = wanted < n
    rows[: first * (n + 1) + 1] = False
    return rows


@cache
def logits(at: Bench, number: int, label: str) -> torch.Tensor:
    with torch.no_grad():
        return at.model(tokens(at, number, label))


def follows(at: Bench, got: torch.Tensor, sequences: torch.Tensor) -> float:
    """Share of letter rows whose largest logit is the next letter of these sequences."""
    rows = letter_rows(n_of(at))[:-1]
    return (got[:, :-1].argmax(-1) == sequences[:, 1:])[:, rows].double().mean().item()


# -- dataset.py


@check(
    on="one",
    tolerance=EXACT,
    shown="Which place of the first term stands where depends on the position alone, for every set of characters. At "
    "n = 5 one table of {sequence_length} codes says all that a model has to know about order. Could one head hold "
    "such a table?",
    claims=[
        claim("the table has (n+1)! + 2 codes")(
            lambda at, call, got: len(got) == {2: 8, 3: 26, 4: 122, 5: 722}[call.args["n"]]
        ),
        claim("the first term is 0, 1, 2, ...")(
            lambda at, call, got: got[2 : 2 + call.args["n"]].tolist() == list(range(call.args["n"]))
        ),
        claim("every place is named equally often")(
            lambda at, call, got: len({(got == i).sum().item() for i in range(call.args["n"])}) == 1
        ),
    ],
)
def lookup_table(at):
    for n in (3, 2, 4, 5):
        yield call(n=n)


@check(
    on="one",
    tolerance=EXACT,
    shown="A list is its first term and the table, and nothing else: repeats stay, the order is that of the input. "
    "In training the first terms were always sorted. Keep that in mind: it will leave a trace.",
    claims=[
        claim("every sequence has (n+1)! + 2 tokens")(
            lambda at, call, got: got.shape[1] == {3: 26, 4: 122, 5: 722}[call.args["chars"].shape[1]]
        ),
        claim("the first term is the input")(
            lambda at, call, got: torch.equal(got[:, 2 : 2 + call.args["chars"].shape[1]], call.args["chars"])
        ),
    ],
)
def build_batch(at):
    yield call("three characters in any order", chars=torch.tensor([[40, 12, 3], [64, 3, 29]]))
    yield call("two equal characters", chars=torch.tensor([[9, 10, 9, 34], [57, 20, 57, 9]]))
    yield call("five characters", chars=letters(at, 2, "build", "any"))


@check(
    tolerance=METRICS,
    shown="On the {scored_rows} rows that can be known the model is right every time ({accuracy:.1%}, loss "
    "{loss:.1e}). Counted over all rows it is {accuracy_all_rows:.5f}; the literature reports 0.99168, which is 715 "
    "out of 721. Is that a fault of the model, or of the count?",
)
def scored_metrics(at):
    n, number = n_of(at), few(at, 1, 3)
    yield call("the model's logits", logits=logits(at, number, "metrics"), tokens=tokens(at, number, "metrics"), n=n)
    if at.checkpoint.role == "shown":
        sequences = tokens(at, 2, "made up")
        made = torch.randn(2, sequences.shape[1], 65, generator=at.generator("made up logits"))
        for row, push in ((n, -60), (n + 1, -40), (-2, 30)):  # a slip at either end of the mask is felt
            made[:, row].scatter_add_(1, sequences[:, row + 1, None], torch.full((2, 1), float(push)))
        yield call("made-up logits", logits=made, tokens=sequences, n=n)


# -- circuits.py


@check(
    on="one",
    tolerance=EXACT,
    shown="For n = 5 there are {admissible_cells:,} cells a head may use, about {mean_sources:.0f} per row. A head "
    "that looked everywhere alike would have {uniform_mass:.1%} of its attention on them. So which of them does it "
    "use?",
    claims=[
        claim("no row uses a source after itself")(lambda at, call, got: not got.triu(1).any()),
        claim("the last two rows have no source")(lambda at, call, got: not got[-2:].any()),
    ],
)
def admissible_sources(at):
    for n in (3, 4, 5, 2):
        yield call(n=n)


@check(
    tolerance=TABLE,
    shown="{ov_row_top:.0%} of the letters raise themselves most: at least {ov_diagonal_min:.2f} on the diagonal, at "
    "most {ov_off_max:.2f} beside it. The literature says that there is no OV circuit here, as there is no MLP. What "
    "then is this matrix doing?",
    claims=[
        claim("every letter's own column is the largest of its row")(
            lambda at, call, got: torch.equal(got[3:].argmax(-1), torch.arange(3, 65))
        ),
    ],
)
def ov_circuit(at):
    yield call(model=MODEL)


@check(
    tolerance=Tolerance(atol=1e-4, rtol=0),
    shown="The OV matrix scores {copying:.4f}: weighed by size, its eigenvalues are as good as real and positive. A "
    "diagonal that stands out is one way to copy. Would a head that turns every letter into a mixture of itself and "
    "two others still score high?",
)
def copying_score(at):
    yield call("this checkpoint's OV matrix", matrix=circuits.ov_circuit(at.model))
    if at.checkpoint.role == "shown":
        noise = torch.randn(65, 65, generator=at.generator("matrix"))
        noise[:3] *= 6
        sign = 1 if n_of(at) == 5 else -1
        yield call("a random matrix with a diagonal", matrix=noise + sign * 2.4 * torch.eye(65))


@check(
    tolerance=PATTERN,
    shown="From positions alone the head puts {positional_mass:.1%} of its attention on right sources, and its top "
    "source is right in {positional_top:.1%} of the rows. No letter has been read. Yet this pattern is not the real "
    "one: on average {positional_tv:.0%} of the attention lies elsewhere. What do the letters still do?",
    claims=[
        claim("every row sums to 1")(lambda at, call, got: torch.allclose(got.sum(-1), torch.ones(()), atol=1e-3)),
        claim("no row attends to a later position")(lambda at, call, got: not got.triu(1).any()),
    ],
)
def positional_pattern(at):
    yield call(model=MODEL)


@check(
    tolerance=PATTERN,
    shown="Blind to which letter is which, the pattern moves by only {identity_free_tv:.1%} of its mass, and the "
    "model that is made to use it is still right in {identity_free_accuracy:.1%} of the rows. So a letter tells the "
    "head that it is a letter. Does it tell nothing more?",
    claims=[
        claim("every row sums to 1")(lambda at, call, got: torch.allclose(got.sum(-1), torch.ones(()), atol=1e-3)),
        claim("no row attends to a later position")(lambda at, call, got: not got.triu(1).any()),
    ],
)
def identity_free_pattern(at):
    yield call("sorted letters", model=MODEL, tokens=tokens(at, few(at, 1, 3)))
    if n_of(at) == 4:
        yield call("letters in any order, two equal", model=MODEL, tokens=tokens(at, 2, "other", "repeats"))


# -- attribution.py


@check(
    tolerance=PATTERN,
    shown="Letter rows have {admissible_mass:.1%} of their attention on right sources, and the worst of them "
    "{admissible_mass_min:.1%}; looking everywhere alike would give {uniform_mass:.0%}. Rows that foretell a space "
    "have {admissible_mass_spaces@n4_shown:.0%} on earlier spaces on n4_shown and "
    "{admissible_mass_spaces@n4_sibling:.0%} on its sibling. Must a space be copied from a space?",
    claims=[
        claim("no row has more than all of its attention")(lambda at, call, got: (got <= 1 + 1e-4).all()),
        claim("the row that predicts the full stop and the last row have no source")(
            lambda at, call, got: not got[-2:].any()
        ),
    ],
)
def attention_on_admissible(at):
    yield call("letters in any order", model=MODEL, tokens=tokens(at, few(at, 1, 2), "other", "any"), n=n_of(at))
    if n_of(at) == 4:
        yield call("two equal letters", model=MODEL, tokens=tokens(at, 3, "repeats", "repeats"), n=4)


@check(
    tolerance=LOGITS,
    shown="On letter rows the head stands {attn_letters:.1f} logits above the average token, the embeddings "
    "{token_letters:+.2f} and {pos_letters:+.2f}. The full stop is different: {pos_stop:.1f} logits come straight "
    "from the position embedding. Why could the head not copy that one?",
    claims=[
        claim("the five parts add up to the logit of the next token")(
            lambda at, call, got: torch.allclose(
                sum(got.values())[:, :-1], _next_logit(at, call.args["tokens"]), atol=1e-3
            )
        ),
        claim("the last column is 0")(lambda at, call, got: all(not part[:, -1].any() for part in got.values())),
    ],
)
def logit_attribution(at):
    yield call("sorted letters", model=MODEL, tokens=tokens(at, few(at, 1, 3)))
    if n_of(at) == 4:
        yield call("letters in any order, two equal", model=MODEL, tokens=tokens(at, 2, "other", "repeats"))


def _next_logit(at, sequences):
    with torch.no_grad():
        return at.model(sequences)[:, :-1].gather(-1, sequences[:, 1:, None])[..., 0]


@check(
    tolerance=LOGITS,
    shown="{admissible_share:.1%} of what the head adds to the right letter comes from right sources. But no single "
    "one is in charge: a row draws on the equivalent of {effective_sources:.1f} sources. Attribution says who spoke. "
    "To learn whether anybody was needed, you have to take them away.",
    claims=[
        claim("nothing comes from a later position")(lambda at, call, got: not got.triu(1).any()),
        claim("the last row is 0")(lambda at, call, got: not got[:, -1].any()),
    ],
)
def source_attribution(at):
    yield call("sorted letters", model=MODEL, tokens=tokens(at, few(at, 1, 3)))
    if n_of(at) == 4:
        yield call("letters in any order, two equal", model=MODEL, tokens=tokens(at, 2, "other", "repeats"))


# -- ablation.py


@check(
    tolerance=LOGITS,
    shown="With z = 0 only {zero_letters:.1%} of the letters are right, with its mean {mean_letters:.1%}. Now look "
    "at the spaces: {zero_spaces:.0%} with zero, {mean_spaces:.0%} with the mean. A space tells nothing about the "
    "sequence, so what the head usually says at that position is enough. Which of the two would have misled you?",
)
def ablate_head(at):
    other = tokens(at, few(at, 1, 2), "reference")
    yield call(model=MODEL, tokens=tokens(at, few(at, 1, 3)), mode="mean", reference=other)
    if n_of(at) == 4:
        yield call(model=MODEL, tokens=tokens(at, 3), mode="zero", reference=other)
        yield call(
            model=MODEL, tokens=tokens(at, 2, "other", "any"), mode="mean", reference=tokens(at, 5, "reference 5")
        )


@check(
    tolerance=LOGITS,
    shown="Right sources alone: {only_admissible:.1%} of the letters. All others alone: {without_admissible:.1%}. "
    "Hide the first term from all later rows and {without_first_term:.1%} are still right, so it is not needed. Is "
    "the first term alone enough? Ask the sibling as well.",
    claims=[
        claim("with the admissible sources alone every letter is still right")(
            lambda at, call, got: "admissible" not in call.label or follows(at, got, call.args["tokens"]) > 0.99
        ),
    ],
)
def restrict_sources(at):
    n, sequences = n_of(at), tokens(at, few(at, 1, 2))
    allowed = circuits.admissible_sources(n)
    yield call("admissible sources only", model=MODEL, tokens=sequences, allowed=allowed)
    if n == 4:
        half = torch.rand(122, 122, generator=at.generator("half")) < 0.5
        yield call("a random half", model=MODEL, tokens=tokens(at, 2, "other", "any"), allowed=half)
        hidden = torch.ones_like(allowed)
        hidden[:, 2:6] = False
        yield call("the first term hidden", model=MODEL, tokens=sequences, allowed=hidden)


@cache
def donated(at: Bench, part: str, number: int) -> torch.Tensor:
    """What a hook has in the run on the donors."""
    name = HEAD + part
    with torch.no_grad():
        return at.model.run_with_cache(pair(at, number, "hook")[1], names_filter=name)[1][name]


@check(
    tolerance=LOGITS,
    shown="A hook function is called with the activation, and what it returns is what the model goes on with. With "
    "the values of other sequences {transplant_v[1]:.0%} of the letters are theirs. What will the queries do?",
)
def transplant_hook(at):
    number = few(at, 1, 2)
    for part in ("v",) if n_of(at) == 5 else ("v", "q", "pattern"):
        yield hooked(
            HEAD + part, tokens=pair(at, number, "hook")[0], donor=donated(at, part, number), label=f"part={part!r}"
        )


@check(
    tolerance=LOGITS,
    shown="Queries, keys, even the whole pattern can come from another sequence: {transplant_pattern[0]:.0%} of the "
    "letters are still right. With its values {transplant_v[1]:.0%} of the letters are the donor's. Where to look is "
    "the same in all sequences; what is found there is in the values. So who copies, QK or OV?",
    claims=[
        claim("with the donor's values every letter is the donor's")(
            lambda at, call, got: call.args["part"] != "v" or follows(at, got, call.args["donor"]) > 0.99
        ),
        claim("with its queries, keys or pattern every letter is still right")(
            lambda at, call, got: call.args["part"] == "v" or follows(at, got, call.args["tokens"]) > 0.99
        ),
    ],
)
def transplant(at):
    own, other = pair(at, few(at, 1, 2))
    parts = ("v", "k", "q", "pattern")
    if n_of(at) == 5:
        parts = ("v",) if at.checkpoint.role == "shown" else ("k",)
    for part in parts:
        yield call(model=MODEL, tokens=own, donor=other, part=part)


# -- explain.py


@check(
    tolerance=STRENGTH,
    shown="One number per position explains {strength_variance:.0%} of the variance of the scores, and its softmax "
    "over the right sources so far misses the real pattern by {strength_tv:.0%} of its mass; spreading the attention "
    "evenly misses by {uniform_tv:.0%}, taking the first source by {first_tv:.0%}. A column lights up where its "
    "strength is a new record.",
    claims=[
        claim("positions that are nobody's source have strength 0")(
            lambda at, call, got: not got[_nobody(call.args["n"])].any()
        ),
        claim("the strengths of each index have mean 0")(
            lambda at, call, got: all(
                abs(got[dataset.lookup_table(call.args["n"]) == i].sum()) < 1e-2 for i in range(call.args["n"])
            )
        ),
    ],
)
def key_strength(at):
    yield call("sorted letters", model=MODEL, tokens=tokens(at, few(at, 1, 2)), n=n_of(at))
    if n_of(at) == 4:
        yield call("letters in any order", model=MODEL, tokens=tokens(at, 3, "other", "any"), n=4)


def _nobody(n):
    table = dataset.lookup_table(n)
    return ~((circuits.admissible_sources(n) & (table < n)).any(0))


@check(
    tolerance=PATTERN,
    shown="Rows that want the first place favour early letters (correlation with the alphabet "
    "{alphabet_first:+.2f}), rows that want the last place late ones ({alphabet_last:+.2f}). Sorted training data "
    "leaked into the keys. On first terms in any order {unsorted_letters:.1%} of the letters are right; with "
    "letter-blind keys {unsorted_repaired:.1%}.",
    claims=[
        claim("each row sums to 0")(lambda at, call, got: (got.sum(-1).abs() < 1e-2).all()),
    ],
)
def alphabet_preference(at):
    yield call("sorted letters", model=MODEL, tokens=tokens(at, few(at, 1, 2)), n=n_of(at))
    if n_of(at) == 4:
        yield call("letters in any order", model=MODEL, tokens=tokens(at, 3, "other", "repeats"), n=4)


@cache
def scrambled(at: Bench) -> list[tuple[str, torch.Tensor, dict[str, torch.Tensor], torch.Tensor]]:
    """(label, tokens, weights, what the model then answers): random letters in the places of a list.

    At n = 4 there is also a renamed copy of the shown model: letters exchanged in W_E and in W_U alike, so that a
    table of this checkpoint's letters is of no use.
    """
    number = few(at, 2, 6)
    rounds = [("scrambled letters", {})]
    if n_of(at) == 4 and at.checkpoint.role == "shown":
        renamed = 3 + torch.randperm(62, generator=at.generator("renamed"))
        state = at.model.state_dict()
        weights = {name: state[name].clone() for name in ("embed.weight", "unembed.weight")}
        for weight in weights.values():
            weight[3:] = weight[renamed]
        rounds.append(("a model with its letters renamed", weights))
    made = []
    for label, weights in rounds:
        plain = tokens(at, number, label)
        drawn = torch.randint(3, 65, plain.shape, generator=at.generator(label + ", drawn"))
        sequences = torch.where(plain >= 3, drawn, plain)
        with torch.no_grad(), exchanged(at.model, weights) as model:
            answers = model(sequences).argmax(-1)
        made.append((label, sequences, weights, answers))
    return made


def first_term(sequences: torch.Tensor, n: int) -> torch.Tensor:
    """What a program answers that copies the wanted index from the first term."""
    wanted = dataset.lookup_table(n).roll(-1).clamp(max=n - 1)
    return sequences[:, 2 + wanted]


def agreement(a: torch.Tensor, b: torch.Tensor, n: int) -> float:
    return (a == b)[:, letter_rows(n, first=2)].double().mean().item()


PASS, FULL = 0.70, 0.80  # positions and token class alone stay below 0.62 on the n5 sibling, with the alphabet 0.80


def _agrees(at: Bench, calls: list[Call], values: list[torch.Tensor]) -> Judged:
    """Agreement with the model on scrambled letters: no points for the first-term program, all of them from 80%."""
    n, results, lines = n_of(at), [], []
    for (label, sequences, _, answers), said in zip(scrambled(at), values, strict=True):
        reached, floor = agreement(said, answers, n), agreement(first_term(sequences, n), answers, n)
        results.append((reached, max(0.0, min(1.0, (reached - floor) / (FULL - floor)))))
        lines.append(
            f"{at.checkpoint.described}, {label}: agrees with the model in {reached:.1%} of the rows "
            f"(copying from the first term: {floor:.1%})"
        )
    lowest = min(reached for reached, _ in results)
    if lowest == 1:
        lines.append("not one row differs: if you rebuilt the logits, what have you explained?")
    headline = (
        f"Your program agrees with the model in {lowest:.1%} of the rows; {PASS:.0%} make a pass, {FULL:.0%} full marks"
    )
    return Judged(min(score for _, score in results), lowest >= PASS, headline, tuple(lines))


@check(
    judge=_agrees,
    shown="Look up, weigh, copy: three steps say what the head does. On clean lists this is no feat, as every "
    "program that copies from right sources is right there; on scrambled letters copying from the first term "
    "foretells {program_first_term:.0%}, and all that the scores hold {program_solution:.0%}.",
)
def predict_copy(at):
    for label, sequences, weights, _ in scrambled(at):
        yield call(
            label, model=MODEL, tokens=sequences, n=n_of(at), weights=weights, closed=("blocks.0.attn", "unembed")
        )
