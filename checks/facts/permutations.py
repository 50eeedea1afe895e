"""Facts about the permutations checkpoints: every figure that the texts quote, and the thresholds they rest on.

Unless a fact says otherwise it is measured on the same sequences for every checkpoint of one n: 8 of n = 5 or
64 of n = 4, with letters that no donor shares. "Letter rows" are rows whose next token is a letter of the second
term or a later one.
"""

import math
from collections.abc import Callable
from functools import cache, cached_property

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from checks.mistakes.permutations import latest_source_only, of_the_current_token
from checks.test_permutations import agreement, first_term, letter_rows, n_of
from checks.variants.permutations import letters_in_the_keys
from kata.checking import Bench, fact
from solutions.permutations import ablation, attribution, circuits, dataset, explain

NOTEBOOK = "a published notebook on this task, an answer to one of N. Nanda's 200 concrete open problems"
HEAD = "blocks.0.attn.hook_"
LN1_SCALE, FINAL_SCALE = "blocks.0.ln1.hook_scale", "ln_final.hook_scale"


def only(variant: str) -> Callable:
    return lambda checkpoint: checkpoint.variant == variant


def drawn(number: int, size: int, seed: int) -> Tensor:
    """Rows of `size` different letters, in random order."""
    return 3 + torch.rand(number, 62, generator=torch.Generator().manual_seed(seed)).argsort(dim=-1)[:, :size]


def sorted_sequences(number: int, n: int, seed: int) -> Tensor:
    return dataset.build_batch(drawn(number, n, seed).sort(dim=-1).values)


def right(logits: Tensor, tokens: Tensor, rows: Tensor) -> float:
    """Share of these rows whose largest logit is the next token's."""
    return (logits[:, :-1].argmax(-1) == tokens[:, 1:])[:, rows[:-1]].double().mean().item()


def in_parts(function: Callable[[Tensor], Tensor], tokens: Tensor, size: int) -> Tensor:
    return torch.cat([function(part) for part in tokens.split(size)])


class Run:
    """The model on the evaluation sequences, and what many facts need from it."""

    def __init__(self, at: Bench):
        self.model, self.n = at.model, n_of(at)
        number = 8 if self.n == 5 else 64
        chars = drawn(number, 2 * self.n, 777)
        self.tokens = dataset.build_batch(chars[:, : self.n].sort(dim=-1).values)
        self.donor = dataset.build_batch(chars[:, self.n :].sort(dim=-1).values)
        self.reference = sorted_sequences(32 if self.n == 5 else 128, self.n, 778)
        self.table = dataset.lookup_table(self.n)
        self.wanted = torch.cat([self.table[1:], torch.tensor([-1])])
        self.letters = letter_rows(self.n)
        self.spaces = self.wanted == self.n
        self.spaces[: self.n + 1] = False
        self.stop = self.wanted == self.n + 2
        self.allowed = circuits.admissible_sources(self.n)
        names = [HEAD + part for part in ("q", "k", "v", "z", "pattern")] + [LN1_SCALE, FINAL_SCALE]
        self.logits, kept = self.model.run_with_cache(self.tokens, names_filter=names)
        self.q, self.k, self.v, self.z = (kept[HEAD + part][:, :, 0] for part in "qkvz")
        self.pattern = kept[HEAD + "pattern"][:, 0]
        self.ln1_scale, self.final_scale = kept[LN1_SCALE], kept[FINAL_SCALE]

    def right(self, logits: Tensor, rows: Tensor | None = None, tokens: Tensor | None = None) -> float:
        return right(logits, self.tokens if tokens is None else tokens, self.letters if rows is None else rows)

    def hooked(self, part: str, value: Tensor) -> Tensor:
        return self.model.run_with_hooks(
            self.tokens, fwd_hooks=[(HEAD + part, lambda x, hook: value.expand_as(x).to(x.dtype))]
        )

    def restricted(self, allowed: Tensor) -> Tensor:
        return ablation.restrict_sources(self.model, self.tokens, allowed)

    def apart(self, pattern: Tensor) -> float:
        """Mean total variation between a pattern and the real one, on letter rows."""
        return (pattern - self.pattern).abs().sum(-1)[..., self.letters].mean().item() / 2

    def leads(self, part: Tensor) -> Tensor:
        """What a part of the residual stream adds to the next token's logit, more than to the average other one."""
        centred = (part - part.mean(-1, keepdim=True)) * self.model.ln_final.weight / self.final_scale
        every = (centred @ self.model.W_U)[:, :-1]
        target = every.gather(-1, self.tokens[:, 1:, None])[..., 0]
        return target - (every.sum(-1) - target) / 64

    def share(self, part: Tensor) -> Tensor:
        """ln1's output for one share of its input, without the bias."""
        return (part - part.mean(-1, keepdim=True)) / self.ln1_scale * self.model.blocks[0].ln1.weight

    @cached_property
    def first_source(self) -> Tensor:
        return one_hot(self.allowed.double().argmax(1), len(self.table)) * self.allowed

    @cached_property
    def even(self) -> Tensor:
        return self.allowed / self.allowed.sum(-1, keepdim=True).clamp(min=1)

    @cached_property
    def strength(self) -> Tensor:
        return explain.key_strength(self.model, self.tokens, self.n)

    @cached_property
    def strength_pattern(self) -> Tensor:
        scores = self.strength.expand(len(self.table), -1).masked_fill(~self.allowed, -math.inf)
        return scores.softmax(-1).nan_to_num()

    @cached_property
    def ov(self) -> Tensor:
        return circuits.ov_circuit(self.model)

    @cached_property
    def ablated(self) -> dict[str, Tensor]:
        return {m: ablation.ablate_head(self.model, self.tokens, m, self.reference) for m in ("zero", "mean")}

    def transplanted(self, part: str) -> list[float]:
        logits = ablation.transplant(self.model, self.tokens, self.donor, part)
        return [self.right(logits), self.right(logits, tokens=self.donor)]


@cache
@torch.no_grad()
def run(at: Bench) -> Run:
    return Run(at)


@cache
@torch.no_grad()
def fresh(at: Bench) -> tuple[float, float, float, float]:
    """Loss, accuracy, accuracy over all rows, smallest margin, on 200 fresh sequences."""
    n, losses, hits, everything, margins = n_of(at), [], [], [], []
    for tokens in sorted_sequences(200, n, 779).split(8 if n == 5 else 50):
        logits = at.model(tokens)
        loss, accuracy = dataset.scored_metrics(logits, tokens, n)
        losses.append(loss.item())
        hits.append(accuracy.item())
        everything.append(right(logits, tokens, torch.ones(tokens.shape[1], dtype=torch.bool)))
        scored = logits[:, n + 1 : -1]
        truth = scored.gather(-1, tokens[:, n + 2 :, None])
        others = scored.scatter(-1, tokens[:, n + 2 :, None], -math.inf).max(-1).values
        margins.append((truth[..., 0] - others).min().item())
    return sum(losses) / len(losses), sum(hits) / len(hits), sum(everything) / len(everything), min(margins)


# -- the task


@fact(
    "tokens of a sequence: (n+1)! + 2",
    published="722 (n = 5), 122 (n = 4)",
    source=NOTEBOOK,
    uses=("lookup_table",),
)
def sequence_length(at):
    return len(dataset.lookup_table(n_of(at)))


@fact("rows whose next token can be known", uses=("scored_metrics",))
def scored_rows(at):
    return sequence_length.compute(at) - n_of(at) - 2


@fact(
    "scored rows among all rows: the accuracy, over all rows, of a model that only fails where nobody can know",
    published=0.9916845560,
    source=NOTEBOOK,
    uses=("scored_metrics",),
    on=only("n5"),
)
def scored_share(at):
    return scored_rows.compute(at) / (sequence_length.compute(at) - 1)


@fact("(row, source) cells from which the next token can be copied", uses=("admissible_sources",))
def admissible_cells(at):
    return run(at).allowed.sum().item()


@fact("mean number of right sources of a scored row", uses=("admissible_sources",))
def mean_sources(at):
    return run(at).allowed[n_of(at) + 1 :].sum().item() / scored_rows.compute(at)


@fact(
    "share of right sources among all positions that a letter row can see: what even attention would reach",
    uses=("admissible_sources",),
)
def uniform_mass(at):
    at = run(at)
    return (at.allowed / torch.arange(1, len(at.table) + 1)[:, None]).sum(1)[at.letters].mean().item()


@fact("parameters that are trained")
def parameters(at):
    return sum(p.numel() for name, p in at.model.state_dict().items() if name != "unembed.bias")


@fact(
    "the constant distance (row minus source) that reaches a right source in most scored rows, and in how many",
    uses=("admissible_sources",),
)
def best_offset(at):
    scored = run(at).allowed[n_of(at) + 1 :]
    hits = [run(at).allowed.diagonal(-back).sum().item() for back in range(1, len(run(at).table))]
    return [1 + hits.index(max(hits)), max(hits) / (len(scored) - 1)]


# -- how well the model does


@fact(
    "mean cross-entropy in nats over the scored rows of 200 fresh sequences", bounds=(0, 5e-5), uses=("scored_metrics",)
)
def loss(at):
    return fresh(at)[0]


@fact("share of the scored rows of 200 fresh sequences that are right", bounds=(0.999, 1), uses=("scored_metrics",))
def accuracy(at):
    return fresh(at)[1]


@fact("the same, over all rows", bounds=(0.96, 0.9940), published=0.9916845560, source=NOTEBOOK)
def accuracy_all_rows(at):
    return fresh(at)[2]


@fact("whether row 0, which is never trained, happens to foretell the space at position 1")
def row_0_right(at):
    return float(run(at).logits[0, 0].argmax() == dataset.SPACE)


@fact("smallest lead of the right logit over the next best on the scored rows of 200 sequences", bounds=(8, 30))
def smallest_margin(at):
    return fresh(at)[3]


# -- circuits


@fact("letters whose own column is the largest of their row in the OV table", bounds=(0.98, 1), uses=("ov_circuit",))
def ov_row_top(at):
    return (run(at).ov[3:].argmax(-1) == torch.arange(3, 65)).double().mean().item()


@fact("mean of the OV table's diagonal over the letters", bounds=(0.4, 0.9), uses=("ov_circuit",))
def ov_diagonal_mean(at):
    return run(at).ov[3:, 3:].diag().mean().item()


@fact("smallest entry of the OV table's diagonal over the letters", bounds=(0.4, 0.9), uses=("ov_circuit",))
def ov_diagonal_min(at):
    return run(at).ov[3:, 3:].diag().min().item()


@fact("largest entry of the OV table beside the diagonal, letters only", bounds=(0, 0.2), uses=("ov_circuit",))
def ov_off_max(at):
    return run(at).ov[3:, 3:].clone().fill_diagonal_(-math.inf).max().item()


@fact("copying score of the OV table", bounds=(0.99, 1), uses=("ov_circuit", "copying_score"))
def copying(at):
    return circuits.copying_score(run(at).ov)


@fact("eigenvalues of the OV table, letters only, whose real part is positive", uses=("ov_circuit",))
def ov_positive(at):
    return (torch.linalg.eigvals(run(at).ov[3:, 3:]).real > 0).double().mean().item()


@fact("copying score over all 65 tokens", bounds=(0.99, 1), uses=("ov_circuit",))
def copying_all_tokens(at):
    values = torch.linalg.eigvals(run(at).ov)
    return (values.real.sum() / values.abs().sum()).item()


@fact(
    "copying score of a table that sends every letter to itself and, half as strongly, to the two that follow",
    uses=("copying_score",),
    on=lambda c: c.name == "n5_shown",
)
def copying_of_a_mixture(at):
    eye = torch.eye(62)
    table = torch.zeros(65, 65)
    table[3:, 3:] = eye + 0.5 * eye.roll(1, 1) + 0.5 * eye.roll(2, 1)
    return circuits.copying_score(table)


@fact("copying score of W_E W_U, which goes round the head", bounds=(-0.3, 0.3), uses=("copying_score",))
def copying_direct(at):
    model = at.model
    return circuits.copying_score((model.W_E - model.W_E.mean(-1, keepdim=True)) * model.ln_final.weight @ model.W_U)


@fact(
    "attention of letter rows on right sources in the pattern from positions alone",
    bounds=(0.95, 1),
    uses=("positional_pattern",),
)
def positional_mass(at):
    return (circuits.positional_pattern(at.model) * run(at).allowed).sum(-1)[run(at).letters].mean().item()


@fact(
    "letter rows whose top source is right in the pattern from positions alone",
    bounds=(0.95, 1),
    uses=("positional_pattern",),
)
def positional_top(at):
    top = circuits.positional_pattern(at.model).argmax(-1)
    return run(at).allowed.gather(1, top[:, None])[run(at).letters].double().mean().item()


@fact(
    "total variation between the pattern from positions alone and the real one, on letter rows",
    uses=("positional_pattern",),
)
def positional_tv(at):
    return run(at).apart(circuits.positional_pattern(at.model))


@fact("attention of letter rows on right sources without LayerNorm, from positions alone")
def positional_mass_without_ln(at):
    model = at.model
    scores = (model.W_pos @ model.W_Q[0, 0] + model.b_Q[0, 0]) @ (model.W_pos @ model.W_K[0, 0] + model.b_K[0, 0]).T
    future = torch.ones_like(scores, dtype=torch.bool).triu(1)
    pattern = (scores / model.cfg.d_head**0.5).masked_fill(future, -math.inf).softmax(-1)
    return (pattern * run(at).allowed).sum(-1)[run(at).letters].mean().item()


@fact(
    "total variation between the pattern without letter identity and the real one, on letter rows",
    bounds=(0, 0.15),
    uses=("identity_free_pattern",),
)
def identity_free_tv(at):
    return run(at).apart(_identity_free(at))


@cache
@torch.no_grad()
def _identity_free(at):
    return circuits.identity_free_pattern(at.model, run(at).tokens)


@fact(
    "scored accuracy of the model that is made to use the pattern without letter identity",
    bounds=(0.99, 1),
    uses=("identity_free_pattern",),
)
def identity_free_accuracy(at):
    logits = run(at).hooked("pattern", _identity_free(at)[:, None])
    return dataset.scored_metrics(logits, run(at).tokens, n_of(at))[1].item()


# -- attribution


@cache
@torch.no_grad()
def _mass(at):
    return attribution.attention_on_admissible(at.model, run(at).tokens, n_of(at))


@fact("attention of letter rows on right sources", bounds=(0.97, 1), uses=("attention_on_admissible",))
def admissible_mass(at):
    return _mass(at)[run(at).letters].mean().item()


@fact("the same in the worst row", bounds=(0.85, 1), uses=("attention_on_admissible",))
def admissible_mass_min(at):
    return _mass(at)[run(at).letters].min().item()


@fact("attention on earlier spaces of the rows that a space follows", uses=("attention_on_admissible",))
def admissible_mass_spaces(at):
    return _mass(at)[run(at).spaces].mean().item()


@fact("attention of the rows that a space follows on `>`")
def start_mass_spaces(at):
    return run(at).pattern[:, run(at).spaces, 0].mean().item()


@fact("attention of letter rows on positions that hold the index which stands at the row itself", bounds=(0, 0.02))
def mass_on_current(at):
    same = of_the_current_token.function(n_of(at))
    return (run(at).pattern * same).sum(-1)[:, run(at).letters].mean().item()


@fact("attention of letter rows on positions 0 to 15")
def mass_to_15(at):
    return run(at).pattern[:, run(at).letters, :16].sum(-1).mean().item()


@fact("what it would be if all right sources were attended to alike")
def mass_to_15_even(at):
    return run(at).even[run(at).letters, :16].sum(-1).mean().item()


@fact("sources that a letter row draws on: exp of the entropy of its attention")
def effective_sources(at):
    pattern = run(at).pattern[:, run(at).letters]
    return (-(pattern * pattern.clamp(min=1e-30).log()).sum(-1)).exp().mean().item()


@fact("letter rows that attend most to their first right source")
def top_is_first(at):
    first = run(at).first_source.argmax(-1)
    return (run(at).pattern.argmax(-1) == first)[:, run(at).letters].double().mean().item()


@cache
@torch.no_grad()
def _tops(at):
    """Top source of every letter row of the mean pattern: positions and how many rows each has, most first."""
    tops = run(at).pattern.mean(0).argmax(-1)[run(at).letters]
    values, counts = tops.unique(return_counts=True)
    order = counts.argsort(descending=True)
    return values[order], counts[order] / len(tops)


@fact("different top sources of all letter rows together")
def distinct_tops(at):
    return len(_tops(at)[0])


@fact("the five most used top sources, as (position, index, share of letter rows)")
def top_sources(at):
    where, share = _tops(at)
    return [[p.item(), run(at).table[p].item(), s.item()] for p, s in zip(where[:5], share[:5], strict=True)]


@fact("share of letter rows whose top source is one of the five most used")
def top_five(at):
    return _tops(at)[1][:5].sum().item()


@fact("attention of row 19 on position 14 (the next token has index 1)", published=0.99, source=NOTEBOOK, on=only("n4"))
def row_19_source_14(at):
    return run(at).pattern[:, 19, 14].mean().item()


@fact("attention of row 19 on position 3 (the next token has index 1)", on=only("n4"))
def row_19_source_3(at):
    return run(at).pattern[:, 19, 3].mean().item()


@fact("attention of row 20 (a space comes next) on positions 0, 1 and 16", on=only("n4"))
def row_20_sources(at):
    return run(at).pattern[:, 20, [0, 1, 16]].mean(0).tolist()


@cache
@torch.no_grad()
def _leads(at):
    """Leads of attention, token embedding and position embedding, averaged over letter, space and stop rows."""
    r = run(at)
    parts = [r.z @ r.model.W_O[0, 0], r.model.W_E[r.tokens], r.model.W_pos.expand(len(r.tokens), -1, -1)]
    return [[r.leads(p)[:, rows[:-1]].mean().item() for rows in (r.letters, r.spaces, r.stop)] for p in parts]


@fact(
    "lead of the right letter over the other tokens that the head gives, in logits",
    bounds=(12, 22),
    uses=("logit_attribution",),
)
def attn_letters(at):
    return _leads(at)[0][0]


@fact("the same, from the token embedding", bounds=(-0.3, 0.3), uses=("logit_attribution",))
def token_letters(at):
    return _leads(at)[1][0]


@fact("the same, from the position embedding", bounds=(-0.3, 0.3), uses=("logit_attribution",))
def pos_letters(at):
    return _leads(at)[2][0]


@fact("lead of the space that the head gives", uses=("logit_attribution",))
def attn_spaces(at):
    return _leads(at)[0][1]


@fact("lead of the space from the position embedding", uses=("logit_attribution",))
def pos_spaces(at):
    return _leads(at)[2][1]


@fact("lead of the full stop that the head gives", uses=("logit_attribution",))
def attn_stop(at):
    return _leads(at)[0][2]


@fact("lead of the full stop from the position embedding", bounds=(4, 15), uses=("logit_attribution",))
def pos_stop(at):
    return _leads(at)[2][2]


@fact(
    "share of the head's part in the right letter's logit that comes from right sources",
    bounds=(0.98, 1.02),
    uses=("source_attribution",),
)
def admissible_share(at):
    r = run(at)
    given = attribution.source_attribution(at.model, r.tokens[:4])[:, r.letters]
    return ((given * r.allowed[r.letters]).sum() / given.sum()).item()


# -- ablation


def _ablated(at, mode, rows):
    r = run(at)
    return r.right(r.ablated[mode], getattr(r, rows))


@fact("letters right with the head's z set to 0", bounds=(0, 0.1), uses=("ablate_head",))
def zero_letters(at):
    return _ablated(at, "zero", "letters")


@fact("spaces right with z set to 0", uses=("ablate_head",))
def zero_spaces(at):
    return _ablated(at, "zero", "spaces")


@fact("full stops right with z set to 0", bounds=(0.99, 1), uses=("ablate_head",))
def zero_stop(at):
    return _ablated(at, "zero", "stop")


@fact("letters right with z set to its mean over other sequences", bounds=(0, 0.12), uses=("ablate_head",))
def mean_letters(at):
    return _ablated(at, "mean", "letters")


@fact("spaces right with z set to its mean over other sequences", bounds=(0.99, 1), uses=("ablate_head",))
def mean_spaces(at):
    return _ablated(at, "mean", "spaces")


@fact("full stops right with z set to its mean over other sequences", bounds=(0.99, 1), uses=("ablate_head",))
def mean_stop(at):
    return _ablated(at, "mean", "stop")


@fact(
    "letters right with z set to its mean over the very sequences (6 of them) that are ablated", uses=("ablate_head",)
)
def leaky_mean_letters(at):
    few = run(at).tokens[:6]
    return right(ablation.ablate_head(at.model, few, "mean", few), few, run(at).letters)


@fact("letters right with right sources alone", bounds=(0.99, 1), uses=("restrict_sources",))
def only_admissible(at):
    return run(at).right(run(at).restricted(run(at).allowed))


@fact("letters right without the right sources", bounds=(0, 0.01), uses=("restrict_sources",))
def without_admissible(at):
    return run(at).right(run(at).restricted(~run(at).allowed))


@fact(
    "letters from the third term on that are right with the first term hidden",
    bounds=(0.98, 1),
    uses=("restrict_sources",),
)
def without_first_term(at):
    allowed = torch.ones_like(run(at).allowed)
    allowed[:, 2 : 2 + n_of(at)] = False
    return run(at).right(run(at).restricted(allowed), letter_rows(n_of(at), first=2))


@fact(
    "letters right when the head sees nothing but the first term, `>` and the first space",
    bounds=(0.75, 1),
    uses=("restrict_sources",),
)
def only_first_term(at):
    allowed = torch.zeros_like(run(at).allowed)
    allowed[:, : 2 + n_of(at)] = True
    return run(at).right(run(at).restricted(allowed))


@fact("letters right when every row sees its last 6, 12, 24, 60 positions", uses=("restrict_sources",))
def last_positions(at):
    p = torch.arange(len(run(at).table))
    return [run(at).right(run(at).restricted(p[:, None] - p < width)) for width in (6, 12, 24, 60)]


@fact(
    "letters right when all attention goes to the most recent right source",
    bounds=(0.99, 1),
    uses=("restrict_sources",),
)
def only_latest(at):
    return run(at).right(run(at).restricted(latest_source_only.function(n_of(at))))


@fact("letters right when all attention goes to the first right source", bounds=(0.99, 1), uses=("restrict_sources",))
def only_first(at):
    return run(at).right(run(at).restricted(run(at).first_source.bool()))


@fact("letters right when the attention is spread evenly over the right sources", bounds=(0.99, 1))
def even_admissible(at):
    r = run(at)
    return r.right(r.hooked("pattern", torch.where(r.allowed.any(1)[:, None], r.even, r.pattern)[:, None]))


@fact("letters right when the attention is spread evenly over everything", bounds=(0, 0.4))
def even_everywhere(at):
    length = len(run(at).table)
    even = torch.ones(length, length).tril() / torch.arange(1, length + 1)[:, None]
    return run(at).right(run(at).hooked("pattern", even[None, None]))


@fact("letters right, and letters that are the donor's, with the donor's queries", bounds=(0, 1), uses=("transplant",))
def transplant_q(at):
    return run(at).transplanted("q")


@fact("letters right, and letters that are the donor's, with the donor's keys", uses=("transplant",))
def transplant_k(at):
    return run(at).transplanted("k")


@fact("letters right, and letters that are the donor's, with the donor's values", uses=("transplant",))
def transplant_v(at):
    return run(at).transplanted("v")


@fact("letters right, and letters that are the donor's, with the donor's pattern", uses=("transplant",))
def transplant_pattern(at):
    return run(at).transplanted("pattern")


@fact(
    "letters right with the donor's queries, keys or pattern (the least of the three)",
    bounds=(0.99, 1),
    uses=("transplant",),
)
def transplant_keeps(at):
    return min(run(at).transplanted(part)[0] for part in ("q", "k", "pattern"))


@fact("letters that are the donor's with its values", bounds=(0.99, 1), uses=("transplant",))
def transplant_moves(at):
    return run(at).transplanted("v")[1]


@cache
@torch.no_grad()
def _value_swaps(at):
    """Letters that are the donor's when its values stand at the top source alone, or at all right sources."""
    r = run(at)
    other = at.model.run_with_cache(r.donor, names_filter=HEAD + "v")[1][HEAD + "v"][:, :, 0]
    change = other - r.v
    top = r.pattern.argmax(-1, keepdim=True)
    moved = r.pattern.gather(-1, top) * change.gather(1, top.expand(-1, -1, change.shape[-1]))
    swaps = (moved, (r.pattern * r.allowed) @ change, (r.pattern * ~r.allowed) @ change)
    return [r.right(r.hooked("z", (r.z + swap)[:, :, None]), tokens=r.donor) for swap in swaps]


@fact("letters that are the donor's when its value stands at each row's top source alone", uses=("transplant",))
def value_at_top(at):
    return _value_swaps(at)[0]


@fact("letters that are the donor's when its values stand at all right sources", bounds=(0.99, 1))
def value_at_admissible(at):
    return _value_swaps(at)[1]


@fact("letters that are the donor's when its values stand at all other positions", bounds=(0, 0.01))
def value_at_others(at):
    return _value_swaps(at)[2]


@cache
@torch.no_grad()
def _values_of(at, part):
    r = run(at)
    model = at.model
    share = r.share(model.W_E[r.tokens] if part == "tokens" else model.W_pos.expand(len(r.tokens), -1, -1))
    values = (share + model.blocks[0].ln1.bias) @ model.W_V[0, 0] + model.b_V[0, 0]
    logits = r.hooked("v", values[:, :, None])
    return [r.right(logits), r.right(logits, r.stop)]


@fact("letters right with values from the tokens alone", bounds=(0.99, 1))
def token_values_letters(at):
    return _values_of(at, "tokens")[0]


@fact("full stops right with values from the tokens alone")
def token_values_stop(at):
    return _values_of(at, "tokens")[1]


@fact("letters right with values from the positions alone", bounds=(0, 0.1))
def position_values_letters(at):
    return _values_of(at, "positions")[0]


@fact("full stops right with values from the positions alone", bounds=(0.99, 1))
def position_values_stop(at):
    return _values_of(at, "positions")[1]


# -- explain


@fact(
    "share of the variance of the mean scores of right sources, within rows, that key strength explains",
    bounds=(0.88, 1),
    uses=("key_strength",),
)
def strength_variance(at):
    r = run(at)
    scores = (r.q @ r.k.mT).mean(0) / at.model.cfg.d_head**0.5
    mask = (r.allowed & r.letters[:, None]).float()

    def within(table):
        return (table - (table * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)) * mask

    left = within(scores) - within(r.strength.expand_as(scores))
    return 1 - (left.pow(2).sum() / within(scores).pow(2).sum()).item()


@fact(
    "total variation between softmax of key strength over the right sources and the real pattern, on letter rows",
    bounds=(0, 0.30),
    uses=("key_strength",),
)
def strength_tv(at):
    return run(at).apart(run(at).strength_pattern)


@fact("the same for attention spread evenly over the right sources", bounds=(0.4, 1))
def uniform_tv(at):
    return run(at).apart(run(at).even)


@fact("the same for the first right source alone", bounds=(0.4, 1))
def first_tv(at):
    return run(at).apart(run(at).first_source)


@fact(
    "positions whose strength is larger than that of every earlier position with the same index",
    uses=("key_strength",),
)
def strength_records(at):
    r = run(at)
    same = (r.table[:, None] == r.table).tril(-1) & (r.table < r.n)
    best = r.strength.masked_fill(r.table >= r.n, -math.inf)
    records = best > torch.where(same, best, -math.inf).max(1).values
    used = (r.allowed & r.letters[:, None]).any(0)
    return (records & used).sum().item()


@fact("letter rows whose top source is that of key strength", uses=("key_strength",))
def strength_top(at):
    r = run(at)
    return (r.strength_pattern.argmax(-1) == r.pattern.argmax(-1))[:, r.letters].double().mean().item()


@fact(
    "correlation of key strength with log(length / (position + 1)): how much early positions are preferred",
    uses=("key_strength",),
)
def strength_earliness(at):
    r = run(at)
    used = (r.allowed & r.letters[:, None]).any(0)
    early = torch.log(len(r.table) / (torch.arange(len(r.table)) + 1.0))
    return torch.corrcoef(torch.stack([r.strength[used], early[used]]))[0, 1].item()


@cache
@torch.no_grad()
def _preference(at):
    return explain.alphabet_preference(at.model, run(at).tokens, n_of(at))


def _rank_correlation(row):
    return torch.corrcoef(torch.stack([row, torch.arange(62.0)]))[0, 1].item()


@fact(
    "correlation of the preference of index-0 rows with a letter's place in the vocabulary",
    bounds=(-1, -0.4),
    uses=("alphabet_preference",),
)
def alphabet_first(at):
    return _rank_correlation(_preference(at)[0])


@fact("the same for rows that want the last index", bounds=(0.4, 1), uses=("alphabet_preference",))
def alphabet_last(at):
    return _rank_correlation(_preference(at)[-1])


@fact(
    "mean preference of index-0 rows for the first ten and the last ten letters, in nats", uses=("alphabet_preference",)
)
def alphabet_ends(at):
    return [_preference(at)[0, :10].mean().item(), _preference(at)[0, -10:].mean().item()]


@cache
@torch.no_grad()
def _unsorted(at):
    """Letters right on 72 first terms in random order: as the model is, and with letter-blind keys."""
    r, model = run(at), at.model
    plain, mended = [], []
    for tokens in dataset.build_batch(drawn(72, r.n, 780)).split(6 if r.n == 5 else 24):
        logits, kept = model.run_with_cache(tokens, names_filter=[LN1_SCALE])
        plain.append(right(logits, tokens, r.letters))
        blank = model.W_E.clone()
        blank[3:] = blank[3:].mean(0)
        resid = blank[tokens] + model.W_pos
        normed = (resid - resid.mean(-1, keepdim=True)) / kept[LN1_SCALE] * model.blocks[0].ln1.weight
        keys = (normed + model.blocks[0].ln1.bias) @ model.W_K[0, 0] + model.b_K[0, 0]
        logits = model.run_with_hooks(tokens, fwd_hooks=[(HEAD + "k", lambda x, hook, keys=keys: keys[:, :, None])])
        mended.append(right(logits, tokens, r.letters))
    return sum(plain) / len(plain), sum(mended) / len(mended)


@fact("letters right on first terms in random order", bounds=(0.96, 1))
def unsorted_letters(at):
    return _unsorted(at)[0]


@fact("the same with keys that do not know which letter is which", bounds=(0.999, 1))
def unsorted_repaired(at):
    return _unsorted(at)[1]


@cache
@torch.no_grad()
def _duplicates(at):
    n = n_of(at)
    made = []
    for places in ((1, 0), (1, 0, 3, 2), tuple(x for i in range(1, n) for x in (i, 0))):
        chars = drawn(12, n, 781).sort(dim=-1).values
        for to, source in zip(places[::2], places[1::2], strict=True):
            chars[:, to] = chars[:, source]
        tokens = dataset.build_batch(chars)
        logits = in_parts(at.model, tokens, 6 if n == 5 else 12)
        made.append(dataset.scored_metrics(logits, tokens, n)[1].item())
    return made


@fact(
    "scored accuracy on 12 sequences with two equal letters, with two pairs, with all letters equal",
    bounds=(0.999, 1),
    uses=("build_batch", "scored_metrics"),
)
def duplicates(at):
    return _duplicates(at)


@cache
@torch.no_grad()
def _ghg4(at):
    """The prompt of the literature: accuracy, and the share of answers that the table of n = 5 or 4 allows."""
    prompt = dataset.build_batch(dataset.to_tokens("ghg4")[None])
    logits = at.model(prompt)
    answers, text = logits[0].argmax(-1), prompt[0]
    allowed = []
    for n in (5, 4):
        table = dataset.lookup_table(n)[: len(text)]
        hits = [answers[p] in text[: p + 1][table[: p + 1] == table[p + 1]] for p in range(5, len(text) - 1)]
        allowed.append(sum(hits) / len(hits))
    return [dataset.scored_metrics(logits, prompt, 4)[1].item(), *allowed]


@fact(
    "scored accuracy on the list of `ghg4`, four characters of which two are equal",
    published=0.310,
    source=NOTEBOOK + "; there the model had been trained on five characters",
)
def ghg4_accuracy(at):
    return _ghg4(at)[0]


@fact(
    "answers on the list of `ghg4` that stand where the table of n = 5 allows them, and where that of n = 4 does",
    on=only("n5"),
)
def ghg4_allowed(at):
    return _ghg4(at)[1:]


@fact("scored accuracy on 12 sequences of n = 2, 3, 4", on=only("n5"), bounds=(0, 0.5))
def other_lengths(at):
    made = []
    for n in (2, 3, 4):
        tokens = sorted_sequences(12, n, 782)
        made.append(dataset.scored_metrics(at.model(tokens), tokens, n)[1].item())
    return made


@cache
@torch.no_grad()
def _programs(at):
    """Agreement with the model on scrambled letters of programs of growing knowledge."""
    r, model, n = run(at), at.model, n_of(at)
    made = torch.Generator().manual_seed(783)
    plain = r.tokens
    tokens = torch.where(plain >= 3, torch.randint(3, 65, plain.shape, generator=made), plain)
    answers = model(tokens).argmax(-1)

    def vote(weights):
        return (weights.float().expand(len(tokens), -1, -1) @ one_hot(tokens, 65).float()).argmax(-1)

    said = {
        "latest": tokens[:, latest_source_only.function(n).float().argmax(1)],
        "even": vote(r.allowed),
        "first_term": first_term(tokens, n),
        "strength": vote(r.strength_pattern),
        "position": vote(circuits.positional_pattern(model) * r.allowed),
        "class": vote(circuits.identity_free_pattern(model, tokens) * r.allowed),
        "key_letters": letters_in_the_keys.function(model, tokens, n),
        "solution": explain.predict_copy(model, tokens, n),
    }
    return {name: agreement(answer, answers, n) for name, answer in said.items()}


@fact(
    "agreement with the model on scrambled letters: copy the most recent right source",
    bounds=(0, 0.15),
    uses=("predict_copy",),
)
def program_latest(at):
    return _programs(at)["latest"]


@fact("the same: all right sources vote alike", bounds=(0, 0.3), uses=("predict_copy",))
def program_even(at):
    return _programs(at)["even"]


@fact("the same: copy from the first term", bounds=(0, 0.7), uses=("predict_copy",))
def program_first_term(at):
    return _programs(at)["first_term"]


@fact("the same: vote by key strength", uses=("predict_copy", "key_strength"))
def program_strength(at):
    return _programs(at)["strength"]


@fact("the same: vote by the pattern from positions alone", uses=("predict_copy", "positional_pattern"))
def program_position(at):
    return _programs(at)["position"]


@fact("the same: vote by positions and token class", uses=("predict_copy", "identity_free_pattern"))
def program_class(at):
    return _programs(at)["class"]


@fact("the same, and the keys know their letters", bounds=(0.78, 1), uses=("predict_copy",))
def program_key_letters(at):
    return _programs(at)["key_letters"]


@fact("the same: the solution, all that the scores hold", bounds=(0.88, 1), uses=("predict_copy",))
def program_solution(at):
    return _programs(at)["solution"]


@fact("letters of clean lists that the solution's program foretells", bounds=(0.999, 1), uses=("predict_copy",))
def program_clean(at):
    r = run(at)
    said = explain.predict_copy(at.model, r.tokens, r.n)
    rows = letter_rows(r.n, first=2)[:-1]
    return (said[:, :-1] == r.tokens[:, 1:])[:, rows].double().mean().item()
