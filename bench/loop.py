"""Measures the engine against the published loop: `python -m bench.loop`, or `--only TEXT`.

Same items, same process, CPU, float32, as many threads as cores, PyTorch's own attention on both sides.
Runs alternate; a ratio is the median over the runs of (seconds per prompt of the loop) / (seconds per
prompt of the engine). The loop processes prompts one by one, so it is timed on the workload's `baseline`
prompts. Predictions of both are compared. The last line is JSON; a complete run is also written to
`bench/results/loop.json`. The exit code is 1 if a bar is missed or predictions differ.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import savs
from bench.engine import runs, workloads
from bench.engine.baseline import HEADS, Loop, Published
from bench.engine.halves import Halves
from bench.engine.workloads import WORKLOADS, Workload
from bench.figures import Figure, engine_versions, machine
from savs.data.samples import Sample
from savs.data.video.sampling import FrameSampling
from savs.model.model import Model
from savs.readout.fit import Readout
from savs.timings import Timings

RESULTS = Path(__file__).parent / "results" / "loop.json"
RUNS = 5
BARS = {
    "demo extract": 12.0,
    "demo classify": 4.0,
    "demo classify 84 px, 15 questions": 8.0,
    "demo classify video, 15 questions": 10.0,
    "small extract, ragged": 8.0,
    "small classify, ragged": 3.0,
    "0.1 B extract 224 px": 3.2,
    "0.1 B classify 224 px": 1.1,
}
COMPUTING = ("preprocess", "forward")  # stages
CEILING_SHARE = 0.85  # of 15 (r + 1) / (r + 15), for the model of 0.1 billion parameters


@dataclass
class Measured:
    """Seconds per prompt of each run, and the numbers of compared and of different predictions.

    computing  those of the engine's that the processor and the network take
    halves     those of the engine in two processes (`bench.engine.halves`); may be empty
    """

    loop: list[float]
    engine: list[float]
    computing: list[float]
    halves: list[float]
    compared: int = 0
    different: int = 0
    stages: dict[str, float] | None = None

    @property
    def ratio(self) -> float:
        return self._times(self.engine)

    @property
    def most(self) -> float:
        """The ratio if decoding took no time, and nothing waited for it."""
        return self._times(self.computing)

    @property
    def apart(self) -> float:
        """The ratio of two processes, each with a core and half of the rows."""
        return self._times(self.halves)

    def _times(self, seconds: list[float]) -> float:
        return statistics.median(a / b for a, b in zip(self.loop, seconds, strict=True))


@dataclass
class Fitted:
    """Both sides' readouts of a model, fitted on the same examples."""

    published: Published
    readout: Readout


def measure(
    work: Workload, loop: Loop, model: Model, fitted: Fitted, folder: Path, halves: Halves | None
) -> Measured:
    rows = workloads.samples(work, folder)
    few = rows[:: max(1, len(rows) // work.baseline)][: work.baseline]
    found = Measured([], [], [], [])
    for _ in range(RUNS):
        began = time.perf_counter()
        if work.extract:
            published = loop.fit(few)
        else:
            said = [loop.label(fitted.published, sample) for sample in few]
        found.loop.append((time.perf_counter() - began) / len(few))
        timings, began = Timings(), time.perf_counter()
        if work.extract:
            readout = runs.fit(model, rows, timings)
        else:
            labels = runs.label(model, fitted.readout, rows, timings)
        found.engine.append((time.perf_counter() - began) / len(rows))
        found.computing.append(sum(timings.seconds[name] for name in COMPUTING) / len(rows))
        if halves is not None:
            found.halves.append(halves.seconds() / len(rows))
    seconds = {name: round(1e3 * value / len(rows), 3) for name, value in timings.seconds.items()}
    found.stages = seconds
    if work.extract and len(few) == len(rows):
        found.compared = HEADS
        found.different = sum(
            a != tuple(b) for a, b in zip(published.top, readout.heads.tolist(), strict=True)
        )
    elif not work.extract:
        found.compared = len(few)
        found.different = sum(labels[s.index] != name for s, name in zip(few, said, strict=True))
    return found


def ceiling(model: Model, folder: Path, work: Workload) -> tuple[float, float]:
    """Return r and the greatest possible gain of 15 questions in one row. r is the cost of media and the
    beginning of a prompt, divided by that of a question; measured with rows of 1 and of 15 questions."""
    rows = workloads.samples(work, folder)
    per = work.questions
    one = [rows[i] for i in range(0, len(rows), per)]

    def seconds(these: list[Sample]) -> float:
        times = []
        for _ in range(RUNS):
            began = time.perf_counter()
            savs.extract(model, these)
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    alone, together = seconds(one) / len(one), seconds(rows) / len(one)
    suffix = (together - alone) / (per - 1)
    r = (alone - suffix) / suffix
    return r, per * (r + 1) / (r + per)


def bar_of(work: Workload) -> float | None:
    """Return the workload's bar, or None if it has none, as for videos with one question: nearly all of
    their time is computation that both sides do."""
    if (work.model == "tenth" and work.questions > 1) or (work.video and work.questions == 1):
        return None
    known = [name for name in BARS if work.name.startswith(name)]
    if work.questions > 2 and work.name not in BARS:
        return None
    return BARS[max(known, key=len)] if known else None


def main(only: str) -> int:
    figures: list[Figure] = []
    details = {}
    with tempfile.TemporaryDirectory(prefix="savs-bench-") as place:
        folder = Path(place)
        for name in ("demo", "small", "tenth"):
            chosen = [w for w in WORKLOADS if w.model == name and only in w.name]
            if not chosen:
                continue
            where = workloads.checkpoint(name, folder)
            every = FrameSampling(frames=workloads.FRAMES)
            loop, model = Loop.load(where), savs.load_model(where, device="cpu", sampling=every)
            fitted = fit_both(name, loop, model, folder)
            for work in chosen:
                before = len(figures)
                with Halves(work, where, folder) if work.ragged else nullcontext() as halves:
                    found = measure(work, loop, model, fitted, folder, halves)
                bar = bar_of(work)
                figures.append(Figure(work.name, found.ratio, "×", None if bar is None else f"≥ {bar:g}"))
                if work.ragged:
                    figures.append(Figure(f"{work.name}: if decoding took no time", found.most, "×"))
                    figures.append(Figure(f"{work.name}: in two processes", found.apart, "×"))
                if work.model == "tenth" and work.questions == 15:
                    r, most = ceiling(model, folder, work)
                    figures.append(Figure(f"{work.name}: r", r, ""))
                    share = found.ratio / most
                    figures.append(Figure(f"{work.name}: of its ceiling", share, "", f"≥ {CEILING_SHARE}"))
                figures.append(
                    Figure(f"{work.name}: differing", found.different, f"of {found.compared}", "≤ 0")
                )
                details[work.name] = asdict(found)
                print(*figures[before:], sep="\n", flush=True)
    report = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "versions": engine_versions(),
        "results": [figure.to_json() for figure in figures],
        "details": details,
    }
    if not only:
        RESULTS.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(report, ensure_ascii=False))
    return 1 if any(figure.met is False for figure in figures) else 0


def fit_both(name: str, loop: Loop, model: Model, folder: Path) -> Fitted:
    rows = runs.examples(name, folder)
    return Fitted(loop.fit(rows), runs.fit(model, rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="workloads whose name has this; results are not written")
    sys.exit(main(parser.parse_args().only))
