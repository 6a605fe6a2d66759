"""Measures the readouts: `make bench-readouts`; about half an hour on two cores.

For each of ten sets, draws of 5, 10, 20 and 50 examples per class: the published vote, `hec`, and what `auto`
makes of the same examples without and with 800 unlabelled rows of the corpus, all on the same test rows. Then
the time and memory of a fit with the heads of a 7-billion model. Prints the tables of `docs/method.md`; the
last line is JSON, and the exit code is 1 if a bar is missed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import savs
from bench.engine import workloads
from bench.figures import Figure, engine_versions, machine
from bench.readouts.draws import Result, run_draw
from bench.readouts.sets import NAMES, LabelledSet, load_sets
from savs.demo.evaluate import read
from savs.engine.prompts import Prompt

SHOTS = (5, 10, 20, 50)
DRAWS = 5
LINEAR = ("ridge", "corpus")
READOUTS = ("vote", "hec", *LINEAR)
Table = dict[tuple[str, int, str], list[Result]]  # set, shots, readout → a result per draw


def measure(sets: Sequence[LabelledSet], draws: int) -> Table:
    """Return the results of all draws."""
    found: Table = {}
    for given in sets:
        for shots in SHOTS:
            for draw in range(draws):
                for result in run_draw(given, shots, draw):
                    found.setdefault((given.name, shots, result.readout), []).append(result)
        print(f"{given.name}: measured", file=sys.stderr, flush=True)
    return found


def mean(results: Sequence[Result], field: str) -> float:
    """Return the mean over draws, without those that kept nothing; NaN if none is left."""
    values = [value for one in results if not np.isnan(value := getattr(one, field))]
    return float(np.mean(values)) if values else float("nan")


def per_set(table: Table, shots: int, readout: str, field: str) -> dict[str, float]:
    return {
        name: mean(table[name, shots, readout], field) for name, n, r in table if (n, r) == (shots, readout)
    }


def removed(table: Table, shots: int, readout: str) -> float:
    """Return the share of the vote's error that a readout removes, of the mean accuracies over sets."""
    mine, vote = (np.mean([*per_set(table, shots, r, "accuracy").values()]) for r in (readout, "vote"))
    return float(1 - (1 - mine) / (1 - vote))


def print_tables(table: Table) -> None:
    print(
        "| accuracy | "
        + " | ".join(f"{shots} shots" for shots in SHOTS)
        + " |\n|"
        + "---|" * (len(SHOTS) + 1)
    )
    for readout in READOUTS:
        cells = []
        for shots in SHOTS:
            accuracy = np.mean([*per_set(table, shots, readout, "accuracy").values()])
            share = "" if readout == "vote" else f" ({removed(table, shots, readout):.0%})"
            cells.append(f"{accuracy:.3f}{share}")
        print(f"| `{readout}` | " + " | ".join(cells) + " |")
    print(
        "\n| 20 shots | vote | hec | ridge | corpus | ECE ridge | ECE corpus | kept at 0.95 | precision |\n|"
        + "---|" * 9
    )
    for name in per_set(table, 20, "vote", "accuracy"):
        right = [mean(table[name, 20, readout], "accuracy") for readout in READOUTS]
        off = [mean(table[name, 20, readout], "ece") for readout in LINEAR]
        kept = [mean(table[name, 20, "corpus"], field) for field in ("kept", "precision")]
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in (*right, *off, *kept)) + " |")


def figures(table: Table) -> list[Figure]:
    """Return the bars of 20 and 5 shots. Precision is the mean over the sets of which anything was kept."""
    found = [
        Figure("20 shots, corpus: error removed", removed(table, 20, "corpus"), "", "≥ 0.45"),
        Figure("20 shots, ridge: error removed", removed(table, 20, "ridge"), "", "≥ 0.37"),
        Figure("5 shots, corpus: error removed", removed(table, 5, "corpus"), "", "≥ 0.22"),
        Figure("5 shots, ridge: error removed", removed(table, 5, "ridge"), ""),
    ]
    vote = per_set(table, 20, "vote", "accuracy")
    for readout in LINEAR:
        right, off = (per_set(table, 20, readout, field) for field in ("accuracy", "ece"))
        worst = min(right[name] - vote[name] for name in vote)
        found += [
            Figure(f"20 shots, {readout}: worst set − vote", worst, "", "≥ -0.01"),
            Figure(f"20 shots, {readout}: mean ECE", float(np.mean([*off.values()])), "", "≤ 0.05"),
            Figure(f"20 shots, {readout}: largest ECE", max(off.values()), "", "≤ 0.10"),
        ]
        few = float(np.mean([*per_set(table, 5, readout, "ece").values()]))
        found.append(Figure(f"5 shots, {readout}: mean ECE", few, "", "≤ 0.12"))
    kept = per_set(table, 20, "corpus", "precision").values()
    found.append(Figure("20 shots, precision 0.95 asked for", float(np.nanmean([*kept])), "", "≥ 0.94"))
    draws = [one for (_, shots, r), all_ in table.items() if (shots, r) == (20, "corpus") for one in all_]
    sure = [one for one in draws if not np.isnan(one.precision)]
    held = float(np.mean([one.precision >= 0.95 for one in sure]))
    found.append(Figure("20 shots, draws in which it held", held, "of those that kept rows"))
    return found


def shape_figures(folder: Path) -> list[Figure]:
    """Return time and memory of a fit with the heads of a 7-billion model, and the cost of labelling an item
    relative to a forward pass of the 0.1-billion model."""
    said = subprocess.run(
        [sys.executable, "-m", "bench.readouts.shape"], capture_output=True, text=True, check=True
    )
    found = json.loads(said.stdout)
    share = found["label_seconds"] / forward_seconds(folder)
    return [
        Figure("fit of 784 heads with folds", found["fit_seconds"], "s", "≤ 60"),
        Figure("peak memory of that fit", found["peak_gb"], "GB", "≤ 4"),
        Figure("labelling / forward pass of 0.1 billion", share, "", "≤ 0.02"),
    ]


def forward_seconds(folder: Path) -> float:
    """Return the seconds of one item in a forward pass of the model "tenth", the median of several
    batches."""
    model = savs.load_model(workloads.checkpoint("tenth", folder), device="cpu")
    image = Image.new("RGB", (workloads.SIDE, workloads.SIDE), "white")
    prompts, times = [Prompt((image,), "What is it?")] * 8, []
    for _ in range(5):
        began = time.perf_counter()
        read(model, prompts)
        times.append((time.perf_counter() - began) / len(prompts))
    return float(np.median(times))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, help="folder in which head vectors are kept between runs")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--sets", nargs="+", default=NAMES, metavar="NAME")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    results = measure([*load_sets(savs.load_model("demo"), arguments.cache, arguments.sets)], arguments.draws)
    print_tables(results)
    with tempfile.TemporaryDirectory() as place:
        measured = [*figures(results), *shape_figures(Path(place))]
    print()
    for figure in measured:
        print(figure)
    print(json.dumps({"machine": machine(), **engine_versions(), "figures": [f.to_json() for f in measured]}))
    sys.exit(any(figure.met is False for figure in measured))
