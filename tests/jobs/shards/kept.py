"""What the tests of kept head vectors share: commands that keep them, and labels that follow from them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jobs.ledger.corpus_vectors import corpus_vectors
from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from jobs.records.job import ClassifySpec, Job
from savs.artifact.artifact import load_artifact
from savs.readout.classify import on_device
from tests.jobs.conftest import SHARD, Corpus, savs_submit

HEADS = 7  # of each readout: fewer than the models have


def kept_run(
    corpus: Corpus, model: object, workspace: object, keep: str, *more: object, readout: str = "reference"
) -> list[str]:
    """The command line that fits on the corpus' examples, labels its items and keeps their vectors."""
    arguments = [
        *("run", "--train", corpus.train, "--data", corpus.data, "--name", "shapes", "--model", model),
        *("--workspace", workspace, "--heads", HEADS, "--readout", readout, "--keep-vectors", keep),
        *("--shard-size", SHARD, "--batch-tokens", 200, *more),
    ]
    return [str(argument) for argument in arguments]


def finish(arguments: list[str], workspace: object, code: int = 0) -> Job:
    """Runs a command; returns the only classify job."""
    result = savs_submit(*arguments)
    assert result.exit_code == code, result.output
    return classify_of(workspace)


def classify_of(workspace: object) -> Job:
    [job] = [job for job in Ledger(str(workspace)).jobs() if job.spec.kind == "classify"]
    return job


def rows_in(workspace: object, job: Job) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result_rows(Ledger(str(workspace)), job.job_id)]


def good_rows(workspace: object, job: Job) -> list[dict[str, Any]]:
    return [row for row in rows_in(workspace, job) if "error" not in row]


def labels_from_vectors(workspace: object, job: Job) -> dict[int, str]:
    """Row's index → the label that the job's artifact gives its kept vectors. No model is loaded."""
    assert isinstance(job.spec, ClassifySpec) and job.spec.artifact is not None
    readout, found = load_artifact(job.spec.artifact).readout, {}
    for rows, vectors in corpus_vectors(Ledger(str(workspace)), job.job_id):
        device = on_device(readout, vectors.layout)
        answers = device.answers(device.read(torch.from_numpy(vectors.values)))
        found |= {row.index: answer.prediction for row, answer in zip(rows, answers, strict=True)}
    return found


def assert_labels_follow(workspace: object, job: Job, differing: int = 0) -> None:
    """The kept vectors have each row without an error once, in order, and give its label, but for `differing`
    rows."""
    rows, labels = good_rows(workspace, job), labels_from_vectors(workspace, job)
    assert list(labels) == [row["index"] for row in rows]
    different = [row["index"] for row in rows if labels[row["index"]] != row["prediction"]]
    assert len(different) <= differing, different
    assert len({*labels.values()}) > 1, "pictures make no difference"


def everything(workspace: object, job: Job) -> tuple[list[int], np.ndarray]:
    """All rows' indices and vectors."""
    parts = list(corpus_vectors(Ledger(str(workspace)), job.job_id))
    return [row.index for rows, _ in parts for row in rows], np.concatenate([v.values for _, v in parts])


def objects(workspace: Path, job: Job) -> dict[str, bytes]:
    """Number of a shard → the bytes of its vectors that its commit names."""
    ledger = Ledger(str(workspace))
    named = [(one.shard, one.kept) for one in ledger.outcomes(job.job_id)]
    return {f"{shard}": ledger.read_vectors(job.job_id, kept) for shard, kept in named if kept is not None}
