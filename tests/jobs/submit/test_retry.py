"""Rows that failed are run again, and their new results take the place of the old: in the results,
in the counts and in what is fitted. Commits stay as they are."""

import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from jobs.records.job import Job
from jobs.records.outcome import EXAMPLES, LeakedRow
from jobs.records.retries import RetryShard
from jobs.records.row import ResultRow
from jobs.reduce.reducer import reduce_job
from jobs.shards.shard import give_up
from jobs.submit.retry import retry_job
from savs.errors import JobError, LedgerError
from savs.scores.calibration import calibrate
from savs.scores.class_shares import class_shares
from savs.scores.metrics import score
from tests.jobs.conftest import (
    SHARD,
    Corpus,
    Finished,
    finished,
    one_job,
    run_arguments,
    savs_submit,
    tree,
)
from tests.jobs.ledgers import classify_job, plan_of, probable, row, source_in, tally_of, write_outcome

KINDS = ("missing_media", "unreadable_media")


@contextmanager
def away(*pictures: Path) -> Iterator[None]:
    """`pictures` are not there in this block."""
    hidden = [(picture, picture.with_suffix(".away")) for picture in pictures]
    for picture, place in hidden:
        picture.rename(place)
    try:
        yield
    finally:
        for picture, place in hidden:
            place.rename(picture)


def retry_on_disk(workspace: Path) -> list[dict[str, Any]]:
    """All retries of the classify job, as they lie there."""
    paths = sorted(workspace.glob("jobs/*-classify-*/retries/*.json"))
    return [json.loads(path.read_bytes()) for path in paths]


def redone_rows(workspace: Path) -> list[list[int]]:
    """Per retry, the indices of its rows."""
    shards = [[RetryShard.model_validate(one) for one in r["shards"]] for r in retry_on_disk(workspace)]
    return [[index for shard in retry for index in shard.indices] for retry in shards]


def test_mended_pictures_become_labels_and_no_other_row_runs_again(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, calm: Finished
) -> None:
    # given a run that three pictures were missing from, two of them in one shard
    unreadable = [SHARD, SHARD + 2, 5 * SHARD]
    arguments = run_arguments(corpus, qwen2_vl, workspace)
    with away(*(corpus.pictures[i] for i in unreadable)):
        assert savs_submit(*arguments).exit_code == 3
    before = tree(workspace)

    # if one of them is still missing when the job is retried
    with away(corpus.pictures[unreadable[1]]):
        again = savs_submit("retry", "shapes", "--workspace", workspace)

    # then the others have labels, each in its place, and that one has failed again
    assert again.exit_code == 3, again.output
    assert "3 rows are retried" in again.stderr
    calm_rows, rows = calm.rows.splitlines(), finished(workspace).rows.splitlines()
    assert [i for i, (a, b) in enumerate(zip(calm_rows, rows, strict=True)) if a != b] == [unreadable[1]]
    errors = finished(workspace).summary("classify")["errors"]
    assert [one["index"] for one in errors["missing_media"]["examples"]] == [unreadable[1]]

    # and once all are there, a second retry ends with what a calm run ends with
    assert savs_submit("retry", "shapes", "--workspace", workspace).exit_code == 0
    assert redone_rows(workspace) == [unreadable, [unreadable[1]]]
    done = finished(workspace)
    assert (done.rows, done.tensors) == (calm.rows, calm.tensors)
    without = [{k: v for k, v in one.items() if k != "shards"} for one in done.outcome()]
    assert without == [{k: v for k, v in one.items() if k != "shards"} for one in calm.outcome()]

    # and what was committed has not been touched
    after = tree(workspace)
    same = [name for name in before if "/commits/" in name or "/parts/" in name]
    assert same and {name: after[name] for name in same} == {name: before[name] for name in same}

    # and retrying what has no failed row changes nothing
    assert savs_submit("retry", "shapes", "--workspace", workspace).exit_code == 0
    assert tree(workspace).keys() == after.keys()
    assert redone_rows(workspace) == [unreadable, [unreadable[1]]]


def test_a_failed_extract_job_is_fitted_after_a_retry_and_what_waits_for_it_runs(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, calm: Finished
) -> None:
    # given a run in which one class had no picture left
    stars = [corpus.folder / "pictures" / f"train-{i:02d}.png" for i in range(2, 24, 3)]
    with away(*stars):
        assert savs_submit(*run_arguments(corpus, qwen2_vl, workspace)).exit_code == 1
    assert Ledger(str(workspace)).summary(one_job(workspace, "extract").job_id)["status"] == "failed"

    # if they are there again
    again = savs_submit("retry", "shapes", "--workspace", workspace)

    # then the artifact is that of a calm run, and so are the labels
    assert again.exit_code == 0, again.output
    assert "8 rows are retried" in again.stderr
    assert (finished(workspace).tensors, finished(workspace).rows) == (calm.tensors, calm.rows)


def test_an_artifact_that_is_made_is_never_made_again(
    corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    with away(corpus.folder / "pictures" / "train-05.png"):
        arguments = ["extract", *run_arguments(corpus, qwen2_vl, workspace)[1:]]
        place = arguments.index("--data")
        assert savs_submit(*arguments[:place], *arguments[place + 2 :]).exit_code == 3
    before = tree(workspace / "artifacts")

    again = savs_submit("retry", "shapes", "--workspace", workspace)

    assert again.exit_code == 3 and ": nothing to retry" in again.stderr
    assert tree(workspace / "artifacts") == before


def copied(calm: Finished, workspace: Path) -> Ledger:
    shutil.copytree(calm.workspace, workspace)
    return Ledger(str(workspace))


def given_up(ledger: Ledger, job: Job, shard: int) -> None:
    """Makes a finished job one whose `shard` was given up."""
    ledger.store.delete(f"jobs/{job.job_id}/commits/{shard:07d}.json")
    give_up(ledger, job, ledger.planned(job.job_id).shard(shard), "no sign of life in 3 attempts")
    assert reduce_job(ledger, job)["status"] == "incomplete"


@pytest.mark.parametrize("command", [["resume", "--retry-failed-shards"], ["retry"]])
def test_a_shard_that_was_given_up_runs_again_when_asked_for(
    workspace: Path, calm: Finished, command: list[str]
) -> None:
    ledger = copied(calm, workspace)
    given_up(ledger, calm.classify, 3)
    given_up(ledger, calm.classify, 9)
    assert savs_submit("resume", "shapes", "--workspace", workspace).exit_code == 1

    again = savs_submit(*command, "shapes", "--workspace", workspace)

    assert again.exit_code == 0, again.output
    assert f"{2 * SHARD} rows" in again.stderr
    assert finished(workspace).rows == calm.rows
    assert "missing" not in finished(workspace).summary("classify")


def test_an_incomplete_extract_job_is_fitted_when_its_shards_have_run_and_the_next_job_begins(
    workspace: Path, calm: Finished
) -> None:
    # given an extract job one of whose shards was given up, and a job that waits for it
    ledger = copied(calm, workspace)
    shutil.rmtree(workspace / "artifacts")
    shutil.rmtree(workspace / "jobs" / calm.classify.job_id / "commits")
    ledger.forget_summary(calm.classify.job_id)
    given_up(ledger, calm.extract, 2)
    assert not (workspace / "artifacts").exists()

    again = savs_submit("resume", "shapes", "--retry-failed-shards", "--workspace", workspace)

    assert again.exit_code == 0, again.output
    assert (finished(workspace).tensors, finished(workspace).rows) == (calm.tensors, calm.rows)


# On ledgers written by hand


def write_job(workspace: Path) -> tuple[Ledger, Job]:
    """A classify job that has ended: rows 1 and 4 failed, and rows 6 and 7 were given up."""
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(source=source_in(workspace.parent)), plan_of(3, 3, 2))
    write_outcome(ledger, job, 0, [row(0, "cat"), row(1, None, "dog", KINDS[0]), row(2, "dog", "dog")])
    write_outcome(ledger, job, 1, [row(3, "cat", "dog"), row(4, None, "cat", KINDS[1]), row(5, "cat")])
    give_up(ledger, job, ledger.planned(job.job_id).shard(2), "it kills its workers")
    reduce_job(ledger, job)
    return ledger, job


def run_retry(ledger: Ledger, job: Job, dead_only: bool = False) -> list[int]:
    """Plans a retry: the numbers of its shards."""
    first = len(ledger.planned(job.job_id))
    retry_job(ledger, job, dead_only=dead_only)
    return list(range(first, len(ledger.planned(job.job_id))))


def indices(ledger: Ledger, job: Job) -> list[int]:
    return [ResultRow.model_validate_json(line).index for line in result_rows(ledger, job.job_id)]


def test_a_retry_holds_the_rows_that_failed_and_the_shards_that_were_given_up(workspace: Path) -> None:
    ledger, job = write_job(workspace)

    shards = run_retry(ledger, job)

    [first, second] = ledger.planned(job.job_id).retries[0].shards
    assert shards == [3, 4]
    assert (list(first.indices), first.errors) == ([1, 4], {KINDS[0]: 1, KINDS[1]: 1})
    assert (list(second.indices), second.errors) == ([6, 7], {})
    assert ledger.summary(job.job_id) is None


def test_only_dead_shards_means_no_single_rows(workspace: Path) -> None:
    ledger, job = write_job(workspace)

    run_retry(ledger, job, dead_only=True)

    [only] = ledger.planned(job.job_id).retries[0].shards
    assert list(only.indices) == [6, 7]


def test_a_retry_shard_that_is_given_up_leaves_earlier_rows_and_says_so_until_they_are_redone(
    workspace: Path,
) -> None:
    ledger, job = write_job(workspace)
    before = b"".join(result_rows(ledger, job.job_id))
    rows_shard, dead_shard = run_retry(ledger, job)
    write_outcome(ledger, job, dead_shard, [row(6, "cat"), row(7, "cat")])
    give_up(ledger, job, ledger.planned(job.job_id).shard(rows_shard), "out of memory")

    summary = reduce_job(ledger, job)

    assert (summary["status"], summary["failed"]) == ("done", 2)
    assert summary["warnings"] == [
        "shard 3, which retried failed rows, was given up (out of memory); the rows are unchanged"
    ]
    assert b"".join(result_rows(ledger, job.job_id)).startswith(before)
    assert indices(ledger, job) == list(range(8))
    # and a retry of the retry takes the warning away
    [again] = run_retry(ledger, job)
    write_outcome(ledger, job, again, [row(1, "dog", "dog"), row(4, "cat", "cat")])
    summary = reduce_job(ledger, job)
    assert (summary["status"], summary["failed"], summary["warnings"]) == ("done", 0, [])
    assert summary["errors"] == {}


def test_a_running_job_cannot_be_retried(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(2, 2))
    write_outcome(ledger, job, 0, [row(0, None, error=KINDS[0]), row(1, "cat")])
    before = tree(workspace)

    said = savs_submit("retry", "pets", "--workspace", workspace)

    assert said.exit_code == 1
    assert "has not ended; wait for it, or resume it: savs-submit resume pets" in said.stderr
    assert tree(workspace) == before


def test_a_retry_that_is_running_cannot_be_retried(workspace: Path) -> None:
    ledger, job = write_job(workspace)
    run_retry(ledger, job)

    with pytest.raises(JobError, match="has not ended"):
        retry_job(ledger, job, dead_only=False)


def test_a_job_that_failed_before_it_had_rows_is_for_resume(workspace: Path) -> None:
    from jobs.reduce.reducer import fail_job

    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job())
    fail_job(ledger, job, "NotFound: /data/rows.jsonl does not exist")

    said = savs_submit("retry", "pets", "--workspace", workspace)

    assert said.exit_code == 1
    assert "/data/rows.jsonl does not exist; fix it, then: savs-submit resume pets" in said.stderr


def test_killed_between_the_summary_and_the_retry_resume_ends_the_job_as_it_was(workspace: Path) -> None:
    ledger, job = write_job(workspace)
    before = tree(workspace)
    ledger.forget_summary(job.job_id)  # and then the process is gone

    said = savs_submit("resume", "pets", "--workspace", workspace)

    assert said.exit_code == 1 and "incomplete" in said.stdout
    assert {name: data for name, (_, data) in tree(workspace).items()} == {
        name: data for name, (_, data) in before.items()
    }
    assert run_retry(ledger, job) == [3, 4]


class Overtaken(Ledger):
    """Somebody else retries the job, in full, right after the first look at its summary."""

    def summary(self, job_id: str) -> dict[str, Any] | None:
        found = super().summary(job_id)
        if found is not None:
            retry_job(Ledger(self.workspace), self.job(job_id), dead_only=False)
        return found


def test_who_is_overtaken_by_another_retry_is_told_and_plans_none(workspace: Path) -> None:
    ledger, job = write_job(workspace)

    with pytest.raises(JobError, match="has not ended"):
        retry_job(Overtaken(str(workspace)), job, dead_only=False)

    assert len(ledger.planned(job.job_id).retries) == 1


def test_of_two_retries_at_once_one_is_planned(workspace: Path) -> None:
    for attempt in range(15):
        ledger, job = write_job(workspace / str(attempt))
        barrier = threading.Barrier(2)
        said: list[object] = []

        def one(ledger: Ledger = ledger, job: Job = job, barrier: Any = barrier, said: Any = said) -> None:
            barrier.wait()
            try:
                said.append(retry_job(Ledger(ledger.workspace), job, dead_only=False))
            except JobError as error:
                said.append(error)

        threads = [threading.Thread(target=one) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [s for s in said if isinstance(s, int)] == [4]
        assert len(ledger.planned(job.job_id).retries) == 1
        assert ledger.summary(job.job_id) is None


def test_a_spoilt_retry_is_a_typed_error(workspace: Path) -> None:
    ledger, job = write_job(workspace)
    run_retry(ledger, job)
    path = workspace / "jobs" / job.job_id / "retries" / "0000.json"
    whole = json.loads(path.read_bytes())
    whole_shard = whole["shards"][1]["picks"][0]["shard"]
    for change in (
        {"first": 2},
        {"number": 1},
        {"shards": []},
        {"shards": [whole["shards"][0] | {"rows": 3}]},
        {"shards": [whole["shards"][0] | {"picks": []}]},
        {"shards": [whole["shards"][1] | {"picks": [{"shard": whole_shard | {"rows": 10**30}}]}]},
        {"shards": [whole["shards"][1] | {"errors": {"bad_row": 3}}]},
        {"schema_version": 2},
    ):
        path.write_text(json.dumps(whole | change))
        with pytest.raises(LedgerError, match="retr"):
            ledger.planned(job.job_id)


# What is summed up from shards is what the rows say

good_or_not = st.sampled_from(["cat", "dog", "abstains", *KINDS])
shard_ends = st.one_of(st.none(), st.lists(good_or_not, min_size=3, max_size=3))  # None: given up
labels = st.lists(st.sampled_from(["cat", "dog", None]), min_size=12, max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.lists(shard_ends, min_size=1, max_size=4),
    later=st.lists(st.tuples(st.booleans(), st.lists(shard_ends, min_size=1, max_size=5)), max_size=4),
    last=st.integers(1, 3),
    labels=labels,
    alike=st.sets(st.integers(0, 11)),
)
def test_whatever_is_redone_however_often_sums_and_results_are_those_of_the_rows(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[list[str] | None],
    later: list[tuple[bool, list[list[str] | None]]],
    last: int,
    labels: list[str | None],
    alike: set[int],
) -> None:
    sizes = [3] * (len(first) - 1) + [last]
    ledger = Ledger(str(tmp_path_factory.mktemp("ledger")))
    job = ledger.create_job(classify_job(source=source_in(tmp_path_factory.mktemp("data"))), plan_of(*sizes))
    merged: dict[int, ResultRow | None] = dict.fromkeys(range(sum(sizes)))
    quotable = True

    def end(shard: int, rows: list[int], ends: list[str] | None) -> None:
        nonlocal quotable
        if ends is None:
            give_up(ledger, job, ledger.planned(job.job_id).shard(shard), "it died")
            quotable &= shard < len(first)
            return
        found = [ended(i, ends[i % 3], labels[i]) for i in rows]
        write_outcome(ledger, job, shard, found, leaks_of(found, alike))
        merged.update({one.index: one for one in found})

    for shard, ends in enumerate(first):
        end(shard, list(range(3 * shard, 3 * shard + sizes[shard])), ends)
    check_sums(ledger, job, merged, quotable, alike)
    for dead_only, answers in later:
        for turn, number in enumerate(run_retry(ledger, job, dead_only)):
            _, again = ledger.planned(job.job_id).redone(number)
            end(number, list(again.indices), answers[turn % len(answers)])
        check_sums(ledger, job, merged, quotable, alike)


def ended(index: int, word: str, label: str | None) -> ResultRow:
    """A row that ended as `word` says: with a class, an error, or an abstention."""
    if word == "abstains":
        return probable(index, {"cat": 0.6, "dog": 0.4}, label, abstains=True)
    return row(index, None, label, word) if word in KINDS else row(index, word, label)


def leaks_of(rows: list[ResultRow], alike: set[int]) -> tuple[LeakedRow, ...]:
    """Rows with an index in `alike` are in the training set, if they can be read and even; or seem so."""
    return tuple(
        LeakedRow(index=row.index, training="1", verified=row.error is None)
        for row in rows
        if row.index in alike and (row.error or row.index % 2 == 0)
    )


def check_sums(
    ledger: Ledger, job: Job, merged: dict[int, ResultRow | None], quotable: bool, alike: set[int]
) -> None:
    """The summary of `job` is what one would count from `merged`: each row as it was last done."""
    summary = reduce_job(ledger, job)
    assert summary is not None
    done = [one for one in merged.values() if one is not None]
    tally = tally_of(done)
    dead = [index for index, one in merged.items() if one is None]
    missing = [lost["first_index"] + i for lost in summary.get("missing", []) for i in range(lost["rows"])]
    assert missing == dead
    lost = not any(one is not None and one.error is None for one in merged.values())
    assert summary["status"] == ("failed" if lost else "incomplete" if dead else "done")
    labelled = sum(one.prediction is not None for one in done)
    abstained = sum(one.prediction is None and one.error is None for one in done)
    failed = len(merged) - labelled - abstained
    assert (summary["labelled"], summary["abstained"], summary["failed"]) == (labelled, abstained, failed)
    assert {k: n for k, n in summary["classes"].items() if n} == dict(sorted(tally.predicted.items()))
    assert {kind: one["rows"] for kind, one in summary["errors"].items()} == dict(
        sorted(tally.errors.items())
    )
    scores = score(tally)
    assert summary.get("accuracy") == (scores and scores.accuracy)
    assert summary.get("confusion") == (scores and scores.confusion)
    calibration = calibrate(tally.confidences)
    assert (summary.get("ece"), summary.get("aurc")) == (
        (calibration.ece, calibration.aurc) if calibration else (None, None)
    )
    shares = {name: asdict(rate) for name, rate in class_shares(tally.probabilities).items()}
    assert summary.get("class_shares", {}) == shares
    leaks = leaks_of(done, alike)
    assert summary["leaks"]["rows"] == [one.model_dump() for one in leaks]
    assert summary["leaks"]["unverified"] == sum(not one.verified for one in leaks)
    without = score(tally_of(one for one in done if one.index not in {leak.index for leak in leaks}))
    assert (summary.get("without_leaks") or {}).get("confusion") == (
        without.confusion if without and leaks else None
    )
    assert b"".join(result_rows(ledger, job.job_id)) == b"".join(one.line() for one in done)
    standing = {
        kind: [o.index for o in done if o.error and o.error.kind == kind] for kind in Counter(tally.errors)
    }
    for kind, errors in summary["errors"].items():
        quoted = [one["index"] for one in errors["examples"]]
        assert set(quoted) <= set(standing[kind])
        assert quoted == standing[kind][:EXAMPLES] or not quotable
