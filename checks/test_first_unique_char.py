"""first_unique_char: one check per exercise, read as a list of claims.

Tolerances. Logits and virtual tables reach 210, and in float32 a right answer whose products are taken in another order
differs by up to 3e-4; the nearest wrong logit in this set is 0.1 away. Losses: right answers differ by 2e-5, wrong ones
by more than 0.01. LayerNorm scales: right ones differ by 6e-8, one without the eps by 2e-5.

Most checks run on the two checkpoints of the published algorithm's family. `family` runs on all four.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F

from kata.checking import MODEL, Bench, Call, Judged, Tolerance, call, check, claim, hooked
from solutions.first_unique_char import circuits, dataset

EXACT = Tolerance(atol=0, rtol=0)
SCALES = Tolerance(atol=2e-6, rtol=0)
SCORES = Tolerance(atol=1e-4, rtol=1e-5)
LOGITS = Tolerance(atol=5e-3, rtol=1e-5)
LOSSES = Tolerance(atol=1e-3, rtol=1e-5)

HEADS = ["H0.0", "H0.1", "H0.2"]


def main(checkpoint: Any) -> bool:
    return checkpoint.variant == "main"


@cache
def tokens(at: Bench, number: int = 8, label: str = "sequences", length: int = 20) -> torch.Tensor:
    letters = torch.randint(0, 10, (number, length - 1), generator=at.generator(label))
    return torch.cat([torch.full((number, 1), dataset.NULL), letters], dim=1)


@cache
def labels(at: Bench, number: int = 8, label: str = "sequences") -> torch.Tensor:
    return dataset.first_unique_labels(tokens(at, number, label))


@cache
def other_labels(at: Bench, number: int = 8) -> torch.Tensor:
    """Labels of no task at all: the loss that they give is large and differs from position to position."""
    return torch.randint(0, 11, (number, 20), generator=at.generator("other labels"))


@cache
def flooded(at: Bench, number: int) -> torch.Tensor:
    """Sequences in which one letter takes every place with a probability that is drawn for each, 0.3 to 1."""
    generator = at.generator("flood")
    letter = torch.randint(0, 10, (number, 1), generator=generator)
    often = 0.3 + 0.7 * torch.rand(number, 1, generator=generator)
    hit = torch.rand(number, 19, generator=generator) < often
    made = tokens(at, number, "under the flood").clone()
    made[:, 1:] = torch.where(hit, letter, made[:, 1:])
    return made


@cache
def run(at: Bench, number: int = 8, label: str = "sequences") -> tuple[torch.Tensor, Any]:
    """Logits and activations, from the model itself."""
    with torch.no_grad():
        return at.model.run_with_cache(tokens(at, number, label))


@cache
def scales(at: Bench) -> tuple[float, float, float]:
    """The mean scale of each LayerNorm, the position 0 left out."""
    names = ("blocks.0.ln1.hook_scale", "blocks.1.ln1.hook_scale", "ln_final.hook_scale")
    return tuple(run(at)[1][name][:, 1:].mean().item() for name in names)


def close(a: torch.Tensor, b: torch.Tensor, room: float) -> bool:
    return torch.allclose(a.double(), b.double(), rtol=0, atol=room)


# -- dataset.py


def _random(at: Bench, calls: list[Call], values: list[torch.Tensor]) -> Judged:
    """Many generators are right: form, fairness, and what the seed must and must not do."""

    def no(headline: str, *lines: str) -> Judged:
        return Judged(0, False, headline, lines)

    values = [made.long() for made in values]
    for request, made in zip(calls, values, strict=True):
        n, length = request.args["n"], request.args["seq_len"]
        if made.shape != (n, length):
            return no(f"{n} sequences of {length} tokens were asked for; yours have shape {list(made.shape)}")
        if (made[:, 0] != dataset.NULL).any():
            return no("Position 0 must hold 10, the '?', in every sequence", f"yours: {made[0].tolist()}")
        if made[:, 1:].min() < 0 or made[:, 1:].max() > 9:
            return no("After position 0 only letters come, the ids 0 to 9", f"yours: {made[0].tolist()}")
    big, again, other, _ = values
    if len(big.unique(dim=0)) < 0.9 * len(big):
        return no("Your sequences repeat one another: each must be drawn on its own")
    if not torch.equal(big, again):
        return no("The same seed gave two different results")
    if torch.equal(big, other):
        return no("Seeds 0 and 1 gave the same sequences: the seed must reach the generator")
    letters = F.one_hot(big[:, 1:], 10).double()
    rare = letters.mean(0).min().item()
    if rare < 0.05:
        position, letter = divmod(letters.mean(0).argmin().item(), 10)
        share = f"'{dataset.ALPHABET[letter]}' stands at position {position + 1} in {rare:.1%} of your sequences"
        return no("Every letter must be as likely as any other, at every position", share)
    neighbours = (big[:, 1:-1] == big[:, 2:]).double().mean().item()
    if abs(neighbours - 0.1) > 0.02:
        line = f"neighbours are equal in {neighbours:.1%} of your cases, independent letters are in 10%"
        return no("The letters of a sequence must be independent of one another", line)
    return Judged(1, True, "")


@check(
    on="one",
    judge=_random,
    tolerance=EXACT,
    shown="On sequences like yours the model gives {accuracy:.2%} right answers. Nineteen places for ten letters: at "
    "the end only {unique_letters_mean:.1f} letters are still unique, on average. And yet the answer is '?' in just "
    "{null_share_mean:.1%} of the cases. At which position is it most likely to be '?', and why there?",
)
def make_sequences(at):
    yield call(n=600, seed=0, seq_len=20)
    yield call("the same once more", n=600, seed=0, seq_len=20)
    yield call(n=600, seed=1, seq_len=20)
    yield call(n=50, seed=0, seq_len=7)


@cache
def small_alphabet(at: Bench) -> torch.Tensor:
    """Sequences of the ids 3 to 6 and 12, with one of them at position 0 as well."""
    ids = torch.tensor([3, 4, 5, 6, 12])
    return ids[torch.randint(0, 5, (60, 9), generator=at.generator("small alphabet"))]


@check(
    on="one",
    tolerance=EXACT,
    shown="Scored with your labels the model is right at {accuracy:.2%} of the positions, with a loss of "
    "{task_loss:.4f}. The answer is '?' in {null_share[2]:.1%} of the cases at position 2, and in {null_share[7]:.1%} "
    "at position 7. And in {own_letter_share:.1%} of the cases it is the very letter that has just come: then all the "
    "others must have gone in pairs. Would you expect the model to fail there?",
    claims=[
        claim("the label at position 0 is null_token")(
            lambda at, call, got: (got[:, 0] == call.args["null_token"]).all()
        ),
        claim("the label at position 1 is the character there")(
            lambda at, call, got: torch.equal(got[:, 1], call.args["tokens"][:, 1])
        ),
    ],
)
def first_unique_labels(at):
    yield call("200 random sequences", tokens=tokens(at, 200), null_token=10)
    examples = torch.cat([dataset.to_tokens("?acbba"), dataset.to_tokens("?cbcbc")])
    yield call("the two worked examples", tokens=examples, null_token=10)
    yield call("another alphabet, null_token 7", tokens=small_alphabet(at), null_token=7)


@check(
    on="one",
    tolerance=EXACT,
    shown="Counts and first positions: with these two you can sort every case into repeated, unique and absent "
    "letters, and the exercises on attribution do. Where the count of no letter is 1 the label is '?'. And the first "
    "positions matter to the model: at position 19 a unique letter's logit changes by {order_by_position[0]:+.2f} "
    "with each position that it stands later. Could a model solve the task without counting at all?",
    claims=[
        claim("at position p the counts sum to p")(
            lambda at, call, got: torch.equal(got[0].sum(-1)[0], torch.arange(got[0].shape[1]))
        ),
        claim("a count never falls")(lambda at, call, got: (got[0].diff(dim=1) >= 0).all()),
        claim("before a letter has come its first position is 99")(
            lambda at, call, got: ((got[1] == 99) == (got[1] > torch.arange(got[1].shape[1])[:, None])).all()
        ),
    ],
)
def occurrence_info(at):
    yield call("random sequences", tokens=tokens(at, 32))
    yield call("short ones", tokens=tokens(at, 5, "short", 6))


# -- circuits.py


@check(
    on=main,
    tolerance=SCALES,
    shown="Your table is the first LayerNorm: over a thousand sequences it never differs from the real scale. It runs "
    "from {ln0_range[0]:.2f} to {ln0_range[1]:.2f}, so the same embedding arrives at layer 0 almost twice as strong "
    "at one place as at another. Is that a detail, or does the model use it?",
    claims=[
        claim("the model's own first LayerNorm divides by these numbers")(
            lambda at, call, got: close(
                got[tokens(at), torch.arange(20)], run(at)[1]["blocks.0.ln1.hook_scale"][..., 0], 1e-4
            )
        ),
    ],
)
def ln0_scale_table(at):
    yield call(closed=("blocks.0", "blocks.1"), model=MODEL)


@check(
    on=main,
    tolerance=LOGITS,
    shown="With a constant in the final LayerNorm {freeze_final:.1%} of the answers stay as they were: one positive "
    "factor for all logits hardly ever changes the winner. With a constant in the first one it is {freeze_first:.1%}, "
    "in all three {freeze_all:.1%}. So the scale is no detail. Which part of layer 0 depends on it?",
)
def freeze_layernorm(at):
    order = ["first", "second", "final"]
    choices = [["first"], ["final"], order] if at.checkpoint.role == "shown" else [["second"], order[::-1]]
    for which in choices:
        yield call(model=MODEL, tokens=tokens(at), which=which)


@check(
    on=main,
    tolerance=SCORES,
    shown="In H0.2 a letter's score with itself reaches {qk_largest[2]:.1f}; in H0.0 and H0.1 no score of two letters "
    "is above {qk_largest[0]:.1f}. So one head compares letters, and the other two hardly look at them. At what do "
    "they look? Your table says nothing about positions.",
)
def token_qk(at):
    for head, scale in ((0, 0.3), (1, 0.3), (2, 0.45)):
        yield call(model=MODEL, head=head, ln_scale=scale)


@cache
def shares(at: Bench, label: str) -> torch.Tensor:
    """What each letter gives itself in each head, with the scale of the sequences of a call: [head, letter]."""
    made = detector_tokens(at)[label]
    scale = circuits.ln0_scale_table(at.model)[made, torch.arange(made.shape[1])][:, 1:].mean().item()
    tables = torch.stack([circuits.token_qk(at.model, head, scale) for head in range(3)])
    return tables.softmax(-1).diagonal(dim1=1, dim2=2)


@cache
def detector_tokens(at: Bench) -> dict[str, torch.Tensor]:
    """Random sequences, very short ones, and sequences of the two letters whose embeddings are longest."""
    letters = circuits.ln0_scale_table(at.model)[:10].mean(1).topk(2).indices
    only_two = torch.cat([tokens(at)[:, :1], letters[tokens(at)[:, 1:] % 2]], dim=1)
    return {"random": tokens(at), "short": tokens(at, 8, "short", 3), "two letters": only_two}


def clear_letters(at: Bench, request: Call, got: dict) -> dict:
    """The sets without the letters whose share comes within 1% of a threshold."""
    value = shares(at, request.label.partition(",")[0])
    near = [(value - bar).abs() < 0.01 * bar for bar in (request.args["hi"], request.args["lo"])]
    return {
        head: tuple({i for i in s if not (0 <= i < 10 and bad[head, i])} for s, bad in zip(sets, near, strict=True))
        for head, sets in got.items()
    }


@check(
    on=main,
    tolerance=EXACT,
    view=clear_letters,
    shown=lambda at: (
        f"On this checkpoint one head, H0.{at.fact('duplicate_head')}, finds the repeats of all "
        f"{at.fact('duplicate_count')} letters: there every letter keeps practically all of its attention for its own "
        f"kind. In the other two the highest share is {at.fact('self_share_elsewhere'):.0%}, and by the threshold "
        f"only '{''.join(at.fact('anti_letters'))}' is avoided anywhere. Run it on the sibling: there g and i have no "
        "detector. Whom do they look at instead?"
    ),
)
def l0_detectors(at):
    made = detector_tokens(at)
    yield call("random, the usual thresholds", model=MODEL, tokens=made["random"], hi=0.30, lo=0.04)
    yield call("short, hi=0.1, lo=0.08", model=MODEL, tokens=made["short"], hi=0.10, lo=0.08)
    here, there = shares(at, "two letters"), shares(at, "random")
    where = (
        (here - there).abs() * (here < 0.2)
    ).argmax()  # a threshold that only the right scale is on the right side of
    lo = (here.flatten()[where] + there.flatten()[where]).item() / 2
    yield call(f"two letters, hi=0.12, lo={lo:.4f}", model=MODEL, tokens=made["two letters"], hi=0.12, lo=lo)


@check(
    on=main,
    tolerance=SCORES,
    shown="Brought by the duplicate head, a letter of its own raises the score of H1.0 by {keys_own[0]:+.2f}, of H1.1 "
    "by {keys_own[1]:+.2f}, of H1.2 by {keys_own[2]:+.2f}; a letter of another head moves it by "
    "{keys_others[0]:+.2f}, {keys_others[1]:+.2f}, {keys_others[2]:+.2f}. So where layer 0 has found a repeat, the "
    "head of that letter is called. That is composition of keys, read off the weights. On the sibling ask H1.2, the "
    "head of g and i: who calls it?",
)
def virtual_keys(at):
    mean = run(at)[1]["blocks.1.attn.hook_q"][:, 19].mean(0)
    yield call("the mean queries at position 19", model=MODEL, queries=mean, scales=scales(at)[:2])
    made_up = torch.randn(3, 14, generator=at.generator("queries"))
    yield call("made-up queries, scales=(0.5, 0.7)", model=MODEL, queries=made_up, scales=(0.5, 0.7))


@check(
    on=main,
    tolerance=LOGITS,
    shown="By way of the duplicate head each letter's own head of layer 1 lowers it, by {ov_means[1]:.0f} on average "
    "if the attention were all there; by way of the other two it raises it, by {ov_means[2]:.0f}. The plain way "
    "counts for {ov_means[0]:.0f}. So whether a letter goes up or down depends on the road that it took. Who chooses "
    "the road?",
)
def virtual_ov(at):
    yield call("the mean scales", model=MODEL, scales=scales(at))
    yield call(model=MODEL, scales=(0.5, 0.7, 2.0))


# -- attribution.py


@check(
    on=main,
    tolerance=LOGITS,
    shown="Nine parts, and their sum is the logits, but for float noise. Without the biases it would miss by up to "
    "{component_error_no_biases:.0f}, with a constant final scale by up to {component_error_constant:.0f}. The heads "
    "of layer 1 spread the logits by {component_sizes[5]:.1f}, {component_sizes[6]:.1f} and {component_sizes[7]:.1f}, "
    "the three heads of layer 0 by {component_sizes[2]:.1f}, {component_sizes[3]:.1f} and {component_sizes[4]:.1f}. "
    "Is layer 0 of so little use?",
    claims=[
        claim("the nine components sum to the model's logits")(
            lambda at, call, got: close(got.sum(0), run(at, len(call.args["tokens"]), call.label)[0], 1e-2)
        ),
    ],
)
def component_logits(at):
    yield call("sequences", model=MODEL, tokens=tokens(at, 6))


@check(
    on=main,
    tolerance=LOGITS,
    shown="Once a letter has come twice, one head pushes it down: by {repeated_range[1]:.1f} logits for one letter, "
    "by {repeated_range[0]:.1f} for another, the rest between. For {clear_letters} of the ten letters a single head "
    "does at least 70% of the pushing; for the least clear one it does {responsible_share_min:.0%}. An attribution is "
    "not yet a cause: what happens if that head is gone?",
    claims=[
        claim("all three heads together push every repeated letter down")(
            lambda at, call, got: len(call.args["tokens"]) < 16 or (got.sum(0) < 0).all()
        ),
    ],
)
def duplicate_attribution(at):
    yield call("16 sequences", model=MODEL, tokens=tokens(at, 16))
    if at.checkpoint.role == "shown":
        short = tokens(at, 2, "short", 6)
        yield call("2 short sequences, where most letters never repeat", model=MODEL, tokens=short)


@cache
def undecided(at: Bench, label: str) -> torch.Tensor:
    """Letters whose two lowest attributions are nearly equal: whose head cannot be graded."""
    lowest = attributions(at, label).sort(0).values
    return (lowest[1] - lowest[0] < 0.05) | (lowest[0] >= 0)


@cache
def attributions(at: Bench, label: str) -> torch.Tensor:
    from solutions.first_unique_char.attribution import duplicate_attribution

    return duplicate_attribution(at.model, responsible_tokens(at)[label])


@cache
def responsible_tokens(at: Bench) -> dict[str, torch.Tensor]:
    letters = torch.arange(10)
    order = (
        letters[:, None] + torch.arange(11)
    ) % 10  # all ten letters, each row begins with another one, and it again
    again = torch.cat([torch.full((10, 1), dataset.NULL), order], dim=1)
    return {"random sequences": tokens(at, 16), "sequences like ?abcdefghija": again}


@check(
    on=main,
    tolerance=EXACT,
    view=lambda at, request, got: torch.where(undecided(at, request.label), -1, got),
    shown="H1.0 is responsible for '{responsible[0]}', H1.1 for '{responsible[1]}', H1.2 for '{responsible[2]}'. Two "
    "other definitions can be asked: the diagonals of your OV tables give '{ov_sets[0]}', '{ov_sets[1]}', "
    "'{ov_sets[2]}', and taking a head out raises most, among its repeated letters, '{causal_sets[0]}', "
    "'{causal_sets[1]}', '{causal_sets[2]}'. Where they disagree, which one would you believe?",
)
def responsible_heads(at):
    for label, made in responsible_tokens(at).items():
        yield call(label, model=MODEL, tokens=made)


@check(
    on=main,
    tolerance=LOGITS,
    shown="By what layer 1 has read from the duplicate head, a repeated letter moves by {path_duplicate[0]:.1f}, a "
    "unique one by {path_duplicate[1]:+.1f}, an absent one by {path_duplicate[2]:+.1f}. By the other two heads: "
    "{path_others[0]:+.1f}, {path_others[1]:+.1f}, {path_others[2]:+.1f}. These raise most what is repeated. So what "
    "do they tell: that a letter is unique, or that it is there at all?",
    claims=[
        claim("the six sources together are what the heads of layer 1 add to the logits")(
            lambda at, call, got: close(got.sum(0), _layer1(at, call), 1e-2)
        ),
    ],
)
def value_path_logits(at):
    yield call("sequences", model=MODEL, tokens=tokens(at, 6))


def _layer1(at: Bench, request: Call) -> torch.Tensor:
    kept = run(at, len(request.args["tokens"]), request.label)[1]
    written = torch.einsum("bphd,hdm->bpm", kept["blocks.1.attn.hook_z"], at.model.W_O[1])
    return written / kept["ln_final.hook_scale"] @ at.model.W_U


# -- ablation.py


@check(
    on="one",
    tolerance=LOGITS,
    shown="Your hook takes any head out, in either layer. Zeros and the mean are two different questions: without "
    "H0.1 the loss rises by {zero_ablation[1]:.1f} with zeros and by {mean_ablation[1]:.1f} with the mean. The zeros "
    "also take away what the head always says. Which of the two asks what the head knows?",
)
def head_ablation_hook(at):
    for layer, head, kind in ((0, 1, "mean"), (1, 2, "zero")):
        yield hooked(f"blocks.{layer}.attn.hook_z", tokens=tokens(at, 5), head=head, kind=kind)
    noise = torch.randn(4, 6, 3, 14, generator=at.generator("z"))
    for head, kind in ((0, "zero"), (2, "mean")):
        yield call(f"on made-up z, head={head}, kind={kind!r}", z=noise, hook=None, head=head, kind=kind)


@check(
    on=main,
    tolerance=LOSSES,
    shown="Every head is needed: with the mean in its place the loss rises by {mean_ablation[0]:.1f}, "
    "{mean_ablation[1]:.1f}, {mean_ablation[2]:.1f} for layer 0 and {mean_ablation[3]:.1f}, {mean_ablation[4]:.1f}, "
    "{mean_ablation[5]:.1f} for layer 1. At position 19 the duplicate head is missed most "
    "({mean_ablation_at_19[2]:.0f}, the next {mean_ablation_at_19[1]:.0f}). Where is it missed least?",
    claims=[
        claim("at position 0, where the head sees '?' alone, the batch mean changes nothing")(
            lambda at, call, got: call.args["kind"] == "zero" or close(got[:, :, 0], torch.zeros(2, 3), 1e-3)
        ),
    ],
)
def ablate_heads(at):
    if at.checkpoint.role == "shown":
        yield call("kind='mean'", model=MODEL, tokens=tokens(at), labels=labels(at), kind="mean")
        made_up = other_labels(at)
        yield call("kind='zero', labels at random", model=MODEL, tokens=tokens(at), labels=made_up, kind="zero")
    else:
        made_up = other_labels(at)
        yield call("kind='mean', labels at random", model=MODEL, tokens=tokens(at), labels=made_up, kind="mean")


@check(
    on=main,
    tolerance=LOGITS,
    shown="At position 1 there is nothing to compare with, and layer 0 has a way of its own there: it looks at "
    "itself, with {self_attention_at_1[0]:.0%} and {self_attention_at_1[1]:.0%} of the attention of two heads. "
    "Without that, {blocked_first:.0%} of the answers at position 1 are right, and of the later ones "
    "{blocked_first_later:.1%}. The same block at position 10 leaves {blocked_tenth:.1%} of the answers there right. "
    "Why do later answers need position 1?",
    claims=[
        claim("a block at a position changes nothing before it")(
            lambda at, call, got: close(_before(got, call), _before(run(at)[0], call), 1e-2)
        ),
    ],
)
def block_self_attention(at):
    for positions in ([1], [12, 5], [*range(1, 20)]):
        yield call(model=MODEL, tokens=tokens(at), positions=positions)


def _before(logits: torch.Tensor, request: Call) -> torch.Tensor:
    return logits[:, : min(request.args["positions"], default=20)]


@check(
    on=main,
    tolerance=LOSSES,
    shown="In layer 0 the duplicate head needs its queries ({mean_queries[2]:+.1f} with mean ones). In layer 1 no "
    "head seems to need them: {mean_queries[3]:+.2f}, {mean_queries[4]:+.2f}, {mean_queries[5]:+.2f}, while the keys "
    "cost {mean_keys[3]:+.1f}, {mean_keys[4]:+.1f}, {mean_keys[5]:+.1f}. So layer 1 asks the same whatever it stands "
    "on, and the keys decide. But take the queries of all three at once and the loss rises by {flat_queries:.2f}: is "
    "that still nothing, when the whole loss is {task_loss:.3f}?",
    claims=[
        claim("zero queries and zero keys do the same: all scores are 0 either way")(
            lambda at, call, got: call.args["kind"] == "mean" or close(got[0], got[1], 1e-3)
        ),
    ],
)
def ablate_qkv(at):
    if at.checkpoint.role == "shown":
        yield call("kind='mean'", model=MODEL, tokens=tokens(at), labels=labels(at), kind="mean")
    else:
        made_up = other_labels(at)
        yield call("kind='zero', labels at random", model=MODEL, tokens=tokens(at), labels=made_up, kind="zero")


@check(
    on=main,
    tolerance=LOSSES,
    shown="Cut off from layer 1's keys, layer 0 is missed by {cut_keys:.1f}, from its values by {cut_values:.1f}, "
    "from its queries by {cut_queries:.2f}, and on the direct way to the logits by {cut_direct:.2f}. Composition of "
    "keys and of values, both real, and hardly any of queries. The duplicate head's way into the keys alone is worth "
    "{cut_keys_duplicate:.1f}. Do other models trained on this task say the same?",
    claims=[
        claim("cut off from the keys, 'pos' is not missed: every sequence has the same positions")(
            lambda at, call, got: call.args["components"] != ["pos"] or got[1] > 0.9
        ),
    ],
)
def ablate_composition(at):
    if at.checkpoint.role == "shown":
        true = labels(at)
        for into, components in (("k", HEADS), ("q", ["H0.2", "H0.0"]), ("k", ["pos"])):
            yield call(model=MODEL, tokens=tokens(at), labels=true, into=into, components=components)
    else:
        made_up = other_labels(at)
        for into, components in (("q", HEADS), ("v", ["emb", "H0.0"])):
            yield call(model=MODEL, tokens=tokens(at), labels=made_up, into=into, components=components)


# -- explain.py


def wrong_answers(at: Bench, sequences: torch.Tensor) -> torch.Tensor:
    """How many of the model's 20 answers are wrong."""
    with torch.no_grad():
        said = at.model(sequences).argmax(-1)
    return (said != dataset.first_unique_labels(sequences)).sum(-1)


def _breaks(at: Bench, calls: list[Call], values: list[torch.Tensor]) -> Judged:
    """Run the model on what came back; very many sequences are right."""

    def no(headline: str, *lines: str) -> Judged:
        return Judged(0, False, headline, (*lines, f"on {at.checkpoint.described}"))

    (found,) = values
    if len(found) < 5:
        return no(f"At least five sequences are asked for, and you returned {len(found)}")
    found = found.long()
    if (found[:, 0] != dataset.NULL).any():
        return no("Every sequence begins with 10, the '?'")
    if found[:, 1:].min() < 0 or found[:, 1:].max() > 9:
        return no("After position 0 only letters come, the ids 0 to 9: the model has never seen a '?' there")
    if len(found.unique(dim=0)) < len(found):
        return no("Some of your sequences are the same one")
    wrong = wrong_answers(at, found)
    best = wrong.argmin()
    if wrong[best] < 3:
        line = f"{dataset.to_text(found[best])}: the model has {wrong[best]} of 20 answers wrong"
        return no(f"In {(wrong < 3).sum()} of your {len(found)} sequences fewer than 3 answers are wrong", line)
    worst = wrong.argmax()
    line = (
        f"{at.checkpoint.described} has {wrong[worst]} of 20 answers wrong on {dataset.to_text(found[worst])}: "
        f"the worst of {len(found)}"
    )
    return Judged(1, True, "", (line,))


@check(
    on=main,
    judge=_breaks,
    free=("tokens",),
    tolerance=EXACT,
    shown="Of random sequences {badly_wrong_random:.2%} have three wrong answers, and you found some that do. Look at "
    "them: do they have something in common? Let one letter take every place with probability 0.85, and "
    "{badly_wrong_flooded:.0%} of the sequences are as bad. The literature's adversarial sequence, "
    "?ggbbiihaggbigbigbig, is no trouble for this model ({published_adversary:.0%} right). What does each model fail "
    "at, and what does that say about its algorithm?",
)
def find_adversarial(at):
    yield call("24 random sequences to start from", model=MODEL, tokens=tokens(at, 24, "start"))


@check(
    tolerance=EXACT,
    shown="Four models, one task, three algorithms: this one and its sibling are A, one of the others is "
    "{algorithm@contrast_b}, one is {algorithm@contrast_c}. The last has no duplicate head and the lowest loss of all "
    "({task_loss@contrast_c:.5f}). All the published story is about family A. How many of its sentences are about the "
    "task, and how many about one seed?",
)
def family(at):
    number = 64 if at.checkpoint.role == "shown" else 24
    yield call(f"{number} random sequences", model=MODEL, tokens=tokens(at, number))
    if at.checkpoint.role == "shown":
        same = tokens(at, 1, "one").repeat(4, 1)
        yield call("the same sequence four times", model=MODEL, tokens=same)


@cache
def exam(at: Bench) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random and flooded sequences, what the model answers to both, and where it is wrong."""
    made = torch.cat([tokens(at, 80, "exam"), flooded(at, 160)])
    with torch.no_grad():
        said = at.model(made).argmax(-1)
    return made, said, said != dataset.first_unique_labels(made)


AGREEMENT, ERRORS = 0.92, 0.30  # what a pass needs
FULL = 0.975, 0.50  # what full marks need
COPY = 0.95


def _score(at: Bench, calls: list[Call], values: list[Any]) -> Judged:
    """Agreement with the model on random sequences, and on the errors that it makes on flooded ones."""
    _, said, wrong = exam(at)
    parts = values[0]
    for part, wanted in zip(parts, (80, 160), strict=True):
        if not isinstance(part, torch.Tensor) or part.shape != (wanted, 20, 11):
            shape = list(part.shape) if isinstance(part, torch.Tensor) else type(part).__name__
            return Judged(
                0, False, f"Your program gave {shape} for tokens of shape [{wanted}, 20]: [{wanted}, 20, 11] is asked"
            )
        if part.isnan().any():
            return Judged(0, False, "Your program's scores hold NaN")
    agree = (torch.cat([part.argmax(-1) for part in parts]) == said)[:, 1:]
    wrong = wrong[:, 1:]
    agreement = agree[:80].double().mean().item()
    errors = agree[80:][wrong[80:]].double().mean().item() if wrong[80:].any() else FULL[1]
    first, _, third = at.fact("milestone")
    lines = [
        f"{at.checkpoint.described}: your program agrees with {agreement:.1%} of its answers to random sequences, and "
        f"with {errors:.0%} of its {wrong[80:].sum()} wrong answers to flooded ones",
        f"the published simplification, every LayerNorm a constant: {first:.1%} and {third:.0%}",
    ]

    def no(headline: str) -> Judged:
        return Judged(0, False, headline, tuple(lines))

    if errors > COPY:
        return no(
            f"Your program makes {errors:.0%} of the model's own mistakes: that is the forward pass itself. Leave out "
            "what you think does not matter, and see whether you are right"
        )
    if agreement < AGREEMENT:
        return no(
            f"Your program and the model disagree too often on random sequences: a pass needs {AGREEMENT:.0%} agreement"
        )
    if errors < ERRORS:
        return no(
            f"Your program does not foresee the model's mistakes: a pass needs {ERRORS:.0%} of those on flooded "
            "sequences"
        )
    score = 0.5 + 0.5 * min(1, (agreement - AGREEMENT) / (FULL[0] - AGREEMENT), (errors - ERRORS) / (FULL[1] - ERRORS))
    if score < 1:
        lines.append(f"full marks from {FULL[0]:.1%} and {FULL[1]:.0%}: what does your program still leave out?")
    return Judged(score, True, "", tuple(lines))


@check(
    on=main,
    judge=_score,
    tolerance=Tolerance(atol=0.5, rtol=0, fraction=4e-3),  # only to tell known programs apart: near ties may flip
    view=lambda at, request, got: [part.argmax(-1) for part in got],
    shown="A program that solves the task agrees with {marks_of_the_task[0]:.2%} of this model's answers to random "
    "sequences, and foresees none of its mistakes: yours does. The published simplification, a constant for every "
    "LayerNorm, gets {milestone[0]:.1%} and {milestone[2]:.0%}. With layer 0 looked up in tables and one scale looked "
    "up for layer 1 it is {marks_of_tables[0]:.1%} and {marks_of_tables[2]:.0%}. What is the least that you can keep?",
)
def explain(at):
    made, _, _ = exam(at)
    yield call(model=MODEL, then=({"tokens": made[:80]}, {"tokens": made[80:]}))
