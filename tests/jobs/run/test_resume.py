"""Whatever interrupts a run, going on ends with what a calm run ends with.

Moments are chosen by a picture that nobody may open: the run stops at it, so the test knows how far it is.
See `conftest.Blocked`.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from tests.jobs.conftest import (
    EXAMPLES,
    ROWS,
    SHARD,
    Corpus,
    Finished,
    blocked,
    commits,
    finished,
    one_job,
    orphans,
    read_jsonl,
    run_arguments,
    savs_submit,
    started,
    tree,
    write_jsonl,
)

EXTRACT_SHARDS, CLASSIFY_SHARDS = EXAMPLES // SHARD, ROWS // SHARD


def assert_as_calm(workspace: Path, calm: Finished) -> None:
    """The workspace ends with the calm run's rows, artifact and summaries, and one outcome per shard."""
    done = finished(workspace)
    assert done.rows == calm.rows
    assert done.tensors == calm.tensors
    assert done.outcome() == calm.outcome()
    assert (commits(workspace, "extract"), commits(workspace, "classify")) == (
        EXTRACT_SHARDS,
        CLASSIFY_SHARDS,
    )
    assert [job.spec.kind for job in Ledger(str(workspace)).jobs()] == ["extract", "classify"]


def test_ctrl_c_is_answered_and_resume_ends_what_was_begun(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, calm: Finished
) -> None:
    # given a run that is stuck in the sixth shard of the corpus
    with (
        blocked(corpus.pictures[5 * SHARD + 1]) as block,
        started(*run_arguments(corpus, qwen2_vl, workspace)) as process,
    ):
        block.wait_for_reader()
        assert commits(workspace, "classify") == 5
        # if somebody presses Ctrl-C
        process.send_signal(signal.SIGINT)
        block.feed()
        stdout, stderr = process.communicate(timeout=60)

    # then it says what to do, and what was done is kept
    assert process.returncode == 1
    assert "stopped; to continue, repeat the command, or: savs-submit resume shapes" in stderr
    assert "Traceback" not in stderr and stdout == ""
    assert commits(workspace, "extract") == EXTRACT_SHARDS and 5 <= commits(workspace, "classify") <= 6
    states = json.loads(savs_submit("status", "shapes", "--workspace", workspace, "--json").stdout)
    assert [state["status"] for state in states] == ["done", "interrupted"]
    assert states[1]["shards_done"] == commits(workspace, "classify")
    said = savs_submit("results", "shapes", "--workspace", workspace)
    partial = said.stdout_bytes
    assert partial and calm.rows.startswith(partial)
    # and that rows are missing is said, and is an error unless that is all right
    rows = len(partial.splitlines())
    assert f"{rows} of {ROWS} rows; job interrupted" in said.stderr and said.exit_code == 1
    allowed = savs_submit("results", "shapes", "--partial", "--workspace", workspace)
    assert (allowed.exit_code, allowed.stdout_bytes) == (0, partial)

    # and resuming does the rest, and only that
    before = tree(workspace)
    result = savs_submit("resume", "shapes", "--workspace", workspace)
    assert result.exit_code == 0, result.output
    assert_as_calm(workspace, calm)
    after = tree(workspace)
    assert {name: after[name] for name in before} == before


def test_ctrl_c_in_watch_stops_watching_and_says_that_the_jobs_continue(
    corpus: Corpus, workspace: Path, qwen2_vl: Path
) -> None:
    # given a job that a pool would work on
    from jobs.ledger.ledger import Ledger
    from tests.jobs.ledgers import extract_job, plan_of

    Ledger(str(workspace)).create_job(extract_job("pets"), plan_of(2, 2))
    with started("watch", "pets", "--workspace", workspace) as process:
        assert process.stderr is not None
        assert "pets" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "stopped watching; the jobs continue. To stop them: savs-submit cancel pets" in stderr


@pytest.mark.parametrize("again", ["resume", pytest.param("same command", marks=pytest.mark.kill)])
@pytest.mark.parametrize(
    ("moment", "extracted", "classified"),
    [("train-13.png", 3, 0), ("item-00.png", 6, 0), ("item-29.png", 6, 7)],
    ids=["in extract", "before the first label", "in classify"],
)
def test_a_killed_run_goes_on_where_it_was(
    corpus: Corpus,
    qwen2_vl: Path,
    workspace: Path,
    calm: Finished,
    moment: str,
    extracted: int,
    classified: int,
    again: str,
) -> None:
    # given a run that is killed when so many shards are done
    arguments = run_arguments(corpus, qwen2_vl, workspace)
    with (
        blocked(corpus.folder / "pictures" / moment) as block,
        started(*arguments) as process,
    ):
        block.wait_for_reader()
        assert (commits(workspace, "extract"), commits(workspace, "classify")) == (extracted, classified)
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    before = tree(workspace)

    # if it is taken up
    command = ["resume", "shapes", "--workspace", str(workspace)] if again == "resume" else arguments
    result = savs_submit(*command)

    # then it ends as if nothing had been, and nothing that was there was written again
    assert result.exit_code == 0, result.output
    assert_as_calm(workspace, calm)
    after = tree(workspace)
    assert {name: after[name] for name in before} == before
    assert orphans(workspace) == []


def test_a_part_without_a_commit_is_left_and_its_shard_done_again(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, calm: Finished
) -> None:
    # given a run that was killed while it wrote a commit: its part is there, and half of a file
    result = savs_submit(
        *("classify", "--data", corpus.data, "--artifact", calm.summary("extract")["artifact"]),
        *("--name", "again", "--workspace", workspace, "--shard-size", SHARD, "--batch-tokens", 200),
    )
    assert result.exit_code == 0, result.output
    [job] = Ledger(str(workspace)).jobs("again")
    folder = workspace / "jobs" / job.job_id
    (folder / "commits" / "0000003.json").unlink()
    (folder / "summary.json").unlink()
    (folder / "commits" / f".0000003.json.{'0a' * 16}.tmp").write_bytes(b'{"half')

    result = savs_submit("resume", "again", "--workspace", workspace)

    assert result.exit_code == 0, result.output
    assert b"".join(result_rows(Ledger(str(workspace)), job.job_id)) == calm.rows
    assert len(list((folder / "parts").glob("0000003-*"))) == 2
    assert len(orphans(workspace)) == 1


@pytest.mark.parametrize("lost", ["manifest.json", "both"])
def test_an_artifact_that_was_not_finished_is_made_again(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, calm: Finished, lost: str
) -> None:
    # given a fit that was killed before its artifact was whole, and so before the summary
    arguments = [
        *("extract", "--train", corpus.train, "--name", "shapes", "--model", qwen2_vl, "--heads", 5),
        *("--workspace", workspace, "--shard-size", SHARD, "--batch-tokens", 200),
    ]
    assert savs_submit(*arguments).exit_code == 0
    job = one_job(workspace, "extract")
    folder = workspace / "artifacts" / "shapes" / job.job_id
    whole = tree(workspace)
    (workspace / "jobs" / job.job_id / "summary.json").unlink()
    (folder / "manifest.json").unlink()
    if lost == "both":
        (folder / "savs.safetensors").unlink()

    result = savs_submit("resume", "shapes", "--workspace", workspace)

    assert result.exit_code == 0, result.output
    assert "loading" not in result.output, "every shard was done"
    assert {name: data for name, (_, data) in tree(workspace).items()} == {
        name: data for name, (_, data) in whole.items()
    }


def test_of_two_runs_at_once_every_shard_has_one_outcome(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, calm: Finished
) -> None:
    # given the same command twice at the same time
    arguments = run_arguments(corpus, qwen2_vl, workspace)
    with started(*arguments) as first, started(*arguments) as second:
        said = [process.communicate(timeout=240) for process in (first, second)]

    assert [first.returncode, second.returncode] == [0, 0], said
    assert_as_calm(workspace, calm)
    # and whatever was done twice is an orphan, never a second outcome
    parts = len(list(workspace.glob("jobs/*/parts/*")))
    assert parts == EXTRACT_SHARDS + CLASSIFY_SHARDS + len(orphans(workspace))


def test_one_that_comes_late_takes_the_outcome_that_is_there(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, calm: Finished
) -> None:
    # given a run that is stuck in the fourth shard of the corpus
    arguments = run_arguments(corpus, qwen2_vl, workspace)
    with (
        blocked(corpus.pictures[3 * SHARD]) as block,
        started(*arguments) as late,
    ):
        block.wait_for_reader()
        # and another one that overtakes it there and ends
        block.restore()
        assert savs_submit(*arguments).exit_code == 0
        before = tree(workspace)
        # if the first one goes on
        block.feed()
        stdout, stderr = late.communicate(timeout=60)

    # then it has worked in vain, says the same, and changes nothing but for its own part
    assert late.returncode == 0, stderr
    assert "40 rows: 40 labelled" in stdout
    after = tree(workspace)
    summaries = [name for name in before if name.endswith("summary.json")]
    assert {name: after[name] for name in before if name not in summaries} == {
        name: before[name] for name in before if name not in summaries
    }
    assert [after[name][1] for name in summaries] == [before[name][1] for name in summaries]
    [orphan] = orphans(workspace)
    assert orphan.startswith("0000003-")
    assert_as_calm(workspace, calm)


def test_changed_data_is_another_job_and_the_old_one_says_so(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given a run that was killed half way through the corpus
    arguments = run_arguments(own_corpus, qwen2_vl, workspace)
    with blocked(own_corpus.pictures[5 * SHARD]) as block, started(*arguments) as process:
        block.wait_for_reader()
        process.kill()
        process.communicate()
    old = one_job(workspace, "classify")
    assert commits(workspace, "classify") == 5

    # if a row is added to the corpus, and the same command is given
    rows = read_jsonl(own_corpus.data)
    write_jsonl(own_corpus.data, [*rows, rows[0]])
    result = savs_submit(*arguments, "--json")

    # then that is another job, with all rows, and examples that did not change are not read again
    assert result.exit_code == 0, result.output
    _, classify = json.loads(result.stdout)
    assert classify["job_id"] != old.job_id and classify["rows"] == ROWS + 1
    assert len(list(workspace.glob("jobs/*-extract-*"))) == 1
    assert commits(workspace, "extract") == EXTRACT_SHARDS
    assert (
        len(savs_submit("results", "shapes", "--workspace", workspace).stdout_bytes.splitlines()) == ROWS + 1
    )
    # and the old job cannot go on, says why, and keeps what it has
    result = savs_submit("resume", old.job_id, "--workspace", workspace)
    assert result.exit_code == 1
    said = result.stderr.splitlines()[-1]
    assert str(own_corpus.data) in said and "has changed since the job was planned; submit it again" in said
    assert "Traceback" not in result.stderr
    assert len(Ledger(str(workspace)).committed(old.job_id)) == 5
    # and with the data as it was, it does
    write_jsonl(own_corpus.data, rows)
    result = savs_submit("resume", old.job_id, "--workspace", workspace)
    assert result.exit_code == 0, result.output
    assert len(list(result_rows(Ledger(str(workspace)), old.job_id))) == ROWS


def test_resume_of_a_name_leaves_an_old_job_alone_whose_data_changed_and_ends_the_new_one(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given two unfinished jobs of one name: one of data that is no more, and one of the data there is
    arguments = run_arguments(own_corpus, qwen2_vl, workspace)
    savs_submit(*arguments)
    old = one_job(workspace, "classify")
    rows = read_jsonl(own_corpus.data)
    write_jsonl(own_corpus.data, rows[::-1])
    savs_submit(*arguments)
    for path in workspace.glob("jobs/*-classify-*"):
        (path / "commits" / "0000009.json").unlink()
        (path / "summary.json").unlink()

    result = savs_submit("resume", "shapes", "--workspace", workspace)

    # then the old one is as it was, and the new one is done
    assert result.exit_code == 0, result.output
    states = json.loads(savs_submit("list", "--workspace", workspace, "--json").stdout)
    ends = {state["job_id"]: state["status"] for state in states if state["kind"] == "classify"}
    assert ends.pop(old.job_id) == "interrupted"
    assert list(ends.values()) == ["done"]


def test_results_that_nobody_reads_to_the_end_end_quietly(calm: Finished) -> None:
    # given a pipe whose reader has gone
    reader, writer = os.pipe()
    os.close(reader)
    command = [Path(sys.executable).with_name("savs-submit"), "results", "shapes"]

    done = subprocess.run(
        [*command, "--workspace", calm.workspace],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )

    os.close(writer)
    assert done.returncode == 1 and done.stderr == ""
