"""What the engine does with a workload: extract its rows and fit a readout, or label them."""

from collections.abc import Sequence
from pathlib import Path

import savs
from bench.engine import workloads
from bench.engine.baseline import HEADS
from bench.engine.workloads import WORKLOADS
from savs.data.samples import Sample
from savs.engine.extract import stream
from savs.engine.windows import Request
from savs.model.model import Model
from savs.readout.fit import Readout
from savs.readout.votes import DeviceReadout
from savs.timings import Timings

EXAMPLES = 16  # suffice for labelling


def examples(model: str, folder: Path) -> list[Sample]:
    """Return the first examples of the model's extract workload."""
    work = next(w for w in WORKLOADS if w.model == model and w.extract)
    return workloads.samples(work, folder)[:EXAMPLES]


def fit(model: Model, rows: Sequence[Sample], timings: Timings | None = None) -> Readout:
    """Return the published readout of the rows, which are read first."""
    extracted = savs.extract(model, list(rows), timings=timings)
    assert not extracted.errors
    readout = savs.fit(extracted.vectors, [str(s.label) for s in extracted.samples], HEADS)
    assert isinstance(readout, Readout)
    return readout


def label(
    model: Model, readout: Readout, rows: Sequence[Sample], timings: Timings | None = None
) -> dict[int, str]:
    """Return every row's class by its index."""
    layers = frozenset(int(layer) for layer, _ in readout.heads)
    ballot = DeviceReadout.of(readout, model.layout.only(layers), model.device)
    requests = [Request(sample.index, sample, sample.question) for sample in rows]
    found: dict[int, str] = {}
    for part in stream(model, requests, timings or Timings(), layers=layers, read=ballot.read):
        if part.values is not None:
            said = ballot.answers(part.values)
            found |= {n: a.prediction for n, a in zip(part.numbers, said, strict=True)}
    return found
