"""Plays pools of 64 workers on spot machines in virtual time: `python -m bench.fleet`.

Prints finish time and cost of three loads for shards of 30 s to 10 min and three cooldowns; of the large one
also for other lives of nodes; then what changes with one other number at a time. Draws
`docs/assets/fleet.svg`. The last line is JSON; the results are also written to `bench/results/fleet.json`.
The exit code is 1 if a bar is missed. Takes about two minutes.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from bench.figures import Figure
from bench.fleet.settings import Fleet, read_scaling
from bench.fleet.sweep import COOLDOWNS, LARGE, LIVES, LOADS, REFERENCE, SIZES, measure, varied, with_cooldown
from bench.fleet.tables import CHOSEN, draw, table_of_lives, table_of_sizes, table_of_variations

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results" / "fleet.json"
PICTURE = ROOT / "docs" / "assets" / "fleet.svg"
FINISH, COST = "≤ 1.25", "≤ 1.25"  # × the ideal, of the large job
BEST = "≤ 1.03"  # × the cost at the best shard size
SECONDS = "≤ 20"  # for a run of the large job


def main() -> int:
    fleet = Fleet(scaling=read_scaling())
    print(f"{fleet}\n")
    sweep = {
        (load.name, size, cooldown): measure(with_cooldown(fleet, cooldown), load, size)
        for load in LOADS
        for size in SIZES
        for cooldown in COOLDOWNS
    }
    for load in LOADS:
        print(f"{load.name}:\n\n{table_of_sizes(sweep, load.name)}\n", flush=True)
    lives = {
        (life, size): measure(replace(fleet, spot_life=life), LARGE, size) for life in LIVES for size in SIZES
    }
    print(f"large, by the mean life of a node:\n\n{table_of_lives(lives)}\n", flush=True)
    rows = {name: [measure(pool, load, REFERENCE) for load in LOADS] for name, pool in varied(fleet)}
    print(f"shards of {REFERENCE:g} s:\n\n{table_of_variations(rows)}\n")
    draw(sweep, PICTURE)

    began = time.monotonic()
    default = measure(fleet, LARGE, REFERENCE)
    seconds = (time.monotonic() - began) / LARGE.seeds
    cheapest = min(sweep[LARGE.name, size, CHOSEN].cost for size in SIZES)
    figures = [
        Figure("large: finish", default.finish, "×", FINISH),
        Figure("large: cost", default.cost, "×", COST),
        Figure("large: cost over the best size's", default.cost / cheapest, "×", BEST),
        Figure("large: one run", seconds, "s", SECONDS),
    ]
    print(*figures, sep="\n")
    report = {
        "fleet": asdict(fleet),
        "results": [figure.to_json() for figure in figures],
        "sizes": [asdict(result) | {"cooldown": cooldown} for (*_, cooldown), result in sweep.items()],
        "lives": [asdict(result) | {"spot_life": life} for (life, _), result in lives.items()],
        "variations": {name: [asdict(result) for result in results] for name, results in rows.items()},
    }
    RESULTS.write_text(json.dumps(_rounded(report), indent=1) + "\n")
    print(json.dumps(report["results"], ensure_ascii=False))
    return 1 if any(figure.met is False for figure in figures) else 0


def _rounded(value: object) -> object:
    """The value with its numbers rounded to four digits, so that two runs' files can be compared."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None).parse_args()
    sys.exit(main())
