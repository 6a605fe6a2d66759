"""Measures the engine at the size of a real model: `python -m bench.gpu --out DIR`.

The model has random weights (`bench.engine.shapes`) and needs no network; torch, transformers, Pillow, numpy
and pydantic suffice, and videos are left out where `av` or `decord` is missing. Steps run in the order of
`STEPS`, the cheapest first; each adds a line of JSON to DIR/gpu-<shape>.jsonl when it ends, also if it fails.
After `--seconds` no further step is started. The exit code is 1 if a bar is missed or a step has failed. On a
CPU most bars are only reported, but the labels must equal the published loop's.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.engine import shapes
from bench.gpu.busy import profile_batches
from bench.gpu.kernels import time_kernels, time_products
from bench.gpu.memory import run_out
from bench.gpu.precision import compare
from bench.gpu.probe import load, probe
from bench.gpu.setting import Found, Setting
from bench.gpu.switches import switch_off
from bench.gpu.throughput import label_pictures, label_videos

SIDE = 448  # pixels
ITEMS = {"cuda": 1024, "cpu": 32}
SECONDS = 360
STEPS: dict[str, Callable[[Setting], Found]] = {
    "probe": probe,
    "precision": compare,
    "products": time_products,
    "load": load,
    "pictures": label_pictures,
    "busy": profile_batches,
    "kernels": time_kernels,
    "memory": run_out,
    "switches": switch_off,
    "videos": label_videos,
}


def main(setting: Setting, out: Path, seconds: float = SECONDS) -> int:
    out.mkdir(parents=True, exist_ok=True)
    file, began, good = out / f"gpu-{setting.shape}.jsonl", time.perf_counter(), True
    with file.open("w") as lines:
        for name, step in STEPS.items():
            line = _run(name, step, setting, seconds - (time.perf_counter() - began))
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
            lines.flush()
            good &= "error" not in line and all(f["met"] is not False for f in line["figures"])
    return 0 if good else 1


def _run(name: str, step: Callable[[Setting], Found], setting: Setting, left: float) -> dict[str, Any]:
    """Return the step's line. An error is part of it: the time on a GPU is too short to end at the first
    one."""
    if left <= 0:
        print(f"{name}: left out, as the time is over", flush=True)
        return {"step": name, "figures": [], "details": {"left out": "the time is over"}}
    began = time.perf_counter()
    try:
        found = step(setting)
    except Exception as error:
        traceback.print_exc()
        return {"step": name, "figures": [], "error": f"{type(error).__name__}: {error}"[:2000]}
    finally:
        if setting.gpu:
            torch.cuda.empty_cache()
        print(f"{name}: {time.perf_counter() - began:.1f} s", flush=True)
    for figure in found.figures:
        print(f"  {figure}")
    for what, value in found.details.items():
        print(f"  {what}: {_short(value)}", flush=True)
    figures = [figure.to_json() for figure in found.figures]
    took = round(time.perf_counter() - began, 2)
    return {"step": name, "seconds": took, "figures": figures, "details": found.details}


def _short(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return "".join(f"\n    {name}: {inner}" for name, inner in value.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--shape", choices=shapes.SHAPES, default=shapes.SHAPES[0])
    parser.add_argument("--device", help="default: a GPU if there is one")
    parser.add_argument("--items", type=int, help="number of pictures")
    parser.add_argument("--side", type=int, default=SIDE, help="pixels")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="after which no step is started")
    asked = parser.parse_args()
    # Of the processes that decode videos, where savs is not installed.
    known = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), known]))
    logging.basicConfig(format="%(name)s: %(message)s")
    logging.getLogger("savs").setLevel(logging.INFO)  # what the trials of a model have found
    where = torch.device(asked.device or ("cuda:0" if torch.cuda.is_available() else "cpu"))
    with tempfile.TemporaryDirectory(prefix="savs-bench-") as place:
        count = asked.items or ITEMS[where.type]
        setting = Setting(where, asked.shape, Path(place), count, asked.side)
        sys.exit(main(setting, asked.out, asked.seconds))
