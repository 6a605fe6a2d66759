"""A workload in two processes that share nothing: each has a model, a core and every second row.

It shows what the same work takes without Python's lock, which the threads of one process share.
"""

import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

import savs
from bench.engine import runs, workloads
from bench.engine.workloads import WORKLOADS, Workload
from savs.data.video.sampling import FrameSampling

HALVES = 2
READY = "ready\n"


class Halves:
    """Both processes, which have loaded the model and wait."""

    def __init__(self, work: Workload, checkpoint: Path, folder: Path) -> None:
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", __name__, work.name, checkpoint, folder, str(half)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for half in range(HALVES)
        ]
        self._wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.communicate()  # the end of its input ends it

    def seconds(self) -> float:
        """Return how long both take for the whole workload, side by side."""
        began = time.perf_counter()
        for process in self.processes:
            assert process.stdin is not None
            print(file=process.stdin, flush=True)
        self._wait()
        return time.perf_counter() - began

    def _wait(self) -> None:
        for process in self.processes:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said == READY, f"the process for a half of the rows has ended: {process.wait()}"


def main(name: str, checkpoint: str, place: str, half: int) -> None:
    """Run every second row, from row `half` on, once for each line of the standard input."""
    torch.set_num_threads(1)
    work = next(w for w in WORKLOADS if w.name == name)
    every = FrameSampling(frames=workloads.FRAMES)
    model = savs.load_model(checkpoint, device="cpu", sampling=every)
    rows = workloads.samples(work, Path(place))[half::HALVES]
    readout = runs.fit(model, runs.examples(work.model, Path(place)))
    print(READY, end="", flush=True)
    for _ in sys.stdin:
        if work.extract:
            runs.fit(model, rows)
        else:
            assert len(runs.label(model, readout, rows)) == len(rows)
        print(READY, end="", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
