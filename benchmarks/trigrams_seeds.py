"""Train the trigram model from several seeds and compare what comes out: the table in data/trigrams/README.md.

    python benchmarks/trigrams_seeds.py natural:0 natural:1 natural:2 annealed:0 annealed:2

About a minute of one core per seed. Checkpoints go to --out with their trigrams beside them, so that
`pytest checks/test_trigrams.py --checkpoint trigrams=FILE` takes them; those that are there already are not trained
again.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = {  # heading: one fact, or two with an arrow between them
    "right": ["right_count"],
    "detected": ["detected_count"],
    "of them right": ["detected_right"],
    "explained": ["explained_count"],
    "precision": ["detected_precision"],
    "recall": ["detected_recall"],
    "false pairs": ["detected_false"],
    "lookups that fit": ["lookup_hits"],
    "usual pattern": ["usual_pattern"],
    "mean MLP → linear": ["mlp_mean_by_mode", "linearised_by_mode"],
    "`explain`": ["score_program"],
}


def shown(name: str, value: Any) -> str:
    if name == "lookup_hits":
        return f"{value[0]} of {value[1]}"
    if name == "usual_pattern":
        return f"{value[0]} on, {value[1]:.0%}"
    if isinstance(value, list):
        return " + ".join(map(str, value))
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main(runs: list[str], out: Path) -> None:
    sys.path.insert(0, str(ROOT))
    import torch

    torch.set_num_threads(1)
    from checks.facts import trigrams as facts
    from kata import training
    from kata.checking import Bench
    from kata.checkpoints import checkpoints
    from kata.facts import FACT_SEED, rounded
    from kata.project import Project

    project = Project.find(ROOT)
    recipe = training.recipe(project, "trigrams")
    template = checkpoints(project, "trigrams")[0]
    print("| recipe, seed |", " | ".join(COLUMNS), "|")
    print("|" + "---|" * (len(COLUMNS) + 1))
    for run in runs:
        kind, _, seed = run.partition(":")
        if kind not in recipe.RECIPES or not seed.isdigit():
            sys.exit(f"{run}: say recipe:seed, with one of the recipes {', '.join(recipe.RECIPES)}")
        path = out / f"{kind}_{seed}.safetensors"
        checkpoint = replace(
            template, name=path.stem, role="sibling", seed=int(seed), recipe=kind, path=path, sha256=""
        )
        if not path.is_file():
            training.train(project, checkpoint, out, lambda step, total, text: None)
        trigrams = recipe.make_trigrams(int(seed)).tolist()
        path.with_name(path.name + ".table.json").write_text(json.dumps(trigrams) + "\n", encoding="utf-8")
        bench = Bench(checkpoint, FACT_SEED)
        row = [
            " → ".join(shown(name, rounded(getattr(facts, name).compute(bench))) for name in names)
            for names in COLUMNS.values()
        ]
        print(f"| {kind}, {seed} |", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="recipe:seed")
    parser.add_argument("--out", type=Path, default=Path("/tmp/trigrams_seeds"), help="folder for the checkpoints")
    arguments = parser.parse_args()
    main(arguments.runs, arguments.out)
