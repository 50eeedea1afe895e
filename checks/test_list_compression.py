"""list_compression: one check per exercise, read as a list of claims."""

from functools import cache

import torch

from kata.checking import MODEL, Bench, Call, Judged, Tolerance, call, check, claim, exchanged, hooked
from kata.checkpoints import Checkpoint
from solutions.list_compression import attribution, dataset

EXACT = Tolerance(atol=0, rtol=0)
ATTENTION = Tolerance(atol=1e-5, rtol=0)
LOGITS = Tolerance(atol=2e-2, rtol=1e-5)  # parts of a logit reach 1200 in float32, and their noise 3e-3
MASK = dataset.block_mask(5)
OPEN = torch.zeros_like(MASK)  # nothing is forbidden but the future
EVERY = torch.cartesian_prod(torch.arange(10), torch.arange(10))
HALF = EVERY[::2]  # without near ties in the loud copies below


def teacher(checkpoint: Checkpoint) -> bool:
    return checkpoint.variant == "teacher"


def bottleneck(checkpoint: Checkpoint) -> bool:
    return checkpoint.variant == "bottleneck"


@cache
def lists(at: Bench, number: int = 12, label: str = "lists") -> torch.Tensor:
    """Different lists, one of them with a repeated digit."""
    chosen = EVERY[torch.randperm(100, generator=at.generator(label))[:number]]
    chosen[1] = chosen[1, 0]
    return chosen


@cache
def tokens(at: Bench, number: int = 12, label: str = "lists") -> torch.Tensor:
    return dataset.make_tokens(lists(at, number, label), at.variant == "teacher")


@cache
def state(at: Bench) -> dict[str, torch.Tensor]:
    """The model's own weights."""
    return {name: tensor.clone() for name, tensor in at.model.state_dict().items()}


def renamed(at: Bench, *tables: str) -> dict[str, torch.Tensor]:
    """Weights of a copy whose digits have exchanged their rows in these tables."""
    weights = {}
    for table in tables:
        order = torch.randperm(10, generator=at.generator(table)).roll(1)
        rows = torch.cat([order, torch.tensor([dataset.SEP])])
        weights[f"{table}.weight"] = state(at)[f"{table}.weight"][rows]
    return weights


def loud(at: Bench) -> dict[str, torch.Tensor]:
    """Weights of a copy with a doubled embedding: its answers are wrong, and depend on more of what it sees."""
    return {"embed.weight": 2 * state(at)["embed.weight"]}


def sharp(at: Bench) -> dict[str, torch.Tensor]:
    """Weights of a copy that attends so sharply that attention rounds to zero."""
    return {name: 1000 * tensor for name, tensor in state(at).items() if ".attn.q." in name}


# -- dataset.py


@check(
    on="one",
    tolerance=EXACT,
    shown="The list, SEP, and two places for the answers. Only a teacher model is fed the answers there. A bottleneck "
    "model that is fed them gets {accuracy_teacher_tokens@bottleneck:.0%} of the lists right instead of "
    "{accuracy@bottleneck:.0%}: it never saw a digit in those places.",
    claims=[
        claim("column 2 is SEP, token 10")(lambda at, call, got: (got[:, 2] == 10).all()),
        claim("columns 0 and 1 are the list")(lambda at, call, got: torch.equal(got[:, :2], call.args["lists"])),
    ],
)
def make_tokens(at):
    yield call("teacher_forced=True", lists=lists(at), teacher_forced=True)
    yield call("teacher_forced=False", lists=lists(at), teacher_forced=False)
    yield call("one list, teacher_forced=False", lists=torch.tensor([[7, 0]]), teacher_forced=False)


@check(
    on="one",
    tolerance=EXACT,
    shown="Four entries are True. Without them the teacher gets {accuracy_no_mask:.0%} of the lists right and the "
    "bottleneck model {accuracy_no_mask@bottleneck:.0%}. But the teacher's first answer is right in "
    "{right_no_mask[0]:.0%} of them: one look at the wrong accuracy, and a lost mask goes unseen.",
    claims=[
        claim("SEP and the digits are forbidden nothing")(
            lambda at, call, got: not got[..., : call.args.get("list_len", 2) + 1, :].any()
        ),
        claim("only digits are forbidden as keys")(
            lambda at, call, got: not got[..., call.args.get("list_len", 2) :].any()
        ),
    ],
)
def block_mask(at):
    yield call(seq=5, list_len=2)
    yield call(seq=4, list_len=2)
    yield call(seq=3, list_len=2)
    yield call(seq=7, list_len=3)
    yield call("seq=5, and list_len left out", seq=5)


@check(
    on=teacher,
    tolerance=Tolerance(atol=1e-4, rtol=1e-4),
    shown="{loss_at[0]:.2f}, {loss_at[1]:.3f}, {loss_at[2]:.3f}, {loss_at[3]:.3f}: the first position pays "
    "{loss_first_share:.0%} of the loss, and there nobody can do better than ln 10 = 2.303. So how much does the mean, "
    "{loss_mean:.3f}, tell you about the model?",
    claims=[
        claim("no entry is negative")(lambda at, call, got: (got >= 0).all()),
    ],
)
def loss_by_position(at):
    yield call("12 lists", model=MODEL, tokens=tokens(at), mask=MASK)
    short = tokens(at, 7, "other")[:, :4]
    yield call("the first 4 tokens of others, nothing masked", model=MODEL, tokens=short, mask=OPEN[..., :4, :4])


def altered(at: Bench) -> dict[str, torch.Tensor]:
    """Weights of a loud copy that also says its digits by other names."""
    return loud(at) | renamed(at, "unembed")


@cache
def clear_lists(at: Bench) -> torch.Tensor:
    """Lists on which the altered copy's answers are no near ties."""
    given = lists(at, 40, "clear")
    with torch.no_grad(), exchanged(at.model, altered(at)) as model:
        said = dataset.greedy_decode(model, given)
        fed = dataset.make_tokens(given, False)
        if at.variant == "teacher":
            fed[:, 3:] = said
        logits = model(fed, attention_mask=MASK)
    top = (logits[:, 2:4] if at.variant == "teacher" else logits[:, 3:]).topk(2).values
    return given[(top[..., 0] - top[..., 1] > 0.05).all(1)]


@check(
    tolerance=EXACT,
    shown="Left to itself the teacher model gets {accuracy:.0%} of the 100 lists right, and the bottleneck model "
    "{accuracy@bottleneck:.0%}. Yet put any token you like in the place of the teacher's own o1, and its o2 stays "
    "right on {forced_o1:.0%} of them. Then from where does o2 know?",
)
def greedy_decode(at):
    yield call("12 lists", model=MODEL, lists=lists(at))
    copy = "a copy with other names for its digits and a doubled embedding"
    yield call(copy, model=MODEL, lists=clear_lists(at), weights=altered(at))


# -- circuits.py


@check(
    tolerance=ATTENTION,
    shown="The teacher's SEP looks by place: {sep_row[1]:.3f} on d2 in layer 0, give or take {sep_row_std[1]:.3f} from "
    "list to list. The bottleneck model's looks by digit: {sep_row@bottleneck[0]:.2f} on d1, give or take "
    "{sep_row_std@bottleneck[0]:.2f}. The mean says where a head looks; the deviation, whether the list decides it.",
    claims=[
        claim("every row of the mean sums to 1")(
            lambda at, call, got: torch.allclose(got[0].sum(-1), torch.ones(()), atol=1e-4)
        ),
        claim("no query looks at what comes after it")(lambda at, call, got: not got[0].triu(1).any()),
        claim("the first row has one key only, so it never varies")(lambda at, call, got: got[1][0].max() < 1e-6),
    ],
)
def mean_std_pattern(at):
    yield call("layer 0", model=MODEL, tokens=tokens(at), mask=MASK, layer=0)
    yield call("other lists, nothing masked, layer 1", model=MODEL, tokens=tokens(at, 7, "other"), mask=OPEN, layer=1)


@check(
    tolerance=Tolerance(atol=1e-3, rtol=1e-5),
    view=lambda at, call, value: value[0] - value[1],  # a constant added to both changes no softmax
    shown="One softmax over this table gives SEP's attention on all 100 lists, without a run. In the bottleneck model "
    "a digit's two places differ by at most {place_gap@bottleneck:.2f} and the digits by "
    "{strength_range@bottleneck[0]:.1f} to {strength_range@bottleneck[1]:.1f}: strength belongs to the digit. In the "
    "teacher the places differ by {place_gap_teacher:.1f} and more: there it belongs to the place.",
    claims=[
        claim("the softmax of (table[0, d1], table[1, d2], itself) is SEP's row of the pattern")(
            lambda at, call, got: _row_fits(at, got)
        ),
    ],
)
def strength_table(at):
    yield call(model=MODEL)


def _row_fits(at: Bench, got: tuple[torch.Tensor, torch.Tensor]) -> bool:
    with torch.no_grad():
        _, kept = at.model.run_with_cache(tokens(at), attention_mask=MASK)
    first, second = lists(at).unbind(1)
    scores = torch.stack([got[0][0, first], got[0][1, second], got[1].expand(len(first))], dim=1)
    return torch.allclose(scores.softmax(1), kept["blocks.0.attn.hook_pattern"][:, 0, 2, :3], atol=1e-5)


@check(
    tolerance=Tolerance(atol=1e-3, rtol=1e-4),
    shown="In the teacher model both tables have their largest entry on the diagonal in {copy_top[0]:.0%} and "
    "{copy_top[1]:.0%} of the rows: two routes that copy, one per digit, two hops each. One hop alone does so in "
    "{one_hop_top[0]:.0%}. Two routes that never meet: what is being compressed?",
)
def copy_table(at):
    yield call(model=MODEL, which="d1")
    yield call(model=MODEL, which="d2")


@check(
    tolerance=Tolerance(atol=2e-5, rtol=0),
    shown="In the bottleneck model {digit_bound@bottleneck:.1%} of D turns its sign with the list: the weight is the "
    "digit's own. In the teacher {digit_bound_teacher[0]:.1%}: there it is the place's. So on [7, 2] and on [2, 7] "
    "the bottleneck's SEP holds the same two digits with nearly the same two weights. What tells it which came first?",
    claims=[
        claim("a share lies between 0 and 1, a correlation between -1 and 1")(
            lambda at, call, got: 0 <= got["digit_bound"] <= 1 and -1 <= got["correlation"] <= 1 + 1e-6
        ),
    ],
)
def place_vs_digit(at):
    yield call("the extra mask", model=MODEL, mask=MASK)
    itself = MASK.clone()
    itself[..., 2, 2] = True
    yield call("a mask that also keeps SEP from looking at itself", model=MODEL, mask=itself)


# -- attribution.py


@check(
    tolerance=LOGITS,
    shown="Four parts give the logits back. In the teacher layer 1 lifts the right digit by "
    "{attn1_at_answers[0]:.2f} at SEP and {attn1_at_answers[1]:.2f} at o1 above the mean digit, and all else together "
    "by almost nothing. Layer 0 writes no answer: it fetches what layer 1 moves on.",
    claims=[
        claim("the four parts add up to the logits")(
            lambda at, call, got: torch.allclose(got.sum(0), _logits(at, call), atol=5e-2)
        ),
        claim("the last part, the bias, is the same everywhere")(
            lambda at, call, got: torch.allclose(got[3], got[3, :1, :1].expand_as(got[3]), atol=1e-5)
        ),
    ],
)
def dla_components(at):
    yield call("8 lists", model=MODEL, tokens=tokens(at, 8), mask=MASK)
    short = tokens(at, 5, "other")[:, :4]
    yield call("the first 4 tokens, nothing masked", model=MODEL, tokens=short, mask=OPEN[..., :4, :4])


def _logits(at: Bench, request: Call) -> torch.Tensor:
    with torch.no_grad():
        return at.model(request.args["tokens"], attention_mask=request.args["mask"])


@check(
    tolerance=LOGITS,
    shown="In the teacher o1 gets its digit from position d1 ({main_sources[0]:.1f} logits above the mean digit) and "
    "o2 from SEP ({main_sources[1]:.1f}); the next largest source gives {other_sources:.2f}. In the bottleneck model "
    "d1's part of SEP pushes towards d1 at o1 and, by {push_of_d1@bottleneck[1]:.0f} logits in the mean, also at o2, "
    "which says d2. Then who turns it round?",
    claims=[
        claim("over all keys it adds up to layer 1's part of the logits without b_O")(
            lambda at, call, got: _sources_fit(at, call, got)
        ),
        claim("a key that comes after the query gives nothing")(
            lambda at, call, got: not got[:, call.args["query"] + 1 :].any()
        ),
    ],
)
def dla_attn1_by_source(at):
    yield call(model=MODEL, tokens=tokens(at, 8), mask=MASK, query=3)
    short = tokens(at, 5, "other")[:, :4]
    yield call(
        "the first 4 tokens, nothing masked, query=2", model=MODEL, tokens=short, mask=OPEN[..., :4, :4], query=2
    )


@torch.no_grad()
def _sources_fit(at: Bench, request: Call, got: torch.Tensor) -> bool:
    model, tokens_, mask, query = at.model, request.args["tokens"], request.args["mask"], request.args["query"]
    _, kept = model.run_with_cache(tokens_, attention_mask=mask)
    constant = (model.b_O[1] - model.b_O[1].mean()) * model.ln_final.weight
    bias = constant / kept["ln_final.hook_scale"][:, query] @ model.W_U
    part = attribution.dla_components(model, tokens_, mask)[2][:, query]
    return torch.allclose(got.sum(1) + bias, part, atol=5e-2)


@check(
    tolerance=Tolerance(atol=2e-4, rtol=0),
    on="one",
    shown="After layer 0 SEP is coloured by d2 ({pcs_after_0[1]:.3f}), after layer 1 by d1 ({pcs_after_1[0]:.3f}), and "
    "by their sum hardly at all ({pcs_after_0[2]:.3f}, {pcs_after_1[2]:.3f}). The tokens are only names: their "
    "sum means nothing here.",
)
def variance_explained(at):
    with torch.no_grad():
        _, kept = at.model.run_with_cache(dataset.make_tokens(EVERY, True), attention_mask=MASK)
    codes = torch.nn.functional.one_hot(EVERY, 10).float()
    sep = kept["blocks.1.hook_resid_post"][:, 2]
    yield call("SEP after layer 1, by the sum", x=sep, labels=EVERY.sum(1, keepdim=True).float(), n_pcs=3)
    yield call("SEP after layer 0, by d2, 3 components", x=kept["blocks.0.hook_resid_post"][:, 2], labels=codes[:, 1])
    draw = at.generator("cloud")
    labels = torch.randn(60, 2, generator=draw)
    stretch = torch.tensor([5.0, 3.0, 2.0, 1.5, 1.0, 0.5])
    mixed = torch.cat([labels, labels], dim=1) @ torch.randn(4, 6, generator=draw)
    cloud = (mixed + torch.randn(60, 6, generator=draw)) * stretch
    cloud = cloud + 20 * torch.randn(6, generator=draw)
    yield call("a random cloud, 2 components", x=cloud, labels=labels + 3, n_pcs=2)
    yield call("a random cloud, 4 components", x=cloud, labels=labels + 3, n_pcs=4)


# -- ablation.py

PATTERNS = ("blocks.0.attn.hook_pattern", "blocks.1.attn.hook_pattern")


@check(
    on=teacher,
    tolerance=Tolerance(atol=1e-3, rtol=1e-4),
    shown="Three ways to take attention away: nothing moves; what moves no longer depends on the list; everything "
    "moves alike. With the mean pattern in both layers the teacher still gets {accuracy_mean_pattern[2]:.0%} of the "
    "lists right. Which of the three asks whether a head is needed, and which whether it needs to look?",
    claims=[
        claim("a mean or uniform row sums to 1, a zero row to 0")(
            lambda at, call, got: all(
                torch.allclose(p.sum(-1), torch.tensor(float(call.args["kind"] != "zero")), atol=1e-4)
                for p in got["activation"].values()
            )
        ),
        claim("the edited pattern is the same for every list")(
            lambda at, call, got: all(torch.allclose(p, p[:1].expand_as(p)) for p in got["activation"].values())
        ),
    ],
)
def pattern_ablation_hook(at):
    masked = {"attention_mask": MASK}
    for kind in ("zero", "mean_pattern", "uniform"):
        yield hooked(*PATTERNS, tokens=tokens(at, 8), forward=masked, label=f"kind={kind!r}", kind=kind, mask=MASK)
    x = tokens(at, 5, "other")
    yield hooked(*PATTERNS, tokens=x, label="kind='uniform', nothing masked", kind="uniform", mask=OPEN)
    yield hooked(
        *PATTERNS,
        tokens=x,
        forward=masked,
        label="kind='uniform', a copy whose attention is so sharp that it rounds to 0",
        weights=sharp(at),
        kind="uniform",
        mask=MASK,
    )


@check(
    on=teacher,
    tolerance=Tolerance(atol=2e-4, rtol=1e-4),
    shown="Without layer 0 the loss goes from {loss_mean:.3f} to {loss_zero[0]:.2f}; with its mean pattern only to "
    "{loss_mean_pattern[0]:.3f}. On the one list [8, 3] the mean pattern changes nothing ({loss_example:.3f} and "
    "{example_mean_pattern:.3f}), while over all 100 lists the loss rises and {accuracy_mean_pattern[0]:.0%} of them "
    "stay right. One list is a bad witness.",
)
def ablate_attention(at):
    x, y = tokens(at), tokens(at, 7, "other")
    yield call("layer 0, zero", model=MODEL, tokens=x, mask=MASK, layer=0, kind="zero")
    yield call("layer 0, mean_pattern", model=MODEL, tokens=x, mask=MASK, layer=0, kind="mean_pattern")
    yield call("layer 1, uniform", model=MODEL, tokens=x, mask=MASK, layer=1, kind="uniform")
    yield call(
        "other lists, nothing masked, layer 1, mean_pattern",
        model=MODEL,
        tokens=y,
        mask=OPEN,
        layer=1,
        kind="mean_pattern",
    )


@cache
def pairs(at: Bench) -> tuple[torch.Tensor, torch.Tensor]:
    """Lists and donors; some pairs agree in the first digit, some in the second, one in both."""
    own = EVERY[torch.randperm(100, generator=at.generator("recipients"))[:16]]
    shift = torch.randint(1, 10, own.shape, generator=at.generator("donors"))
    shift[0], shift[1:4, 0], shift[4:6, 1] = 0, 0, 0
    return own, (own + shift) % 10


@check(
    tolerance=Tolerance(atol=1e-5, rtol=0),
    shown="In the teacher, SEP after layer 0 decides o2 and not o1; after layer 1 it decides o1 and not o2. No vector "
    "ever has to hold both digits. In the bottleneck model SEP after layer 0 decides both, and after layer 1 nothing: "
    "the answers' logits move by exactly {patch_late_change@bottleneck:.0f}. That one vector is the bottleneck.",
    claims=[
        claim("recipient and donor never share more than the whole")(
            lambda at, call, got: all(got[f"{o}_recipient"] + got[f"{o}_donor"] <= 1 + 1e-6 for o in ("o1", "o2"))
        ),
    ],
)
def patch_sep(at):
    own, donor = pairs(at)
    yield call("layer 0", model=MODEL, lists=own, donor=donor, mask=MASK, layer=0)
    yield call("layer 1", model=MODEL, lists=own, donor=donor, mask=MASK, layer=1)
    other = (HALF + torch.tensor([3, 7])) % 10
    other[::7] = HALF[::7].flip(1)
    yield call(
        "a copy with a doubled embedding, nothing masked, layer 0",
        model=MODEL,
        lists=HALF,
        donor=other,
        mask=OPEN,
        layer=0,
        weights=loud(at),
    )


@check(
    on=bottleneck,
    tolerance=Tolerance(atol=1e-5, rtol=0),
    shown="When o2 looks as it does on the reversed list, it says d1 in {gate_reversed:.0%} of the lists, d2 in "
    "{gate_reversed_right:.0%}, and a third digit in the rest. SEP itself was left alone. So how much o2 looks at SEP "
    "is part of the answer: a gate, and one that depends on the order.",
)
def gate_from_reversed(at):
    yield call("20 lists", model=MODEL, lists=lists(at, 20), mask=MASK)
    yield call("a copy with a doubled embedding, nothing masked", model=MODEL, lists=HALF, mask=OPEN, weights=loud(at))


# -- explain.py

GOALS = {"teacher": (0.99, 0.99), "bottleneck": (0.8, 0.95)}  # a pass, full marks


@torch.no_grad()
def _answers(at: Bench, request: Call) -> torch.Tensor:
    """What the model, or the copy of it that the call was made on, answers."""
    with exchanged(at.model, request.weights) as model:
        return dataset.greedy_decode(model, request.args["lists"])


def _agreement(at: Bench, calls: list[Call], values: list[torch.Tensor]) -> Judged:
    """The share of lists on which prediction and model agree in both answers: the model and its renamed copies."""
    needed, full = GOALS[at.variant]
    shares = []
    for request, said in zip(calls, values, strict=True):
        shares.append((said.long() == _answers(at, request)).all(1).double().mean().item())
    lowest, about = min(shares), at.checkpoint.described
    found = ", ".join(f"{c.label} {s:.0%}" for c, s in zip(calls, shares, strict=True))
    lines = (f"{about} (a pass needs {needed:.0%}, full marks {full:.0%}): {found}",)
    if lowest >= needed:
        return Judged(min(1.0, lowest / full), True, "", lines)
    headline = f"Your prediction agrees with {about} on {lowest:.0%} of the lists; a pass needs {needed:.0%}"
    if shares[0] >= needed:
        headline = "Your prediction fits the model as it is, but not a copy whose digits are renamed: it must follow "
        headline += "the weights, not the task"
    return Judged(0.0, False, headline, lines)


@check(
    judge=_agreement,
    shown="From the weights alone. For the teacher two look-up tables say it all, {explained_share:.0%}. For the "
    "bottleneck model one strength per digit and the exact rest agree on {formula_one_strength@bottleneck:.0%}; "
    "'the larger weight came first' would get {larger_first@bottleneck:.0%}.",
)
def predict_from_weights(at):
    closed = ("blocks.0.attn", "blocks.1.attn")
    yield call("the model", model=MODEL, lists=EVERY, closed=closed)
    shuffled = EVERY[torch.randperm(100, generator=at.generator("order"))]
    yield call(
        "a copy whose digits are renamed in W_E and in W_U",
        model=MODEL,
        lists=shuffled,
        weights=renamed(at, "embed", "unembed"),
        closed=closed,
    )
