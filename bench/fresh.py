"""Runs one step in a separate process, to measure its own peak memory."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

MB = 1e6  # bytes


def fresh(step: str, *arguments: Any) -> tuple[Any, float]:
    """Call the function `bench.<step>` in a new process. Return its result and the peak memory of the process
    in MB."""
    command = [sys.executable, "-m", "bench.fresh", step, json.dumps(arguments)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    found = json.loads(said.splitlines()[-1])
    return found["answer"], found["peak_mb"]


def peak_mb() -> float:
    """Return the peak resident memory of this process, in MB.

    On Linux `ru_maxrss` starts at the peak of the process that started this one (exec preserves it), so
    the kernel's own figure for this program is used if there is one.
    """
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(found[1]) * 1024 / MB
    return getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / MB


if __name__ == "__main__":
    room, _, step = sys.argv[1].rpartition(".")
    answer = getattr(importlib.import_module(f"bench.{room}"), step)(*json.loads(sys.argv[2]))
    print(json.dumps({"answer": answer, "peak_mb": peak_mb()}))
