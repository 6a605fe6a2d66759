"""Measures the queue against its bars: `python -m bench.queue`, or `--only NAME`.

Starts Redis, moto and workers, and stops them at the end. The workers are real except for the model,
which is a function of the item with a configurable duration; so this measures the cost of the queue, the
board and the ledger, not of models or media. The last line is JSON; a complete run is also written to
`bench/results/queue.json`. The exit code is 1 if a bar is missed.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.figures import Figure, machine, versions
from bench.pool import enqueue, fairness, overhead, plan, reduce, scaling
from tests.pool.servers import redis_binary

RESULTS = Path(__file__).parent / "results" / "queue.json"
MEASURES: dict[str, Callable[[], list[Figure]]] = {
    "enqueue": enqueue.measure,
    "overhead": overhead.measure,
    "scaling": scaling.measure,
    "reduce": reduce.measure,
    "plan": plan.measure,
    "fairness": fairness.measure,
}


def main(names: list[str]) -> int:
    figures: list[Figure] = []
    for name in names:
        began = time.monotonic()
        found = MEASURES[name]()
        print(*found, f"{name}: measured in {time.monotonic() - began:.0f} s", sep="\n", flush=True)
        figures += found
    report = {
        "machine": machine(),
        "versions": versions(redis_binary()),
        "results": [figure.to_json() for figure in figures],
    }
    if names == list(MEASURES):
        RESULTS.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(report, ensure_ascii=False))
    return 1 if any(figure.met is False for figure in figures) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=MEASURES, help="run one measurement; results are not written")
    only = parser.parse_args().only
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped
    sys.exit(main([only] if only else list(MEASURES)))
