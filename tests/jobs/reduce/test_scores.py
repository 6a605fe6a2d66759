"""Scores of rows that belong together, over real shards: of odd sizes, with rows that fail and are redone."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.cli.output.summary import print_summary
from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from jobs.records.tallies.tally import TallyRecord
from jobs.reduce.reducer import reduce_job
from savs.data.samples import read_samples
from savs.scores.intervals import wilson
from savs.scores.metrics import Tally
from savs.scores.ranking import shares
from savs.scores.scored import Scored
from tests.jobs.conftest import HEADS, Corpus, one_job, savs_submit, write_jsonl
from tests.jobs.ledgers import classify_job, plan_of, row, write_outcome
from tests.savs.scores import slow
from tests.savs.scores.test_scores import rounded

GROUPS = 5


def natural_ret(corpus: Corpus) -> list[dict[str, Any]]:
    """Groups of four: two questions, each about both of two pictures; the last one lacks a row."""
    rows = []
    for index in range(4 * GROUPS - 1):
        group, question, image = index // 4, index // 2 % 2, index % 2
        label = "Yes" if question == image else "No"
        picture = str(corpus.pictures[2 * group + image])
        rows.append({"image": picture, "question": f"Is it {'one' if question else 'two'}?", "label": label})
    return rows


def mrb_individual(corpus: Corpus) -> list[dict[str, Any]]:
    """Pairs, each about one picture, of which two are the same; the last one lacks a row."""
    return [
        {
            "ID": f"q{index // 2}_{index % 2}",
            "ID_original": f"q{index // 2}",
            "Image": str(corpus.pictures[index // 2 % (GROUPS - 1)]),
            "Text": "Which shape is it?",
            "Output": ("circle", "square", "star")[index % 3],
            "label": "preferred" if index % 2 else "non-preferred",
        }
        for index in range(2 * GROUPS + 1)
    ]


MANIFESTS = {"natural_ret": natural_ret, "mrb_individual": mrb_individual}


def summary_of(workspace: Path) -> dict[str, Any]:
    job = one_job(workspace, "classify")
    return json.loads((workspace / "jobs" / job.job_id / "summary.json").read_bytes())


def check(workspace: Path, manifest: Path, format: str) -> dict[str, Any]:
    """The job's summary, whose scores are those that follow from all its result rows at once."""
    samples = {one.index: one for one in read_samples(str(manifest), format=format)}
    everything = [
        Scored(
            index=row["index"],
            prediction=row["prediction"],
            label=row.get("label"),
            error=row.get("error", {}).get("kind"),
            scores=shares(row["votes"]) if "votes" in row else {},
            format=format,
            group=samples[row["index"]].group,
            media=samples[row["index"]].media,
        )
        for row in map(json.loads, result_rows(Ledger(str(workspace)), one_job(workspace, "classify").job_id))
    ]
    rows, summary = slow.usable(everything), summary_of(workspace)
    accuracy = slow.rate_of_rows(rows)
    assert (summary["scored"], summary["accuracy"]) == (accuracy["rows"], accuracy["rate"])
    assert rounded(summary["accuracy_interval"]) == rounded(accuracy["interval"])
    assert rounded(summary["per_class"]) == rounded(slow.classes(rows))
    expected = slow.scores_of_groups(rows, everything)
    assert rounded(summary["groups"]) == rounded({format: (expected or {}) | {"unlike": 0}})
    return summary


@pytest.mark.parametrize("format", sorted(MANIFESTS))
def test_groups_across_shards_and_retries_count_right(
    own_corpus: Corpus, qwen2_vl: Path, tmp_path: Path, format: str
) -> None:
    # given a manifest with groups that do not fit into its shards, and a picture that is missing at first
    rows = MANIFESTS[format](own_corpus)
    manifest, lost = write_jsonl(own_corpus.folder / "grouped.jsonl", rows), own_corpus.pictures[2]
    train = write_jsonl(own_corpus.folder / "few.jsonl", [r for r in rows if str(lost) not in r.values()])

    def label(shard_size: int) -> Path:
        workspace = tmp_path / f"of-{shard_size}"
        result = savs_submit(
            *("run", "--train", train, "--data", manifest, "--format", format, "--heads", HEADS),
            *("--readout", "reference"),
            *("--name", "grouped", "--model", qwen2_vl, "--workspace", workspace, "--shard-size", shard_size),
        )
        assert result.exit_code == (0 if lost.exists() else 3), result.output
        return workspace

    away = lost.rename(lost.with_suffix(".away"))
    workspace = label(3)
    away.rename(lost)

    # then groups with a row that failed are not scored
    assert check(workspace, manifest, format)["groups"][format]["unscored"] > 1

    # and once the picture is there again, only the group that lacks a row is not
    retried = savs_submit("retry", "grouped", "--workspace", workspace)
    assert retried.exit_code == 0, retried.output
    whole = check(workspace, manifest, format)
    assert whole["groups"][format]["unscored"] == 1
    assert f"{format}: " in retried.stdout and "1 not scored" in retried.stdout

    # and shards of another size come to the same
    other = check(label(5), manifest, format)
    own = ("shards", "timings", "created", "artifact", "job_id")
    assert {k: v for k, v in other.items() if k not in own} == {
        k: v for k, v in whole.items() if k not in own
    }


def test_pairs_and_splits_are_in_the_summary_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # given pairs of two splits, one named by somebody who knows rich's markup; a pair lies in two shards
    ledger = Ledger(str(tmp_path))
    job = ledger.create_job(classify_job(), plan_of(3, 3, 2))
    marks, splits = "11101100", ("[red]add", "swap")
    for shard, first in enumerate((0, 3, 6)):
        tally, rows = Tally(), []
        for index in range(first, min(first + 3, 8)):
            said = "Yes" if marks[index] == "1" else "No"
            split = splits[index // 4]
            rows.append(row(index, said, "Yes"))
            tally.add(
                Scored(index, said, "Yes", format="sugarcrepe", split=split, media=(f"{index // 2}.jpg",))
            )
        write_outcome(ledger, job, shard, rows, tally=TallyRecord.of(tally))

    summary = reduce_job(ledger, job)

    assert summary is not None
    pairs = summary["groups"]["sugarcrepe"]
    assert (pairs["scored"], pairs["unscored"], pairs["rates"]["pairs"]["rate"]) == (4, 0, 0.5)
    assert pairs["splits"]["swap"]["pairs"] == {"rows": 2, "rate": 0.5, "interval": wilson(1, 2)}
    assert summary["splits"]["[red]add"]["rate"] == 0.75
    print_summary(summary, "there")
    shown = " ".join(capsys.readouterr().out.split())
    assert "sugarcrepe: pairs 0.500 (0.150 to 0.850), on 4 groups" in shown
    assert "[red]add 4 0.750 (" in shown and "swap 4 0.500 (" in shown


def test_groups_that_are_not_as_published_are_warned_of(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    job = ledger.create_job(classify_job(), plan_of(4))
    tally = Tally()
    for index in range(4):
        tally.add(Scored(index, "Yes", "Yes", format="sugarcrepe", media=(f"{index}.jpg",)))
    write_outcome(ledger, job, 0, [row(i, "Yes", "Yes") for i in range(4)], tally=TallyRecord.of(tally))

    summary = reduce_job(ledger, job)

    assert summary is not None
    [warning] = summary["warnings"]
    assert "2 of 2 groups do not show the images that sugarcrepe requires" in warning
