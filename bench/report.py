"""Measures how long the report of a large job takes, in how much memory, and how soon it opens:
`python -m bench.report`.

A job of `--rows` rows with labels, ten classes and probabilities is written into a workspace on disk, as
workers write it; its rows show 200 drawn pictures again and again. Then its report is made, and opened in
Chromium, each in a separate process. The exit code is 1 if a bar is missed.

`--rows 1000000`, the default, takes about ten minutes on two cores, most of it to write the job.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import Figure
from bench.fresh import fresh
from jobs.ledger.ledger import Ledger
from jobs.records.outcome import Outcome
from jobs.records.row import ResultRow
from jobs.records.tallies.tally import TallyRecord
from jobs.reduce.reducer import reduce_job
from jobs.report.report import make_report
from jobs.shards.allowed_roots import Roots
from jobs.shards.result import counts_of, tally_of
from jobs.submit.submission import classify_job, plan_job

SECONDS, MEMORY, OPEN, SIZE = "≤ 120", "≤ 500", "≤ 2", "≤ 10"  # s, MB, s, MB
CLASSES = tuple(f"class {n}" for n in range(10))
PICTURES = 200


def write_job(folder: str, rows: int) -> str:
    """Write a job whose rows are done but not reduced, and return its id."""
    from savs.demo.corpus import write_corpus
    from savs.demo.unseen import TASKS

    place, draw = Path(folder), random.Random(0)
    write_corpus(place, next(task for task in TASKS if task.name == "stroke"), PICTURES)
    pictures = [json.loads(line)["image"] for line in (place / "corpus.jsonl").read_text().splitlines()]
    with (place / "many.jsonl").open("w") as file:
        for n in range(rows):
            line = {"image": pictures[n % PICTURES], "label": CLASSES[n * 7919 % 10], "question": "Which?"}
            file.write(json.dumps(line) + "\n")
    ledger = Ledger(f"{place}/results")
    job = classify_job(
        *("many", "demo", f"{place}/many.jsonl", f"{place}/none"), shard_size=1000, batch_tokens=None
    )
    ledger.create_job(job, *plan_job(ledger, job))
    for shard in ledger.planned(job.job_id):
        numbers = range(shard.first_index, shard.first_index + shard.rows)
        found = [_row(n, f"{place}/{pictures[n % PICTURES]}", draw) for n in numbers]
        data = b"".join(row.line() for row in found)
        attempt, part, digest = ledger.write_part(job.job_id, shard.number, ".jsonl", data)
        tally = TallyRecord.of(tally_of(found, {}, "general"))
        outcome = Outcome(
            shard=shard.number,
            status="done",
            attempt=attempt,
            part=part,
            sha256=digest,
            counts=counts_of(found),
            tally=tally,
        )
        ledger.commit(job.job_id, outcome)
    return job.job_id


def _row(index: int, picture: str, draw: random.Random) -> ResultRow:
    label = CLASSES[index * 7919 % 10]
    weights = [draw.random() ** 3 + 2 * (name == label) * (draw.random() < 0.9) for name in CLASSES]
    scores = {name: round(w / sum(weights), 6) for name, w in zip(CLASSES, weights, strict=True)}
    best, second = sorted(scores, key=scores.__getitem__)[:-3:-1]
    return ResultRow(
        index=index,
        id=str(index),
        task="many",
        media=(picture,),
        prediction=best,
        confidence=scores[best],
        margin=round(scores[best] - scores[second], 6),
        scores=scores,
        label=label,
    )


def reduce(folder: str, job_id: str) -> None:
    """Write the summary of the job, as a worker does before the report."""
    ledger = Ledger(f"{folder}/results")
    assert reduce_job(ledger, ledger.job(job_id)) is not None


def report(folder: str, job_id: str) -> tuple[str, float]:
    """Return the address of the report, and the seconds that it took."""
    ledger = Ledger(f"{folder}/results")
    began = time.monotonic()
    place = make_report(ledger, ledger.job(job_id), Roots.everywhere())
    return place, time.monotonic() - began


def open_page(place: str) -> float:
    """Return the seconds until the page has loaded and its charts are drawn."""
    from tests.report.browser import browser

    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1400, "height": 1000})
        page.goto("about:blank")
        began = time.monotonic()
        page.goto(Path(place).as_uri())
        page.wait_for_selector("body[data-drawn]")
        return time.monotonic() - began


def main(rows: int) -> int:
    with tempfile.TemporaryDirectory(prefix="savs-bench-") as folder:
        job_id, _ = fresh("report.write_job", folder, rows)
        fresh("report.reduce", folder, job_id)
        (place, seconds), peak = fresh("report.report", folder, job_id)
        opened = sorted(fresh("report.open_page", place)[0] for _ in range(3))[1]
        figures = [
            Figure("report: time", seconds, "s", SECONDS),
            Figure("report: peak memory", peak, "MB", MEMORY),
            Figure("report: size", Path(place).stat().st_size / 1e6, "MB", SIZE),
            Figure("report: opens in", opened, "s", OPEN),
        ]
        print(*figures, sep="\n", flush=True)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    sys.exit(main(parser.parse_args().rows))
