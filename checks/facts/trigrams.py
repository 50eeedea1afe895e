"""Facts of the trigrams set.

Published values are those of Will Snell, "Trigrams" (December 2024). His checkpoint has the same task and the same
architecture as ours, and other trigrams and weights.
"""

import math
from functools import cache

import torch

from checks.trigrams_data import natural, table, trigrams
from kata.checking import Bench, fact
from solutions.trigrams import ablation, attribution, circuits, explain

SNELL = "Will Snell, Trigrams (December 2024)"
COSINES = [
    1.0000001192092896, 1.0, 0.9999998807907104, 0.9999998807907104,
    0.9893388152122498, 0.9778618216514587, 0.9700286984443665, 0.9570831656455994,
    0.8961935639381409, 0.8844886422157288, 0.7993403673171997, 0.745817244052887,
    0.7342832088470459, 0.5622190237045288, 0.35370132327079773, 0.18341064453125,
]  # fmt: skip


# -- what several facts share


def pairs(at: Bench) -> torch.Tensor:
    return trigrams(at)[:, :2]


def thirds(at: Bench) -> torch.Tensor:
    return trigrams(at)[:, 2]


@cache
def data(at: Bench) -> torch.Tensor:
    return natural(at, 400, 50, "facts")


@cache
def required(at: Bench) -> torch.Tensor:
    from solutions.trigrams.dataset import required_next_token

    return required_next_token(data(at), table(at))


@cache
def logits(at: Bench) -> torch.Tensor:
    with torch.no_grad():
        return at.model(data(at))


@cache
def on_data(at: Bench, point: str) -> torch.Tensor:
    """An activation at every position of the data."""
    with torch.no_grad():
        return at.model.run_with_cache(data(at), names_filter=f"blocks.0.{point}")[1][f"blocks.0.{point}"]


@cache
def on_pairs(at: Bench, point: str) -> torch.Tensor:
    """An activation at the last position of the 277 two-token inputs."""
    with torch.no_grad():
        return at.model.run_with_cache(pairs(at), names_filter=f"blocks.0.{point}")[1][f"blocks.0.{point}"][:, -1]


@cache
def answers(at: Bench) -> torch.Tensor:
    """Which of the trigrams the model gets right."""
    with torch.no_grad():
        return at.model(pairs(at))[:, -1].argmax(-1) == thirds(at)


@cache
def attention(at: Bench) -> torch.Tensor:
    """A(a, b) of every trigram."""
    return circuits.previous_token_attention(at.model)[tuple(pairs(at).T)]


def detected(at: Bench) -> torch.Tensor:
    return attention(at) > 0.2


def by_mode(at: Bench, right: torch.Tensor) -> list[int]:
    """How many of the right answers are detected trigrams, and how many are not."""
    return [int((right & detected(at)).sum()), int((right & ~detected(at)).sum())]


@cache
def without_mlp(at: Bench) -> torch.Tensor:
    """The logits of every token after the 277 pairs, less their mean, without what the MLP writes: [n, d_vocab]."""
    d = at.model.cfg.d_vocab
    tokens, targets = pairs(at).repeat_interleave(d, dim=0), torch.arange(d).repeat(len(pairs(at)))
    parts = attribution.logit_parts(at.model, tokens, targets).unflatten(1, (-1, d))
    return parts[[0, 1, 2, 4]].sum(0)


@torch.no_grad()
def right_with(at: Bench, mlp: torch.Tensor) -> torch.Tensor:
    """Which trigrams are right if this stands in for the MLP's output."""
    directions = at.model.W_U - at.model.W_U.mean(-1, keepdim=True)
    return (without_mlp(at) + mlp @ directions).argmax(-1) == thirds(at)


@cache
def forced(at: Bench, share: float) -> torch.Tensor:
    """Which trigrams are right if the head gives this share to the previous token."""
    shares = torch.full((len(trigrams(at)),), share)
    return ablation.with_previous_attention(at.model, pairs(at), shares).argmax(-1) == thirds(at)


def mean(right: torch.Tensor) -> float:
    return right.double().mean().item()


# -- the data and the model


@fact("share of the third and later tokens that a trigram forces", bounds=(0.0440, 0.0498), uses=["sample_sequences"])
def forced_share(at):
    tokens = natural(at, 4000, 50, "share")
    return mean(table(at)[tokens[:, :-2], tokens[:, 1:-1]] >= 0)


@fact("the lowest loss that is possible: uniform where nothing is forced, 0 elsewhere; nats per token of natural data")
def loss_floor(at):
    return (1 - forced_share.compute(at) * 48 / 49) * math.log(at.model.cfg.d_vocab)


@fact("parameters", bounds=(9935, 9935))
def parameters(at):
    return sum(p.numel() for p in at.model.state_dict().values())


@fact("trigrams", bounds=(277, 277))
def trigram_count(at):
    return len(trigrams(at))


@fact("different second tokens among the trigrams", bounds=(70, 75))
def second_tokens(at):
    return len(trigrams(at)[:, 1].unique())


@fact("trigrams that begin with the same token twice", bounds=(1, 20))
def repeat_count(at):
    return int((trigrams(at)[:, 0] == trigrams(at)[:, 1]).sum())


@fact("the largest attention that a repeat (x, x, y) among the trigrams gets", bounds=(0, 0.2))
def repeat_attention(at):
    return attention(at)[trigrams(at)[:, 0] == trigrams(at)[:, 1]].max().item()


@fact("trigrams, as inputs of two tokens, whose third token is the model's first choice: share", bounds=(0.9, 1),
      published=0.9602888086642599, source=SNELL, uses=["accuracy_without_neurons"])  # fmt: skip
def model_accuracy(at):
    nothing = torch.zeros(at.model.cfg.d_mlp, dtype=torch.bool)
    return ablation.accuracy_without_neurons(at.model, trigrams(at), nothing)


@fact("the same as a number of trigrams", bounds=(250, 277), published=266, source="0.9603 of 277")
def right_count(at):
    return int(answers(at).sum())


@fact("mean probability of the third token")
@torch.no_grad()
def mean_probability(at):
    return at.model(pairs(at))[:, -1].softmax(-1).gather(1, thirds(at)[:, None]).mean().item()


@fact("accuracy where a trigram forces the next token, in sequences of 50, last position left out", bounds=(0.85, 1),
      uses=["required_next_token"])  # fmt: skip
def data_accuracy(at):
    wanted = required(at)[:, 1:49]
    return mean((logits(at)[:, 1:49].argmax(-1) == wanted)[wanted >= 0])


@fact("accuracy on the trigrams if they stand at the last two of 50 positions, which have no label in training",
      bounds=(0, 0.7))  # fmt: skip
@torch.no_grad()
def last_position_accuracy(at):
    tokens = natural(at, len(trigrams(at)), 50, "last").clone()
    tokens[:, -2:] = pairs(at)
    return mean(at.model(tokens)[:, -1].argmax(-1) == thirds(at))


def _losses(at: Bench, values: torch.Tensor) -> list[float]:
    tokens, ruled = data(at), required(at)[:, :-1] >= 0
    loss = -values[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    return [loss.mean().item(), loss[ruled].mean().item(), loss[~ruled].mean().item()]


@fact("loss on natural sequences, nats: all, after a pair of a trigram, elsewhere", bounds=(0, 4.4),
      uses=["required_next_token"])  # fmt: skip
def losses(at):
    return _losses(at, logits(at))


# -- the head


@cache
def _terms(at: Bench) -> torch.Tensor:
    return circuits.score_terms(at.model, data(at)[0])


@fact("the nine score terms: root mean square after each row's mean is taken out (rows: query part)",
      uses=["score_terms"])  # fmt: skip
def score_terms_rms(at):
    centred = _terms(at) - _terms(at).mean(-1, keepdim=True)
    return centred.square().mean((-1, -2)).sqrt()


@fact("how far the pattern is off if each bias is added in the token and in the position plot and the cross terms are "
      "left out, as published: largest error in 40 sequences", bounds=(0.3, 1), uses=["score_terms"])  # fmt: skip
def two_plots_error(at):
    worst = 0.0
    for tokens in data(at)[:40]:
        t = circuits.score_terms(at.model, tokens)
        plots = t[0, 0] + t[0, 2] + t[2, 0] + t[2, 2] + t[1, 1] + t[1, 2] + t[2, 1] + t[2, 2]
        future = torch.ones_like(plots, dtype=torch.bool).triu(1)
        ours, true = (x.masked_fill(future, -torch.inf).softmax(-1) for x in (plots, t.sum((0, 1))))
        worst = max(worst, (ours - true).abs().max().item())
    return worst


@fact("how the attention to the previous token is spread over the trigrams: numbers per tenth",
      uses=["previous_token_attention"])  # fmt: skip
def attention_histogram(at):
    return torch.histc(attention(at), 10, 0, 1).int()


@fact("trigrams with an attention between 0.1 and 0.3: the gap in the histogram", bounds=(0, 5),
      uses=["previous_token_attention"])  # fmt: skip
def attention_gap(at):
    return int(((attention(at) > 0.1) & (attention(at) < 0.3)).sum())


@fact("mean attention to the previous token over detected trigrams", bounds=(0.5, 0.95),
      uses=["previous_token_attention"])  # fmt: skip
def attention_when_detected(at):
    return attention(at)[detected(at)].mean().item()


@fact("trigrams that get more than 0.9 of the attention", bounds=(0, 138), published="~100%",
      source=SNELL, uses=["previous_token_attention"])  # fmt: skip
def attention_above_09(at):
    return int((attention(at) > 0.9).sum())


@fact("detected trigrams at query positions 1, 10, 25, 40, 48", bounds=(190, 260), uses=["previous_token_attention"])
def detected_by_position(at):
    tables = [circuits.previous_token_attention(at.model, p) for p in (1, 10, 25, 40, 48)]
    return [int((a[tuple(pairs(at).T)] > 0.2).sum()) for a in tables]


@fact("detected trigrams: attention above 0.2", bounds=(190, 260), uses=["detected_pairs"])
def detected_count(at):
    return int(circuits.detected_pairs(at.model)[tuple(pairs(at).T)].sum())


@fact("detected pairs that begin no trigram", bounds=(0, 12), uses=["detected_pairs"])
def detected_false(at):
    return int((circuits.detected_pairs(at.model) & (table(at) < 0)).sum())


@fact("the highest probability of any answer on those false pairs", bounds=(0, 0.2), uses=["detected_pairs"])
@torch.no_grad()
def detected_false_probability(at):
    found = (circuits.detected_pairs(at.model) & (table(at) < 0)).nonzero()
    return at.model(found)[:, -1].softmax(-1).max().item() if len(found) else 0.0


@fact("share of the detected trigrams that are right", bounds=(0.99, 1), uses=["detected_pairs"])
def detected_right(at):
    return mean(answers(at)[detected(at)])


@fact("trigrams that are not detected", bounds=(17, 87), uses=["detected_pairs"])
def undetected_count(at):
    return int((~detected(at)).sum())


@fact("undetected trigrams that are right", bounds=(17, 60), uses=["detected_pairs"])
def undetected_right(at):
    return by_mode(at, answers(at))[1]


@cache
def _precision_recall(at: Bench) -> tuple[float, float]:
    return circuits.precision_recall(circuits.detected_pairs(at.model), table(at))


@fact("precision of `attention above 0.2` as a detector of trigrams", bounds=(0.95, 1), uses=["precision_recall"])
def detected_precision(at):
    return _precision_recall(at)[0]


@fact("its recall", bounds=(0.70, 0.95), uses=["precision_recall"])
def detected_recall(at):
    return _precision_recall(at)[1]


def _average_precision(at: Bench, scores: torch.Tensor) -> float:
    hits = (table(at).flatten() >= 0)[scores.flatten().argsort(descending=True)].double()
    return (hits.cumsum(0) / torch.arange(1, len(hits) + 1) * hits).sum().item() / hits.sum().item()


@fact("average precision of two rankings of all pairs: by the raw token-token score, by the attention",
      bounds=(0.4, 1), uses=["previous_token_attention"])  # fmt: skip
@torch.no_grad()
def ranking_precision(at):
    m = at.model
    raw = (m.W_E @ m.W_K[0, 0]) @ (m.W_E @ m.W_Q[0, 0]).T
    return [_average_precision(at, raw), _average_precision(at, circuits.previous_token_attention(m))]


@fact("what a step back costs a key, in score units: lowest, median, highest", bounds=(0, 20),
      uses=["recency_penalty"])  # fmt: skip
def recency_penalty_range(at):
    penalty = circuits.recency_penalty(at.model)
    return [penalty.min().item(), penalty.median().item(), penalty.max().item()]


@fact("the median penalty as a factor in attention", bounds=(20, 2000), uses=["recency_penalty"])
def recency_factor(at):
    return math.exp(circuits.recency_penalty(at.model).median().item())


@fact("the part of the score that comes from the key's position, mean query, as a line: R squared, slope per position",
      bounds=(0.99, 10))  # fmt: skip
def position_line(at):
    m = at.model
    keys = m.W_pos[:49] @ m.W_K[0, 0]
    query = (m.W_E.mean(0) + m.W_pos[:49].mean(0)) @ m.W_Q[0, 0] + m.b_Q[0, 0]
    scores, places = (keys @ query / m.cfg.d_head**0.5).double(), torch.arange(49.0).double()
    correlation = torch.corrcoef(torch.stack([places, scores]))[0, 1]
    return [correlation.item() ** 2, (correlation * scores.std() / places.std()).item()]


@fact("attention that falls on neither the token nor the one before it, positions 2 to 48: mean, largest",
      bounds=(0, 0.5), uses=["recency_penalty"])  # fmt: skip
def attention_elsewhere(at):
    pattern = on_data(at, "attn.hook_pattern")[:, 0]
    rest = (1 - pattern.diagonal(0, 1, 2)[:, 1:] - pattern.diagonal(-1, 1, 2))[:, 1:-1]
    return [rest.mean().item(), rest.max().item()]


@fact("share of the places without a trigram where the token itself gets most of the attention", bounds=(0.99, 1))
def attention_to_itself(at):
    top = on_data(at, "attn.hook_pattern")[:, 0, 1:49].argmax(-1) == torch.arange(1, 49)
    return mean(top[required(at)[:, 1:49] < 0])


@fact("norm of the last position's embedding, and the mean norm of the others", bounds=(0, 3))
def last_position_norm(at):
    norms = at.model.W_pos.norm(dim=1)
    return [norms[-1].item(), norms[:-1].mean().item()]


# -- who writes the answer


def _parts(at: Bench, where: torch.Tensor) -> torch.Tensor:
    return attribution.logit_parts(at.model, pairs(at), thirds(at))[:, where].mean(1)


@fact("parts of the centred logit of the third token, detected trigrams: token, position, attention, MLP, b_U",
      bounds=(-1, 60), uses=["logit_parts"])  # fmt: skip
def logit_parts_detected(at):
    return _parts(at, detected(at))


@fact("the same for undetected trigrams", bounds=(-1.2, 1.2), uses=["logit_parts"])
def logit_parts_undetected(at):
    return _parts(at, ~detected(at))


@cache
def firing(at: Bench) -> torch.Tensor:
    return attribution.neuron_firing(at.model, data(at), table(at))


def sparse(at: Bench) -> torch.Tensor:
    return firing(at)[1] < 0.1


@fact("MLP units that are on in less than 10% of the places without a trigram", bounds=(8, 20), uses=["neuron_firing"])
def sparse_units(at):
    return int(sparse(at).sum())


@fact("how often those units are on after a trigram's pair: rarest, most frequent", bounds=(0.05, 0.4),
      uses=["neuron_firing"])  # fmt: skip
def sparse_rates(at):
    rates = firing(at)[0][sparse(at)]
    return [rates.min().item(), rates.max().item()]


@cache
def _sparse_on(at: Bench) -> torch.Tensor:
    return (on_pairs(at, "mlp.hook_pre") > 0)[:, sparse(at)]


@fact("share of trigrams on which a sparse unit is on: detected, undetected", bounds=(0, 1), uses=["neuron_firing"])
def sparse_awake(at):
    any_on = _sparse_on(at).any(1)
    return [mean(any_on[detected(at)]), mean(any_on[~detected(at)])]


@fact("different on/off codes of the sparse units over the detected trigrams", bounds=(60, 277), uses=["neuron_firing"])
def sparse_codes(at):
    return len(_sparse_on(at)[detected(at)].unique(dim=0))


@fact("sparse units that are on at a detected trigram, mean", bounds=(1.5, 8), uses=["neuron_firing"])
def sparse_on_mean(at):
    return _sparse_on(at)[detected(at)].double().sum(1).mean().item()


@cache
def _jacobians(at: Bench) -> torch.Tensor:
    return attribution.mlp_jacobian(at.model, on_data(at, "hook_resid_mid")[:, 1:49].flatten(0, 1))


@fact("Frobenius norm of the MLP's Jacobian: median on trigrams, median in places without one", bounds=(0, 100),
      uses=["mlp_jacobian"])  # fmt: skip
def jacobian_norm(at):
    norms = _jacobians(at).flatten(1).norm(dim=1)
    on_trigrams = attribution.mlp_jacobian(at.model, on_pairs(at, "hook_resid_mid")).flatten(1).norm(dim=1)
    return [on_trigrams.median().item(), norms[(required(at)[:, 1:49] < 0).flatten()].median().item()]


@fact("trigrams at which every unit is off, so that the Jacobian is zero", bounds=(0, 60), uses=["mlp_jacobian"])
def jacobian_zero(at):
    return int((on_pairs(at, "mlp.hook_pre") <= 0).all(1).sum())


@fact("the most frequent on/off pattern: units on, share of all places, share of the second one",
      uses=["linearise_mlp"])  # fmt: skip
def usual_pattern(at):
    on = (on_data(at, "mlp.hook_pre") > 0)[:, :-1].flatten(0, 1)
    codes, counts = (on * 2 ** torch.arange(on.shape[1])).sum(1).unique(return_counts=True)
    top = counts.topk(2).values / len(on)
    return [int(codes[counts.argmax()]).bit_count(), top[0].item(), top[1].item()]


@fact("accuracy if the MLP is left out, biases too", published=0.18050541516245489, source=SNELL,
      bounds=(0.05, 0.4), uses=["logit_parts"])  # fmt: skip
def accuracy_mlp_skipped(at):
    return mean(right_with(at, torch.zeros(at.model.cfg.d_model)))


@cache
def _mean_mlp(at: Bench) -> torch.Tensor:
    return right_with(at, on_data(at, "hook_mlp_out")[:, :-1].mean((0, 1)))


@cache
def _linearised(at: Bench) -> torch.Tensor:
    matrix, constant = attribution.linearise_mlp(at.model, data(at))
    return right_with(at, on_pairs(at, "hook_resid_mid") @ matrix.T + constant)


@fact("accuracy if the MLP writes its mean (last positions left out)", published=0.2490974729241877, source=SNELL,
      bounds=(0.05, 0.4), uses=["logit_parts"])  # fmt: skip
def accuracy_mlp_mean(at):
    return mean(_mean_mlp(at))


@fact("the same as right answers: detected, undetected")
def mlp_mean_by_mode(at):
    return by_mode(at, _mean_mlp(at))


@fact("accuracy if the MLP is the linear map of its most frequent on/off pattern", published=0.3104693140794224,
      source=SNELL + ", whose entrywise median Jacobian is that map on the published checkpoint", bounds=(0.05, 0.4),
      uses=["linearise_mlp", "logit_parts"])  # fmt: skip
def accuracy_linearised(at):
    return mean(_linearised(at))


@fact("the same as right answers: detected, undetected", uses=["linearise_mlp"])
def linearised_by_mode(at):
    return by_mode(at, _linearised(at))


@fact("detected trigrams that are right with the linear map but not with the mean, net: a gain would be above 0",
      bounds=(-277, 0), uses=["linearise_mlp"])  # fmt: skip
def linearised_gain_detected(at):
    return linearised_by_mode.compute(at)[0] - mlp_mean_by_mode.compute(at)[0]


@fact("accuracy if the MLP is the entrywise median of its Jacobians over the data, with the median constant",
      published=0.3104693140794224, source=SNELL, bounds=(0.05, 0.4), uses=["mlp_jacobian", "logit_parts"])  # fmt: skip
@torch.no_grad()
def accuracy_median_jacobian(at):
    tokens = data(at)[:100]
    middle, out = on_data(at, "hook_resid_mid")[:100], on_data(at, "hook_mlp_out")[:100]
    jacobians = attribution.mlp_jacobian(at.model, middle.flatten(0, 1)).unflatten(0, tokens.shape)
    matrix = jacobians.median(0).values.median(0).values
    constant = (out - torch.einsum("bsoi,bsi->bso", jacobians, middle)).median(0).values.median(0).values
    return mean(right_with(at, on_pairs(at, "hook_resid_mid") @ matrix.T + constant))


@fact("cosines between what the head writes and what the MLP reads", bounds=(0, 1), published=COSINES, source=SNELL,
      uses=["subspace_overlap"])  # fmt: skip
def subspace_cosines(at):
    return attribution.subspace_overlap(at.model.W_O[0, 0].detach(), at.model.W_in[0].detach())


@fact("the fourth of them", bounds=(0.9999, 1), published=0.9999998807907104, source=SNELL, uses=["subspace_overlap"])
def subspace_fourth(at):
    return subspace_cosines.compute(at)[3].item()


@fact("the sum of their squares", bounds=(10, 13), published=11.59, source="squares of the printed cosines",
      uses=["subspace_overlap"])  # fmt: skip
def subspace_sum(at):
    return subspace_cosines.compute(at).square().sum().item()


@cache
def _random_overlaps() -> torch.Tensor:
    made = torch.Generator().manual_seed(0)
    draws = [(torch.randn(16, 32, generator=made), torch.randn(32, 20, generator=made)) for _ in range(300)]
    return torch.stack([attribution.subspace_overlap(w, r) for w, r in draws])


@fact("the same for 300 pairs of random matrices: mean, standard deviation", uses=["subspace_overlap"])
def subspace_random(at):
    sums = _random_overlaps().square().sum(1)
    return [sums.mean().item(), sums.std().item()]


@fact("the lowest fourth cosine among the random pairs", bounds=(0.9999, 1), uses=["subspace_overlap"])
def subspace_random_fourth(at):
    return _random_overlaps()[:, 3].min().item()


# -- does it cause it


@fact("accuracy if the head always gives all of its attention to the previous token", published=0.7906137184115524,
      source=SNELL, bounds=(0.65, 0.85), uses=["with_previous_attention"])  # fmt: skip
def accuracy_always_previous(at):
    return mean(forced(at, 1.0))


@fact("the same as right answers: detected, undetected", uses=["with_previous_attention"])
def previous_by_mode(at):
    return by_mode(at, forced(at, 1.0))


@fact("accuracy if it always gives all of it to the current token", bounds=(0.05, 0.3),
      uses=["with_previous_attention"])  # fmt: skip
def accuracy_always_current(at):
    return mean(forced(at, 0.0))


@fact("the same as right answers: detected, undetected", uses=["with_previous_attention"])
def current_by_mode(at):
    return by_mode(at, forced(at, 0.0))


@fact("accuracy at a fixed 70:30", uses=["with_previous_attention"])
def accuracy_seventy(at):
    return mean(forced(at, 0.7))


@fact("the same as right answers: detected, undetected", uses=["with_previous_attention"])
def seventy_by_mode(at):
    return by_mode(at, forced(at, 0.7))


@fact("accuracy at a fixed 50:50", uses=["with_previous_attention"])
def accuracy_half(at):
    return mean(forced(at, 0.5))


@fact("accuracy if the two weights are exchanged", bounds=(0.2, 0.75), uses=["with_previous_attention"])
def accuracy_swapped(at):
    answer = ablation.with_previous_attention(at.model, pairs(at), 1 - attention(at)).argmax(-1)
    return mean(answer == thirds(at))


@fact("share of all 5,625 pairs on which `always previous` has the model's first choice", bounds=(0, 0.15),
      uses=["with_previous_attention"])  # fmt: skip
@torch.no_grad()
def previous_agreement(at):
    every = torch.arange(at.model.cfg.d_vocab)
    both = torch.cartesian_prod(every, every)
    ours = ablation.with_previous_attention(at.model, both, torch.ones(len(both))).argmax(-1)
    return mean(ours == at.model(both)[:, -1].argmax(-1))


def _loss_with(at: Bench, pattern: torch.Tensor) -> float:
    with torch.no_grad():
        replaced = at.model.run_with_hooks(
            data(at), fwd_hooks=[("blocks.0.attn.hook_pattern", lambda value, hook: pattern.expand_as(value))]
        )
    return _losses(at, replaced)[0]


@fact("loss on natural sequences if every position looks at the one before it, nats", bounds=(10, 60))
def loss_always_previous(at):
    back = torch.zeros(50, 50)
    back[0, 0], back[torch.arange(1, 50), torch.arange(49)] = 1, 1
    return _loss_with(at, back)


@fact("loss if every position looks at itself, nats", bounds=(4.2, 4.4))
def loss_always_current(at):
    return _loss_with(at, torch.eye(50))


@cache
def _without(at: Bench, neurons: tuple[bool, ...], fill: bool = False) -> float:
    values = on_data(at, "mlp.hook_post")[:, :-1].mean((0, 1)) if fill else None
    return ablation.accuracy_without_neurons(at.model, trigrams(at), torch.tensor(neurons), values)


@fact("accuracy if the sparse units are set to 0", bounds=(0.15, 0.55), uses=["accuracy_without_neurons"])
def accuracy_without_sparse(at):
    return _without(at, tuple(sparse(at).tolist()))


@fact("the same with their mean over data", bounds=(0.15, 0.55), uses=["accuracy_without_neurons"])
def accuracy_mean_sparse(at):
    return _without(at, tuple(sparse(at).tolist()), True)


@fact("accuracy without the sparse units as right answers: detected, undetected", uses=["accuracy_without_neurons"])
def without_sparse_by_mode(at):
    counts = []
    for mode in (detected(at), ~detected(at)):
        share = ablation.accuracy_without_neurons(at.model, trigrams(at)[mode], sparse(at))
        counts.append(round(share * int(mode.sum())))
    return counts


@fact("accuracy if all other units are set to 0", bounds=(0.5, 1), uses=["accuracy_without_neurons"])
def accuracy_without_others(at):
    return _without(at, tuple((~sparse(at)).tolist()))


@fact("accuracy if one sparse unit is set to 0: worst, best", bounds=(0.75, 0.98), uses=["accuracy_without_neurons"])
def single_sparse_range(at):
    each = [_without(at, tuple(row.tolist())) for row in torch.eye(20, dtype=torch.bool)[sparse(at)]]
    return [min(each), max(each)]


# -- what it does


@cache
def _owners(at: Bench) -> torch.Tensor:
    """Tokens that end the pair of an undetected trigram."""
    return trigrams(at)[~detected(at), 1].unique()


@fact("tokens that end an undetected pair: how many have the third token of such a pair as their lookup, "
      "of how many", uses=["current_token_lookup"])  # fmt: skip
def lookup_hits(at):
    answer = explain.current_token_lookup(at.model)
    ignored = {tuple(t) for t in trigrams(at)[~detected(at), 1:].tolist()}
    return [sum((b, int(answer[b])) in ignored for b in _owners(at).tolist()), len(_owners(at))]


@fact("the same as a share", bounds=(0.93, 1), uses=["current_token_lookup"])
def lookup_hit_share(at):
    hits, of = lookup_hits.compute(at)
    return hits / of


@fact("the attention that the trigrams whose second token is 26 get, in the order of the table",
      on="shown", uses=["previous_token_attention"])  # fmt: skip
def example_attention(at):
    return attention(at)[trigrams(at)[:, 1] == 26]


@fact("what token 26 is answered with if the head looks nowhere else", on="shown", uses=["current_token_lookup"])
def example_lookup(at):
    return int(explain.current_token_lookup(at.model)[26])


@fact("highest probability of a lookup, median: tokens that end an undetected pair, others", bounds=(0.0134, 0.05),
      uses=["with_previous_attention"])  # fmt: skip
def lookup_probability(at):
    every = torch.arange(at.model.cfg.d_vocab)
    both = torch.stack([every, every], dim=1)
    top = ablation.with_previous_attention(at.model, both, torch.zeros(len(both))).softmax(-1).max(-1).values
    owns = torch.isin(every, _owners(at))
    return [top[owns].median().item(), top[~owns].median().item()]


@fact("tokens that end an undetected pair whose lookup is the same at positions 1 and 40, share", bounds=(0.9, 1),
      uses=["current_token_lookup"])  # fmt: skip
def lookup_stable(at):
    same = explain.current_token_lookup(at.model, 1) == explain.current_token_lookup(at.model, 40)
    return mean(same[_owners(at)])


@fact("trigrams that two modes explain: detected ones, and one for each token that ends an undetected one",
      uses=["detected_pairs"])  # fmt: skip
def explained_count(at):
    return int(detected(at).sum()) + len(_owners(at))


@fact("that minus the number that is right", bounds=(-2, 2), uses=["detected_pairs"])
def explained_gap(at):
    return explained_count.compute(at) - right_count.compute(at)


@fact("undetected trigrams that are right although the lookup is another token: their attention", bounds=(0, 0.2),
      uses=["current_token_lookup"])  # fmt: skip
def exceptions(at):
    other = explain.current_token_lookup(at.model)[trigrams(at)[:, 1]] != thirds(at)
    return attention(at)[answers(at) & ~detected(at) & other]


@cache
def _actual(at: Bench) -> torch.Tensor:
    return logits(at).softmax(-1)


def _score(at: Bench, predicted: torch.Tensor) -> float:
    return sum(explain.explanation_score(predicted, _actual(at), required(at))) / 3


def _mixed(at: Bench, shares: torch.Tensor) -> float:
    """The score of running every pair through the model with a given share for the first token."""
    every, x = torch.arange(at.model.cfg.d_vocab), data(at)
    both = torch.cartesian_prod(every, every)
    answer = ablation.with_previous_attention(at.model, both, shares.flatten()).softmax(-1)
    predicted = _actual(at).clone()  # position 0 is not scored
    predicted[:, 1:] = answer.unflatten(0, shares.shape)[x[:, :-1], x[:, 1:]]
    return _score(at, predicted)


@cache
def _gate(at: Bench) -> torch.Tensor:
    return circuits.previous_token_attention(at.model)


@fact("agreement with the model on natural sequences (mean of three shares) of the program: detected or looked up",
      bounds=(0.99, 1), uses=["explain"])  # fmt: skip
def score_program(at):
    return _score(at, explain.explain(at.model, table(at), data(at)))


@fact("the same for the published account: always look back", bounds=(0.4, 0.6), uses=["with_previous_attention"])
def score_always_previous(at):
    return _mixed(at, torch.ones_like(_gate(at)))


@fact("the same for never looking back", bounds=(0.3, 0.6), uses=["with_previous_attention"])
def score_always_current(at):
    return _mixed(at, torch.zeros_like(_gate(at)))


@fact("the same for uniform guessing", bounds=(0.3, 0.5))
def score_uniform(at):
    return _score(at, torch.full_like(_actual(at), 1 / at.model.cfg.d_vocab))


@fact("the same for `the model knows every trigram`", bounds=(0.85, 0.96))
def score_whole_table(at):
    predicted = torch.full_like(_actual(at), 1 / at.model.cfg.d_vocab)
    ruled = required(at) >= 0
    predicted[ruled] = torch.eye(at.model.cfg.d_vocab)[required(at)[ruled]]
    return _score(at, predicted)


@fact("the same for a gate of 0 or 1: all of the attention back where it would be above 0.2", bounds=(0.85, 0.99),
      uses=["previous_token_attention", "with_previous_attention"])  # fmt: skip
def score_gate(at):
    return _mixed(at, (_gate(at) > 0.2).float())


@fact("the same with the threshold at 0.5", bounds=(0.8, 0.98),
      uses=["previous_token_attention", "with_previous_attention"])  # fmt: skip
def score_gate_half(at):
    return _mixed(at, (_gate(at) > 0.5).float())


@fact("the same for a gate of 0 or the mean attention of a detected trigram", bounds=(0.98, 1),
      uses=["previous_token_attention", "with_previous_attention"])  # fmt: skip
def score_gate_mean(at):
    return _mixed(at, (_gate(at) > 0.2).float() * attention_when_detected.compute(at))


@fact("the same for the attention of the first two positions, put into the model pair by pair", bounds=(0.99, 1),
      uses=["previous_token_attention", "with_previous_attention"])  # fmt: skip
def score_attention_table(at):
    return _mixed(at, _gate(at))
