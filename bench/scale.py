"""Measures how speed and memory go with the size of things: `python -m bench.scale`.

Jobs of the demo model label pictures of 84 pixels on a CPU, with the ledger, the shards and the queue of
`savs-submit classify`, each in a process of its own. Told is what the size of a shard, the
budget of a batch and the window that is read ahead do to items a second and to memory; the bar is that
memory does not grow with the items. Memory is the peak while labelling, beyond what the process had once
the model was loaded. The window is no option of savs: that process sets it for itself.

The last line is JSON; the results also go to `bench/results/scale.json`. The exit code is 1 if the bar is
missed. Under three minutes on a quiet machine.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, engine_versions, machine
from bench.fresh import fresh

RESULTS = Path(__file__).parent / "results" / "scale.json"
FEW, MANY = 500, 4000  # items; FEW fill what is read ahead, and all that is varied has as many
GROWTH = "≤ 1.1"  # × what FEW items take
SHARD, BUDGET, WINDOW = 256, 4096, 512  # rows, tokens and requests: what savs takes on a CPU
NAMES = ("items", "rows a shard", "tokens a batch", "requests a window")
SHARDS = (32, 1024)
BUDGETS = (512, 16_384)
WINDOWS = (32, 128)


def measure(few: int, many: int, place: Path) -> list[Figure]:
    fresh("engine.labelling.write_manifest", str(place), many)
    artifact, _ = fresh("engine.labelling.fit", str(place))
    runs = [("items", few, SHARD, BUDGET, WINDOW), ("items", many, SHARD, BUDGET, WINDOW)]
    runs += [("rows a shard", few, size, BUDGET, WINDOW) for size in SHARDS]
    runs += [("tokens a batch", few, SHARD, size, WINDOW) for size in BUDGETS]
    runs += [("requests a window", few, 1024, BUDGET, size) for size in WINDOWS]
    figures, beyond = [], []
    for varied, *sizes in runs:
        (rate, loaded), peak = fresh("engine.labelling.label", str(place), artifact, *sizes)
        name = f"{sizes[NAMES.index(varied)]:,} {varied}"
        beyond.append(peak - loaded)
        found = [Figure(f"{name}: speed", rate, "items/s"), Figure(f"{name}: memory", beyond[-1], "MB")]
        print(*found, sep="\n", flush=True)
        figures += found
    growth = Figure("memory: many items over few", beyond[1] / beyond[0], "×", GROWTH if few == FEW else None)
    print(growth, flush=True)
    return [*figures, growth]


def main(quick: bool) -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="savs-bench-") as place:
        sizes = (FEW // 10, MANY // 10) if quick else (FEW, MANY)
        figures = measure(*sizes, Path(place))
    print(f"measured in {time.monotonic() - began:.0f} s")
    report = {
        "machine": machine(),
        "versions": engine_versions(),
        "results": [figure.to_json() for figure in figures],
    }
    if not quick:
        RESULTS.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(report, ensure_ascii=False))
    return 1 if any(figure.met is False for figure in figures) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the items; nothing is judged or kept"
    )
    sys.exit(main(parser.parse_args().quick))
