"""Measures how speed and memory depend on sizes: `python -m bench.scale`.

Jobs of the demo model label images of 84 pixels on a CPU, with the ledger, the shards and the queue of
`savs-submit classify`, each in a separate process. It reports the effect of the shard size, the batch
budget and the window size on items per second and on memory; the bar is that memory does not grow with the
number of items. Memory is the peak while labelling, minus the memory of the process when the model was
loaded. The window size is not an option of savs; the process sets it itself.

The last line is JSON; the results are also written to `bench/results/scale.json`. The exit code is 1 if the
bar is missed. Takes under three minutes on an idle machine.
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
FEW, MANY = 500, 4000  # items; FEW fill the window, and other sizes are varied with FEW items
GROWTH = "≤ 1.1"  # × the memory of FEW items
SHARD, BUDGET, WINDOW = 256, 4096, 512  # rows, tokens and requests: the defaults of savs on a CPU
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
        "--quick", action="store_true", help="a tenth of the items; no bar, results are not written"
    )
    sys.exit(main(parser.parse_args().quick))
