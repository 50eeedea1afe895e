"""Figures of the first_unique_char checkpoints that the texts quote, each with its bounds and the published value.

Unless a fact says otherwise it is measured on the 1000 sequences of the published notebook (torch seed 42). `main` are
the two checkpoints of the published algorithm's family; the `contrast` ones have learned other algorithms.
"""

from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F

from kata.checking import Bench, fact
from kata.checkpoints import Checkpoint
from solutions.first_unique_char import ablation, attribution, circuits, dataset, explain

NOTEBOOK = "First_Unique_Character.ipynb of github.com/andyrdt/mi, on ARENA's monthly problem of August 2023"
HEADS = ["H0.0", "H0.1", "H0.2"]
ALL_LN = ["first", "second", "final"]
ROOMS = (0.0, 0.3, 0.5, 0.7, 0.85)  # how often a flooded sequence gets its letter


def main(checkpoint: Checkpoint) -> bool:
    return checkpoint.variant == "main"


def sibling(checkpoint: Checkpoint) -> bool:
    return checkpoint.name == "sibling"


# -- data and runs that several facts share


@cache
def published_tokens() -> torch.Tensor:
    return dataset.make_sequences(1000, 42)


@cache
def published_labels() -> torch.Tensor:
    return dataset.first_unique_labels(published_tokens())


@cache
def run(at: Bench) -> tuple[torch.Tensor, Any]:
    """Logits and activations on the published sequences."""
    with torch.no_grad():
        return at.model.run_with_cache(published_tokens())


def fresh(at: Bench, number: int, label: str) -> torch.Tensor:
    made = torch.randint(0, 10, (number, 19), generator=at.generator(label))
    return torch.cat([torch.full((number, 1), dataset.NULL), made], dim=1)


@cache
def flooded(at: Bench, number: int, often: float | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences in which one letter takes every place with probability `often`, and that letter.

    Without `often` it is drawn for each sequence, 0.3 to 1.
    """
    generator = at.generator(f"flood {often}")
    tokens = fresh(at, number, f"under the flood {often}")
    letter = torch.randint(0, 10, (number, 1), generator=generator)
    share = 0.3 + 0.7 * torch.rand(number, 1, generator=generator)
    if often is not None:
        share = torch.full((number, 1), often)
    hit = torch.rand(number, 19, generator=generator) < share
    tokens[:, 1:] = torch.where(hit, letter, tokens[:, 1:])
    return tokens, letter


@torch.no_grad()
def answers(at: Bench, tokens: torch.Tensor) -> torch.Tensor:
    return at.model(tokens).argmax(-1)


@cache
@torch.no_grad()
def fresh_run(at: Bench) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """5000 fresh sequences, their labels, and the logits."""
    tokens = fresh(at, 5000, "fresh")
    return tokens, dataset.first_unique_labels(tokens), at.model(tokens)


def loss(logits: torch.Tensor) -> float:
    return F.cross_entropy(logits.flatten(0, 1), published_labels().flatten()).item()


def right(logits: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
    return (logits.argmax(-1) == (published_labels() if labels is None else labels)).double()


def mean(values: torch.Tensor, where: torch.Tensor) -> float | None:
    """The mean over the marked entries; None where none is marked."""
    return (values * where).sum().item() / where.sum().item() if where.any() else None


def noise(difference: torch.Tensor) -> float:
    """The largest difference to three decimals: what is below is float noise and another on every machine."""
    return round(difference.abs().max().item(), 3)


def words(letters: dict[int, set[int]] | list[list[int]]) -> list[str]:
    """Sets of letters by head, as texts."""
    sets = letters.values() if isinstance(letters, dict) else letters
    return ["".join(dataset.ALPHABET[i] for i in sorted(letters)) for letters in sets]


def by_head(heads: torch.Tensor) -> list[str]:
    """One head for each letter, as one text of letters for each head."""
    return words([[i for i in range(10) if heads[i] == head] for head in range(3)])


@cache
def scales(at: Bench) -> tuple[float, float, float]:
    """The three LayerNorms' mean scales over all positions but 0."""
    names = ("blocks.0.ln1.hook_scale", "blocks.1.ln1.hook_scale", "ln_final.hook_scale")
    return tuple(run(at)[1][name][:, 1:].mean().item() for name in names)


@cache
def detectors(at: Bench) -> dict[int, tuple[set[int], set[int]]]:
    return circuits.l0_detectors(at.model, published_tokens())


@cache
def main_head(at: Bench) -> int:
    """The head of layer 0 with most duplicate letters."""
    return max(range(3), key=lambda head: len(detectors(at)[head][0]))


@cache
def occurrences() -> tuple[torch.Tensor, torch.Tensor]:
    return dataset.occurrence_info(published_tokens())


@cache
def of_duplicates(at: Bench) -> torch.Tensor:
    return attribution.duplicate_attribution(at.model, published_tokens())


@cache
def responsible_head(at: Bench) -> torch.Tensor:
    return attribution.responsible_heads(at.model, published_tokens())


# -- the task and the model


@fact("mean cross-entropy over all 20 positions", bounds=(0, 0.1), published=0.017, source=NOTEBOOK)
def task_loss(at):
    return loss(run(at)[0])


@fact("share of right answers over all 20 positions", bounds=(0.97, 1))
def accuracy(at):
    return right(run(at)[0]).mean().item()


@cache
def probabilities(at: Bench) -> torch.Tensor:
    return run(at)[0].softmax(-1).gather(-1, published_labels()[..., None])[..., 0]


@fact("mean probability of the right answer", bounds=(0.94, 1), published=0.988, source=NOTEBOOK)
def mean_probability(at):
    return probabilities(at).mean().item()


@fact("lowest probability of a right answer", bounds=(0, 1), published=0.001, source=NOTEBOOK)
def min_probability(at):
    return probabilities(at).min().item()


@fact("share of 5000 fresh sequences with all 20 answers right", bounds=(0.6, 1))
def whole_sequences(at):
    _, labels, logits = fresh_run(at)
    return right(logits, labels).min(1).values.mean().item()


@fact("share of '?' among the labels of 20,000 fresh sequences, positions 0 to 19", on="shown")
def null_share(at):
    return (dataset.first_unique_labels(fresh(at, 20_000, "labels")) == 10).double().mean(0)


@fact("share of '?' among all labels of positions 1 to 19", on="shown", bounds=(0.01, 0.03))
def null_share_mean(at):
    return (published_labels()[:, 1:] == 10).double().mean().item()


@fact("share of positions from 2 on whose label is the letter that stands there", on="shown")
def own_letter_share(at):
    tokens = fresh(at, 20_000, "labels")
    return (dataset.first_unique_labels(tokens) == tokens)[:, 2:].double().mean().item()


@fact("share of right answers at positions from 2 on whose label is the letter that stands there", bounds=(0.7, 1))
def accuracy_own_letter(at):
    tokens, labels, logits = fresh_run(at)
    return mean(right(logits, labels), (labels == tokens) & (torch.arange(20) >= 2))


@fact("share of right answers at positions from 1 on whose label is '?'", bounds=(0.7, 1))
def accuracy_null(at):
    return mean(right(run(at)[0]), (published_labels() == 10) & (torch.arange(20) >= 1))


@fact("how many letters are unique at position 19, on average", on="shown")
def unique_letters_mean(at):
    return (occurrences()[0][:, 19] == 1).sum(-1).double().mean().item()


# -- LayerNorm


@fact("largest difference of the look-up table from the first LayerNorm's real scale", bounds=(0, 1e-6),
      uses=["ln0_scale_table"])  # fmt: skip
def ln0_error(at):
    table = circuits.ln0_scale_table(at.model)[published_tokens(), torch.arange(20)]
    return noise(table - run(at)[1]["blocks.0.ln1.hook_scale"][..., 0])


@fact("smallest and largest entry of the first LayerNorm's table", uses=["ln0_scale_table"])
def ln0_range(at):
    table = circuits.ln0_scale_table(at.model)
    return [table.min().item(), table.max().item()]


@fact("mean scale of the three LayerNorms at positions from 1 on")
def scale_means(at):
    return list(scales(at))


@fact("spread (standard deviation over mean) of the three LayerNorms' scales at positions from 1 on", bounds=(0.05, 1),
      on=main)  # fmt: skip
def scale_spread(at):
    names = ("blocks.0.ln1.hook_scale", "blocks.1.ln1.hook_scale", "ln_final.hook_scale")
    values = [run(at)[1][name][:, 1:] for name in names]
    return [(v.std() / v.mean()).item() for v in values]


@cache
def frozen(at: Bench, *which: str) -> float:
    """Agreement with the undisturbed model."""
    logits = circuits.freeze_layernorm(at.model, published_tokens(), list(which))
    return (logits.argmax(-1) == run(at)[0].argmax(-1)).double().mean().item()


@fact("agreement with the model when the first LayerNorm divides by its mean", uses=["freeze_layernorm"])
def freeze_first(at):
    return frozen(at, "first")


@fact("agreement with the model when the second LayerNorm divides by its mean", uses=["freeze_layernorm"])
def freeze_second(at):
    return frozen(at, "second")


@fact("agreement with the model when the final LayerNorm divides by its mean", bounds=(0.998, 1),
      uses=["freeze_layernorm"])  # fmt: skip
def freeze_final(at):
    return frozen(at, "final")


@fact("agreement with the model when all three LayerNorms divide by their means", bounds=(0, 0.92),
      uses=["freeze_layernorm"])  # fmt: skip
def freeze_all(at):
    return frozen(at, *ALL_LN)


# -- what layer 0 compares


@fact("duplicate letters of H0.0, H0.1, H0.2", published=["", "bcdefghij", "abg"], source=NOTEBOOK,
      uses=["l0_detectors"])  # fmt: skip
def duplicate_letters(at):
    return words({head: sets[0] for head, sets in detectors(at).items()})


@fact("anti-duplicate letters of H0.0, H0.1, H0.2", published=["abcdgi", "a", "cefhj"], source=NOTEBOOK,
      uses=["l0_detectors"])  # fmt: skip
def anti_letters(at):
    return words({head: sets[1] for head, sets in detectors(at).items()})


@fact("number of letters that are a duplicate letter of some head of layer 0", bounds=(8, 10), published=10,
      source=NOTEBOOK, uses=["l0_detectors"], on=main)  # fmt: skip
def duplicate_count(at):
    return len(set().union(*(sets[0] for sets in detectors(at).values())))


@fact("the same number on the models of other families", bounds=(0, 2), uses=["l0_detectors"],
      on=lambda c: c.variant == "contrast")  # fmt: skip
def duplicate_count_contrast(at):
    return duplicate_count.compute(at)


@fact("the head of layer 0 with most duplicate letters", uses=["l0_detectors"], on=main)
def duplicate_head(at):
    return main_head(at)


@cache
def shares(at: Bench) -> torch.Tensor:
    """Softmaxed letter scores of every head of layer 0: [head, query, key]."""
    scores = [circuits.token_qk(at.model, head, scales(at)[0]) for head in range(3)]
    return torch.stack(scores).softmax(-1)


@fact("lowest share that a duplicate letter of the main head gives itself", bounds=(0.3, 1), on=main,
      uses=["token_qk", "l0_detectors"])  # fmt: skip
def self_share_min(at):
    head = main_head(at)
    return min((shares(at)[head, i, i].item() for i in detectors(at)[head][0]), default=None)


@fact("highest share a letter gives itself outside the main duplicate head", on=main, uses=["token_qk"])
def self_share_elsewhere(at):
    rest = [h for h in range(3) if h != main_head(at)]
    return shares(at)[rest].diagonal(dim1=1, dim2=2).max().item()


@fact("largest score between two letters, by head of layer 0", uses=["token_qk"])
def qk_largest(at):
    return [circuits.token_qk(at.model, head, scales(at)[0]).abs().max().item() for head in range(3)]


@fact("largest difference between a head's letter scores and their transpose", uses=["token_qk"], bounds=(0.1, 20))
def qk_asymmetry(at):
    tables = [circuits.token_qk(at.model, head, scales(at)[0]) for head in range(3)]
    return [(t - t.T).abs().max().item() for t in tables]


@fact("share that g gives to i, and i to g, in H0.1", bounds=(0.9, 1), on=sibling, uses=["token_qk"])
def swapped_pair(at):
    return [shares(at)[1, 6, 8].item(), shares(at)[1, 8, 6].item()]


# -- where layer 1 looks


@cache
def keys(at: Bench) -> torch.Tensor:
    """The scores of the mean queries at position 19: [head of layer 1, way, letter]."""
    queries = run(at)[1]["blocks.1.attn.hook_q"][:, 19].mean(0)
    return circuits.virtual_keys(at.model, queries, scales(at)[:2])[..., :10]


def _own(at: Bench) -> torch.Tensor:
    return responsible_head(at) == torch.arange(3)[:, None]


@fact("score of H1.0, H1.1, H1.2 for letters of their own that the main duplicate head has brought: mean", on=main,
      uses=["virtual_keys", "responsible_heads"])  # fmt: skip
def keys_own(at):
    return [mean(keys(at)[h, main_head(at) + 1], _own(at)[h]) for h in range(3)]


@fact("the same for the letters of other heads", on=main, uses=["virtual_keys", "responsible_heads"])
def keys_others(at):
    return [mean(keys(at)[h, main_head(at) + 1], ~_own(at)[h]) for h in range(3)]


@fact("over the main head's duplicate letters: score of the responsible head minus the other heads' mean score",
      bounds=(1, 10), on=main, uses=["virtual_keys", "responsible_heads"])  # fmt: skip
def keys_gap(at):
    found = sorted(detectors(at)[main_head(at)][0])
    table, own = keys(at)[:, main_head(at) + 1][:, found], _own(at)[:, found]
    return mean(table, own) - mean(table, ~own) if found else None


@fact("score for letters of their own that stand there themselves, H1.0, H1.1, H1.2: mean", on=main,
      uses=["virtual_keys", "responsible_heads"])  # fmt: skip
def keys_plain_own(at):
    return [mean(keys(at)[h, 0], _own(at)[h]) for h in range(3)]


@fact("the same for the letters of other heads", on=main, uses=["virtual_keys", "responsible_heads"])
def keys_plain_others(at):
    return [mean(keys(at)[h, 0], ~_own(at)[h]) for h in range(3)]


@fact("score of H1.2 for g and i, and for the other letters, when H0.2 has brought them", on=sibling,
      uses=["virtual_keys"])  # fmt: skip
def keys_of_the_pair(at):
    return [mean(keys(at)[2, 3], _own(at)[2]), mean(keys(at)[2, 3], ~_own(at)[2])]


# -- what layer 1 writes


@cache
def own_diagonals(at: Bench) -> torch.Tensor:
    """Entry [source, letter]: the responsible head's virtual OV entry at (letter, letter)."""
    diagonals = circuits.virtual_ov(at.model, scales(at)).diagonal(dim1=2, dim2=3)[..., :10]
    return diagonals[responsible_head(at), :, torch.arange(10)].T


@fact("letters whose responsible head lowers them when the main duplicate head brought them", bounds=(9, 10), on=main,
      uses=["virtual_ov", "responsible_heads"])  # fmt: skip
def ov_duplicate_negative(at):
    return (own_diagonals(at)[main_head(at) + 1] < 0).sum().item()


def _others(at: Bench) -> torch.Tensor:
    return sum(own_diagonals(at)[h + 1] for h in range(3) if h != main_head(at))


@fact("letters whose responsible head raises them when the other two heads brought them", bounds=(10, 10), on=main,
      uses=["virtual_ov", "responsible_heads"])  # fmt: skip
def ov_others_positive(at):
    return (_others(at) > 0).sum().item()


@fact("letters whose responsible head lowers them when they stand there themselves", on=main, bounds=(9, 10),
      uses=["virtual_ov", "responsible_heads"])  # fmt: skip
def ov_plain_negative(at):
    return (own_diagonals(at)[0] < 0).sum().item()


@fact("mean over letters of the responsible head's own entry: plain, by the main duplicate head, by the other two",
      on=main, uses=["virtual_ov", "responsible_heads"])  # fmt: skip
def ov_means(at):
    rows = own_diagonals(at)
    return [rows[0].mean().item(), rows[main_head(at) + 1].mean().item(), _others(at).mean().item()]


@fact("the responsible head's own entry by the main duplicate head, a to j", on=main,
      uses=["virtual_ov", "responsible_heads"])  # fmt: skip
def ov_by_duplicate(at):
    return own_diagonals(at)[main_head(at) + 1]


@fact("largest entry of the virtual OV tables", uses=["virtual_ov"])
def ov_largest(at):
    return circuits.virtual_ov(at.model, scales(at)).abs().max().item()


@cache
def ov_head(at: Bench) -> torch.Tensor:
    diagonals = circuits.virtual_ov(at.model, scales(at)).diagonal(dim1=2, dim2=3)[..., :10]
    return diagonals.norm(dim=1).argmax(0)


@fact("letters of H1.0, H1.1, H1.2, by the length of their diagonal entries over all four ways",
      published=["ac", "defj", "bghi"], source=NOTEBOOK, uses=["virtual_ov"])  # fmt: skip
def ov_sets(at):
    return by_head(ov_head(at))


# -- attribution


@cache
def components(at: Bench) -> torch.Tensor:
    return attribution.component_logits(at.model, published_tokens())


@fact("largest difference of the nine components' sum from the logits", bounds=(0, 1e-3), uses=["component_logits"])
def component_error(at):
    return noise(components(at).sum(0) - run(at)[0])


@fact("the same without the biases", uses=["component_logits"])
def component_error_no_biases(at):
    return (components(at)[:-1].sum(0) - run(at)[0]).abs().max().item()


@fact("the same with the final scale's mean in place of the real one", uses=["component_logits"])
def component_error_constant(at):
    scale = run(at)[1]["ln_final.hook_scale"]
    return ((components(at) * scale).sum(0) / scale.mean() - run(at)[0]).abs().max().item()


@fact("mean size of each component's centred logits: token, position, three heads of layer 0, three of layer 1, biases",
      uses=["component_logits"])  # fmt: skip
def component_sizes(at):
    centred = components(at) - components(at).mean(-1, keepdim=True)
    return centred[:, :, 1:].std(-1).mean((1, 2))


@fact("letters of H1.0, H1.1, H1.2, by whose attribution is lowest where the letter is repeated",
      published=["ac", "defj", "bghi"], source=NOTEBOOK, uses=["responsible_heads"])  # fmt: skip
def responsible(at):
    return by_head(responsible_head(at))


@fact("attribution to a repeated letter, summed over the heads of layer 1: the highest of the ten letters",
      bounds=(-100, -1.5), uses=["duplicate_attribution"])  # fmt: skip
def repeated_sum_max(at):
    return of_duplicates(at).sum(0).max().item()


def _share(at: Bench) -> torch.Tensor:
    negative = of_duplicates(at).clamp(max=0)
    return negative.min(0).values / negative.sum(0)


@fact("letters of which one head gives at least 70% of the negative attribution", bounds=(8, 10),
      uses=["duplicate_attribution"])  # fmt: skip
def clear_letters(at):
    return (_share(at) >= 0.7).sum().item()


@fact("share of the negative attribution that the responsible head gives, a to j", uses=["duplicate_attribution"])
def responsible_share(at):
    return _share(at)


@fact("the same for the least clear letter", uses=["duplicate_attribution"])
def responsible_share_min(at):
    return _share(at).min().item()


@fact("the responsible head's attribution to its repeated letters: lowest and highest of the ten letters", on=main,
      uses=["duplicate_attribution"])  # fmt: skip
def repeated_range(at):
    lowest = of_duplicates(at).min(0).values
    return [lowest.min().item(), lowest.max().item()]


@cache
def correct_head(at: Bench) -> torch.Tensor:
    label = F.one_hot(published_labels(), 11)[..., :10]
    heads = components(at)[5:8, ..., :10]
    return ((heads * label).sum((1, 2)) / label.sum((0, 1))).argmax(0)


@fact("letters of H1.0, H1.1, H1.2, by whose attribution is highest where the letter is the answer",
      published=["ac", "defj", "bghi"], source=NOTEBOOK, uses=["component_logits"])  # fmt: skip
def correct_sets(at):
    return by_head(correct_head(at))


@cache
@torch.no_grad()
def causal_rise(at: Bench) -> torch.Tensor:
    """By how much a repeated letter's centred logit rises without one head of layer 1: [head, letter]."""
    logits, repeated = run(at)[0], occurrences()[0] >= 2
    rows = []
    for head in range(3):
        hook = partial(ablation.head_ablation_hook, head=head, kind="mean")
        without = at.model.run_with_hooks(published_tokens(), fwd_hooks=[("blocks.1.attn.hook_z", hook)])
        change = (without - without.mean(-1, keepdim=True)) - (logits - logits.mean(-1, keepdim=True))
        rows.append((change[..., :10] * repeated).sum((0, 1)) / repeated.sum((0, 1)))
    return torch.stack(rows)


@fact("letters of H1.0, H1.1, H1.2, by whose mean-ablation raises the repeated letter most",
      uses=["head_ablation_hook"])  # fmt: skip
def causal_sets(at):
    return by_head(causal_rise(at).argmax(0))


@fact("rise of a repeated letter's logit without its responsible head: lowest and highest of the ten letters",
      bounds=(4, 40), on=main, uses=["head_ablation_hook", "responsible_heads"])  # fmt: skip
def causal_range(at):
    own = causal_rise(at)[responsible_head(at), torch.arange(10)]
    return [own.min().item(), own.max().item()]


@fact("letters whose responsible head is also the one whose ablation raises them most", bounds=(10, 10), on=main,
      uses=["head_ablation_hook", "responsible_heads"])  # fmt: skip
def causal_agree(at):
    return (causal_rise(at).argmax(0) == responsible_head(at)).sum().item()


@fact("letters on which the composition diagonals and the attribution name the same head", bounds=(8, 10), on=main,
      published=10, source=NOTEBOOK, uses=["virtual_ov", "responsible_heads"])  # fmt: skip
def two_ways_agree(at):
    return (ov_head(at) == responsible_head(at)).sum().item()


@cache
def paths(at: Bench) -> torch.Tensor:
    """Layer 1's writing by what it has read, for letters that are (repeated, unique, absent): [source, 3]."""
    count = occurrences()[0]
    table = attribution.value_path_logits(at.model, published_tokens())[..., :10]
    situations = [count >= 2, count == 1, count == 0]
    return torch.stack([(table * s).sum((1, 2, 3)) / s.sum() for s in situations], dim=1)


@fact("largest difference of the six value paths and the direct ways from the logits", bounds=(0, 1e-3),
      uses=["value_path_logits", "component_logits"])  # fmt: skip
def value_path_error(at):
    total = attribution.value_path_logits(at.model, published_tokens()).sum(0)
    return noise(total + components(at)[:5].sum(0) + components(at)[8] - run(at)[0])


@fact("value path through the main duplicate head: mean over repeated, unique, absent letters", on=main,
      uses=["value_path_logits"])  # fmt: skip
def path_duplicate(at):
    return paths(at)[2 + main_head(at)]


@fact("the same over repeated letters", bounds=(-100, -2), on=main, uses=["value_path_logits"])
def path_duplicate_repeated(at):
    return paths(at)[2 + main_head(at), 0].item()


@fact("the same over unique letters", bounds=(1, 100), on=main, uses=["value_path_logits"])
def path_duplicate_unique(at):
    return paths(at)[2 + main_head(at), 1].item()


@fact("value path through the other two heads of layer 0: mean over repeated, unique, absent letters", on=main,
      uses=["value_path_logits"])  # fmt: skip
def path_others(at):
    return paths(at)[[2 + h for h in range(3) if h != main_head(at)]].sum(0)


@fact("value path of the token embedding: mean over repeated, unique, absent letters", on=main,
      uses=["value_path_logits"])  # fmt: skip
def path_embedding(at):
    return paths(at)[0]


@fact("by how much the first LayerNorm's scale is smaller than the second's, on average")
def scale_ratio(at):
    cache = run(at)[1]
    return (cache["blocks.1.ln1.hook_scale"] / cache["blocks.0.ln1.hook_scale"]).mean().item()


@fact("attention from position 19 on repeats of a head's own letters over that on their first occurrences, by head",
      bounds=(1.5, 100), uses=["responsible_heads"], on=main)  # fmt: skip
def repeat_over_first(at):
    tokens, count = published_tokens(), occurrences()[0]
    pattern = run(at)[1]["blocks.1.attn.hook_pattern"][:, :, 19]
    letter = tokens.clamp(max=9)
    again = count.gather(-1, letter[..., None])[..., 0] >= 2
    ratios = []
    for head in range(3):
        own = (responsible_head(at)[letter] == head) & (tokens < 10)
        twice, once = mean(pattern[:, head], own & again), mean(pattern[:, head], own & ~again)
        ratios.append(twice / once if twice and once else None)
    return ratios


@fact("slope and correlation of a unique letter's logit at position 19 with the position where it stands")
def order_by_position(at):
    count, first = occurrences()
    unique = count[:, 19] == 1
    points = torch.stack([first[:, 19][unique].double(), run(at)[0][:, 19, :10][unique].double()])
    covariance = points.cov()
    return [(covariance[0, 1] / covariance[0, 0]).item(), points.corrcoef()[0, 1].item()]


@fact("how often the earlier of the first two unique letters wins at position 19, by their distance 1 to 5", on=main)
def order_by_gap(at):
    tokens, _, logits = fresh_run(at)
    count, first = dataset.occurrence_info(tokens)
    logits = logits[:, 19, :10]
    place, letter = first[:, 19].masked_fill(count[:, 19] != 1, 99).sort(-1)
    gap, wins = place[:, 1] - place[:, 0], logits.gather(1, letter[:, :1]) > logits.gather(1, letter[:, 1:2])
    return [mean(wins[:, 0].double(), (gap == g) & (place[:, 1] < 99)) for g in range(1, 6)]


@fact("attention of H1.0, H1.1, H1.2 from position 19 on the place of the answer, where there is one")
def attention_on_answer(at):
    tokens, label = published_tokens(), published_labels()[:, 19]
    pattern = run(at)[1]["blocks.1.attn.hook_pattern"][label < 10, :, 19]
    answer = (tokens == label[:, None])[label < 10]
    return (pattern * answer[:, None]).sum(-1).mean(0)


# -- ablation


@cache
def heads_removed(at: Bench, kind: str) -> torch.Tensor:
    return ablation.ablate_heads(at.model, published_tokens(), published_labels(), kind)


@fact("loss added by zero-ablating H0.0, H0.1, H0.2, H1.0, H1.1, H1.2", bounds=(0.2, 30), uses=["ablate_heads"])
def zero_ablation(at):
    return heads_removed(at, "zero").mean(-1).flatten()


@fact("loss added by mean-ablating H0.0, H0.1, H0.2, H1.0, H1.1, H1.2", uses=["ablate_heads"])
def mean_ablation(at):
    return heads_removed(at, "mean").mean(-1).flatten()


@fact("loss added by mean-ablating a head of layer 1", bounds=(2, 6), on=main, uses=["ablate_heads"])
def mean_ablation_layer1(at):
    return heads_removed(at, "mean").mean(-1)[1]


@fact("loss added at position 19 by mean-ablating H0.0, H0.1, H0.2", on=main, uses=["ablate_heads"])
def mean_ablation_at_19(at):
    return heads_removed(at, "mean")[0, :, 19]


@fact("whether the head that is missed most at position 19 is the main duplicate head (1: it is)", bounds=(1, 1),
      on=main, uses=["ablate_heads", "l0_detectors"])  # fmt: skip
def missed_head_is_duplicate(at):
    return int(heads_removed(at, "mean")[0, :, 19].argmax().item() == main_head(at))


@fact("loss of the whole model at its best and at its worst position")
def loss_by_position(at):
    each = F.cross_entropy(run(at)[0].mT, published_labels(), reduction="none").mean(0)
    return [each.min().item(), each.max().item()]


@cache
def qkv_removed(at: Bench, kind: str) -> torch.Tensor:
    return ablation.ablate_qkv(at.model, published_tokens(), published_labels(), kind)


@cache
def few_removed(at: Bench, ablate: Any) -> torch.Tensor:
    """Zero ablation on the first hundred sequences only: enough for an identity."""
    return ablate(at.model, published_tokens()[:100], published_labels()[:100], "zero")


@fact("loss added by mean queries of H0.0, H0.1, H0.2, H1.0, H1.1, H1.2", uses=["ablate_qkv"], on=main)
def mean_queries(at):
    return qkv_removed(at, "mean")[0].flatten()


@fact("loss added by mean keys of the same heads", uses=["ablate_qkv"], on=main)
def mean_keys(at):
    return qkv_removed(at, "mean")[1].flatten()


@fact("loss added by mean values of the same heads", uses=["ablate_qkv"], on=main)
def mean_values(at):
    return qkv_removed(at, "mean")[2].flatten()


@fact("largest difference between zero queries and zero keys", bounds=(0, 1e-3), uses=["ablate_qkv"])
def zero_query_key(at):
    table = few_removed(at, ablation.ablate_qkv)
    return noise(table[0] - table[1])


@fact("largest difference between zero values and a zero-ablated head", bounds=(0, 1e-3),
      uses=["ablate_qkv", "ablate_heads"])  # fmt: skip
def zero_value_head(at):
    return noise(few_removed(at, ablation.ablate_qkv)[2] - few_removed(at, ablation.ablate_heads).mean(-1))


@fact("loss added by zero queries of H0.0, H0.1, H0.2, H1.0, H1.1, H1.2", uses=["ablate_qkv"], on=main)
def zero_queries(at):
    return qkv_removed(at, "zero")[0].flatten()


@cache
@torch.no_grad()
def flat(at: Bench) -> torch.Tensor:
    """Logits when all three heads of layer 1 ask with mean queries."""
    hooks = [("blocks.1.attn.hook_q", lambda q, hook: q.mean(0).expand_as(q))]
    return at.model.run_with_hooks(published_tokens(), fwd_hooks=hooks)


@fact("loss added by mean queries of all three heads of layer 1 at once")
def flat_queries(at):
    return loss(flat(at)) - loss(run(at)[0])


@fact("share of right answers with mean queries of all three heads of layer 1 at once")
def flat_queries_accuracy(at):
    return right(flat(at)).mean().item()


@cache
def cut(at: Bench, into: str, *components: str) -> tuple[float, float]:
    """Loss added, and accuracy."""
    rise, share = ablation.ablate_composition(
        at.model, published_tokens(), published_labels(), into, components or HEADS
    )
    return rise - loss(run(at)[0]), share


@fact("loss added when layer 0's heads no longer reach layer 1's keys", bounds=(5, 30), on=main,
      uses=["ablate_composition"])  # fmt: skip
def cut_keys(at):
    return cut(at, "k")[0]


@fact("loss added when layer 0's heads no longer reach layer 1's values", bounds=(5, 30), on=main,
      uses=["ablate_composition"])  # fmt: skip
def cut_values(at):
    return cut(at, "v")[0]


@fact("loss added when layer 0's heads no longer reach layer 1's queries", bounds=(0, 3), on=main,
      uses=["ablate_composition"])  # fmt: skip
def cut_queries(at):
    return cut(at, "q")[0]


@fact("accuracy when layer 0's heads no longer reach layer 1's keys, values, queries", on=main,
      uses=["ablate_composition"])  # fmt: skip
def cut_accuracy(at):
    return [cut(at, into)[1] for into in "kvq"]


@fact("loss added when layer 0's heads no longer reach layer 1's keys, its values, its queries, the logits directly",
      uses=["ablate_composition"])  # fmt: skip
def cut_all(at):
    return [*(cut(at, into)[0] for into in "kvq"), loss(direct(at)) - loss(run(at)[0])]


@cache
@torch.no_grad()
def direct(at: Bench) -> torch.Tensor:
    """Logits when the heads of layer 0 no longer reach the logits directly."""
    logits, kept = run(at)
    heads = torch.einsum("bphd,hdm->bpm", kept["blocks.0.attn.hook_z"], at.model.W_O[0])
    return logits + (heads.mean(0) - heads) / kept["ln_final.hook_scale"] @ at.model.W_U


@fact("loss added when the heads of layer 0 no longer reach the logits directly")
def cut_direct(at):
    return loss(direct(at)) - loss(run(at)[0])


@fact("loss added when only the main duplicate head no longer reaches layer 1's keys", bounds=(3, 30), on=main,
      uses=["ablate_composition"])  # fmt: skip
def cut_keys_duplicate(at):
    return cut(at, "k", HEADS[main_head(at)])[0]


@fact("loss added when only the token embedding no longer reaches layer 1's values", on=main,
      uses=["ablate_composition"])  # fmt: skip
def cut_values_embedding(at):
    return cut(at, "v", "emb")[0]


@fact("loss added when only the position embedding no longer reaches layer 1's keys", bounds=(-1e-4, 1e-4),
      uses=["ablate_composition"])  # fmt: skip
def cut_keys_position(at):
    return noise(torch.tensor(cut(at, "k", "pos")[0]))


@fact("attention of H0.0, H0.1, H0.2 from position 1 to itself")
def self_attention_at_1(at):
    return run(at)[1]["blocks.0.attn.hook_pattern"][:, :, 1, 1].mean(0)


@fact("the highest of these three", bounds=(0.5, 1))
def self_attention_at_1_max(at):
    return run(at)[1]["blocks.0.attn.hook_pattern"][:, :, 1, 1].mean(0).max().item()


@cache
def blocked(at: Bench, *positions: int) -> torch.Tensor:
    return right(ablation.block_self_attention(at.model, published_tokens(), positions))


@fact("share of right answers at position 1 when layer 0 may not look at position 1 from there", bounds=(0, 0.45),
      uses=["block_self_attention"])  # fmt: skip
def blocked_first(at):
    return blocked(at, 1)[:, 1].mean().item()


@fact("share of right answers at positions from 2 on in the same run", bounds=(0, 0.9), uses=["block_self_attention"])
def blocked_first_later(at):
    return blocked(at, 1)[:, 2:].mean().item()


@fact("share of right answers at position 10 when layer 0 may not look at position 10 from there", bounds=(0.97, 1),
      on=main, uses=["block_self_attention"])  # fmt: skip
def blocked_tenth(at):
    return blocked(at, 10)[:, 10].mean().item()


@fact("share of right answers from position 11 on in the same run", uses=["block_self_attention"])
def blocked_tenth_later(at):
    return blocked(at, 10)[:, 11:].mean().item()


# -- failures, families, explanations


@fact("which family the algorithm belongs to", uses=["family"])
def algorithm(at):
    return explain.family(at.model, published_tokens())


def _wrong(at: Bench, tokens: torch.Tensor) -> torch.Tensor:
    return (answers(at, tokens) != dataset.first_unique_labels(tokens)).sum(-1)


@fact("share of right answers on the published adversarial sequence ?ggbbiihaggbigbigbig")
def published_adversary(at):
    return 1 - _wrong(at, dataset.to_tokens("?ggbbiihaggbigbigbig")).item() / 20


@fact("wrong answers of 20 on ?eeeeeejeeeeeeeeeeee")
def one_j_in_a_flood(at):
    return _wrong(at, dataset.to_tokens("?eeeeeejeeeeeeeeeeee")).item()


@fact("what the model says to ?eeeeeejeeeeeeeeeeee", on=main)
def said_in_a_flood(at):
    return dataset.to_text(answers(at, dataset.to_tokens("?eeeeeejeeeeeeeeeeee"))[0])


@fact("share of random sequences with 3 or more of 20 answers wrong", on=main, bounds=(0, 0.05))
def badly_wrong_random(at):
    _, labels, logits = fresh_run(at)
    return (right(logits, labels).sum(1) <= 17).double().mean().item()


@fact("the same where one letter takes every place with probability 0.85", on=main, bounds=(0.2, 1))
def badly_wrong_flooded(at):
    return (_wrong(at, flooded(at, 2000, 0.85)[0]) >= 3).double().mean().item()


@fact("share of right answers (positions from 1 on) where one letter takes every place with probability 0, 0.3, 0.5, "
      "0.7, 0.85", on=main)  # fmt: skip
def accuracy_flooded(at):
    return [1 - _wrong(at, flooded(at, 2000, often)[0]).double().mean().item() / 19 for often in ROOMS]


@fact("share of the wrong answers at 0.7 that name the flooding letter, and that are '?'", on=main)
def flood_answers(at):
    tokens, letter = flooded(at, 2000, 0.7)
    said = answers(at, tokens)
    wrong = said != dataset.first_unique_labels(tokens)
    return [mean((said == letter).double(), wrong), mean((said == 10).double(), wrong)]


@fact(
    "share of five searches, each from 24 random sequences, that end with a sequence of 3 or more wrong answers",
    on=main,
    bounds=(1, 1),
    uses=["find_adversarial"],
)
def adversarial_found(at):
    found = [explain.find_adversarial(at.model, fresh(at, 24, f"start {i}")) for i in range(5)]
    return sum(len(f) > 0 and _wrong(at, f).min().item() >= 3 for f in found) / 5


def marks(at: Bench, program: Any) -> list[float]:
    """Agreement with the model on random and on flooded sequences, and on the errors it makes on the latter."""
    result = []
    for tokens in (fresh(at, 2000, "marks"), flooded(at, 2000)[0]):
        truth, said = answers(at, tokens)[:, 1:], program(tokens).argmax(-1)[:, 1:]
        wrong = truth != dataset.first_unique_labels(tokens)[:, 1:]
        agree = (truth == said).double()
        result += [agree.mean().item(), mean(agree, wrong)]
    return [result[0], result[2], result[3]]


@fact("marks of the published simplification, every LayerNorm scale a constant: agreement on random sequences, on "
      "flooded ones, and on the model's errors there", on=main, uses=["freeze_layernorm"])  # fmt: skip
def milestone(at):
    return marks(at, lambda tokens: circuits.freeze_layernorm(at.model, tokens, ALL_LN))


@fact("marks of a program that solves the task", on=main, uses=["first_unique_labels"])
def marks_of_the_task(at):
    return marks(at, lambda tokens: F.one_hot(dataset.first_unique_labels(tokens), 11))


@fact("marks of a program that always names the letter at position 1", on=main)
def marks_of_first_letter(at):
    return marks(at, lambda tokens: F.one_hot(tokens[:, 1:2].expand(-1, 20), 11))


@fact("marks of the model with nothing but its final LayerNorm held constant", on=main, uses=["freeze_layernorm"])
def marks_of_a_copy(at):
    return marks(at, lambda tokens: circuits.freeze_layernorm(at.model, tokens, ["final"]))


@fact("marks of the solution's program: layer 0 looked up in tables, layer 1 with a looked-up scale", on=main,
      uses=["explain"])  # fmt: skip
def marks_of_tables(at):
    return _table_marks(at)


@cache
def _table_marks(at: Bench) -> list[float]:
    return marks(at, explain.explain(at.model))


@fact("agreement of the solution's program on random sequences", on=main, bounds=(0.95, 1), uses=["explain"])
def tables_agreement(at):
    return _table_marks(at)[0]


@fact("agreement of the solution's program on the model's errors on flooded sequences", on=main, bounds=(0.5, 0.95),
      uses=["explain"])  # fmt: skip
def tables_agreement_errors(at):
    return _table_marks(at)[2]
