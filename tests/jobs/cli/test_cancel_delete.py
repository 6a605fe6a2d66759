"""`savs-submit delete`: a job goes, its artifact stays, and nothing that is needed."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobs.cli import main
from jobs.ledger.ledger import Ledger
from jobs.ledger.processes import write_process
from jobs.ledger.results import result_rows
from jobs.records.job import Job
from savs.errors import StorageError
from tests.jobs.conftest import Corpus, Finished, orphans, savs_submit, tree
from tests.jobs.ledgers import classify_job, extract_job, plan_of, row, summary_of, write_outcome


def ended(workspace: Path) -> tuple[Ledger, Job]:
    """A classify job that has ended, with a part of an attempt that lost."""
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(2, 2))
    for shard in (0, 1):
        write_outcome(ledger, job, shard, [row(2 * shard, "cat"), row(2 * shard + 1, "dog")])
    ledger.write_part(job.job_id, 1, ".jsonl", b"late\n")
    ledger.write_summary(job.job_id, summary_of(job))
    return ledger, job


def delete(workspace: Path, *arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(
        main, ["delete", *arguments, "--workspace", str(workspace)], input=answer, catch_exceptions=False
    )


def left(ledger: Ledger) -> list[str]:
    return list(ledger.store.list("jobs"))


def test_a_job_is_deleted_when_the_question_is_answered_with_yes(workspace: Path) -> None:
    ledger, job = ended(workspace)
    ledger.activate(job.job_id)
    before = tree(workspace)

    no = delete(workspace, "pets", answer="n\n")
    nothing = delete(workspace, "pets")

    assert f"delete {job.job_id} with all its rows?" in no.stdout
    assert (no.exit_code, nothing.exit_code) == (0, 1)
    assert tree(workspace) == before
    assert delete(workspace, "pets", answer="y\n").stdout.endswith(f"{job.job_id}: deleted\n")
    assert left(ledger) == [] and ledger.active() == []


def test_with_yes_nothing_is_asked(workspace: Path) -> None:
    ledger, job = ended(workspace)

    assert delete(workspace, job.job_id, "--yes").stdout == f"{job.job_id}: deleted\n"
    assert left(ledger) == []
    # not even an empty folder, which would look like a job
    assert not (workspace / "jobs" / job.job_id).exists()
    assert "it has no jobs" in savs_submit("status", "pets", "--workspace", workspace).stderr


def test_a_job_that_runs_is_not_deleted_until_it_is_cancelled(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(2, 2))
    write_process(ledger, job.job_id)
    before = tree(workspace)

    refused = delete(workspace, "pets", "--yes")

    assert refused.exit_code == 1
    assert f"{job.job_id} has not ended; cancel it first: savs-submit cancel pets" in refused.stderr
    assert tree(workspace) == before
    assert savs_submit("cancel", "pets", "--workspace", workspace).exit_code == 0
    assert delete(workspace, "pets", "--yes").exit_code == 0
    assert left(ledger) == []


def test_a_job_whose_process_died_is_deleted(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(2, 2))
    write_process(ledger, job.job_id, "stopped by Ctrl-C")

    assert delete(workspace, "pets", "--yes").exit_code == 0
    assert left(ledger) == []


def test_a_job_that_a_pool_is_to_plan_is_not_deleted(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job())
    ledger.activate(job.job_id)

    assert delete(workspace, "pets", "--yes").exit_code == 1


def test_of_several_jobs_none_is_deleted_while_one_runs(workspace: Path) -> None:
    ledger, _ = ended(workspace)
    write_process(ledger, ledger.create_job(extract_job(), plan_of(2)).job_id)
    before = tree(workspace)

    assert delete(workspace, "pets", "--yes").exit_code == 1
    assert tree(workspace) == before


class Failing:
    """A store that fails for good at its nth deletion."""

    def __init__(self, ledger: Ledger, after: int) -> None:
        self.store, self.left = ledger.store, after

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    def delete(self, key: str) -> None:
        if self.left == 0:
            raise StorageError("the network is gone")
        self.left -= 1
        self.store.delete(key)


def test_a_deletion_that_is_interrupted_anywhere_can_be_done_again(workspace: Path) -> None:
    everything = len(left(ended(workspace / "whole")[0])) + 3  # and the marks
    for after in range(everything):
        place = workspace / str(after)
        ledger, job = ended(place)
        interrupted = Ledger(str(place))
        interrupted.store = Failing(interrupted, after)  # type: ignore[assignment]
        try:
            interrupted.delete(job.job_id)
        except StorageError:
            # it can be seen, and is not taken for one that has ended
            assert ledger.summary(job.job_id) is None or after < 2
            assert delete(place, "pets", "--yes").exit_code == 0
        assert left(ledger) == [], after


def test_an_artifact_outlives_its_job(
    calm: Finished, corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given a workspace whose jobs were all deleted
    shutil.copytree(calm.workspace, workspace)
    before = tree(workspace / "artifacts")
    assert delete(workspace, "shapes", "--yes").exit_code == 0
    assert tree(workspace / "artifacts") == before

    # if its artifact is used by its name
    said = savs_submit(
        *("classify", "--data", corpus.data, "--artifact", "shapes", "--model", qwen2_vl),
        *("--name", "again", "--workspace", workspace, "--batch-tokens", "200"),
    )

    # then it labels as it did
    assert said.exit_code == 0, said.output
    [job] = Ledger(str(workspace)).jobs()
    rows = b"".join(result_rows(Ledger(str(workspace)), job.job_id))
    assert rows == calm.rows


def test_a_job_can_be_retried_when_the_one_before_it_was_deleted(
    calm: Finished, qwen2_vl: Path, workspace: Path
) -> None:
    shutil.copytree(calm.workspace, workspace)
    assert delete(workspace, calm.extract.job_id, "--yes").exit_code == 0
    (workspace / "jobs" / calm.classify.job_id / "commits" / "0000003.json").unlink()
    (workspace / "jobs" / calm.classify.job_id / "summary.json").unlink()

    said = savs_submit("resume", "shapes", "--workspace", workspace)

    assert said.exit_code == 0, said.output
    assert b"".join(result_rows(Ledger(str(workspace)), calm.classify.job_id)) == calm.rows


def test_orphans_are_parts_that_no_commit_names_and_nothing_else_goes(workspace: Path) -> None:
    ledger, job = ended(workspace)
    [orphan] = orphans(workspace)
    before = tree(workspace)

    said = delete(workspace, "pets", "--orphans")

    assert said.stdout == f"{job.job_id}: 1 orphan deleted\n"
    assert before.keys() - tree(workspace).keys() == {f"jobs/{job.job_id}/parts/{orphan}"}
    assert len(list(result_rows(ledger, job.job_id))) == 4


def test_the_orphans_of_all_jobs_go_at_once_but_for_those_of_a_job_that_cannot_be_read(
    workspace: Path,
) -> None:
    # given orphans of two jobs, and a third that is unreadable
    ledger, pets = ended(workspace)
    farm = ledger.create_job(classify_job("farm"), plan_of(2))
    write_outcome(ledger, farm, 0, [row(0, "cat"), row(1, "dog")])
    for part in (b"late\n", b"later\n"):
        ledger.write_part(farm.job_id, 0, ".jsonl", part)
    unreadable = ledger.create_job(classify_job("unreadable"), plan_of(2))
    (workspace / "jobs" / unreadable.job_id / "job.json").write_text("{")

    said = delete(workspace, "--orphans", "--json")

    assert said.exit_code == 1
    assert json.loads(said.stdout) == [
        {"job_id": farm.job_id, "orphans": 2},
        {"job_id": pets.job_id, "orphans": 1},
    ]
    assert unreadable.job_id in said.stderr
    assert orphans(workspace) == []


def test_for_machines_a_deletion_asks_nothing_and_so_must_be_confirmed(workspace: Path) -> None:
    ledger, job = ended(workspace)

    refused = delete(workspace, "pets", "--json")
    assert refused.exit_code == 2 and "add --yes" in refused.stderr
    said = delete(workspace, "pets", "--json", "--yes")

    assert json.loads(said.stdout) == [{"job_id": job.job_id, "deleted": True}]
    assert left(ledger) == []


def test_all_jobs_are_not_deleted_for_want_of_a_name(workspace: Path) -> None:
    ledger, _ = ended(workspace)

    said = delete(workspace, "--yes")

    assert said.exit_code == 2 and "give the NAME of the jobs to delete" in said.stderr
    assert left(ledger)


def test_what_an_attempt_is_about_to_commit_is_no_orphan(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(2, 2))
    ledger.write_part(job.job_id, 0, ".jsonl", b"soon\n")

    assert "0 orphans deleted" in delete(workspace, "pets", "--orphans").stdout
    assert len(orphans(workspace)) == 1


@pytest.mark.parametrize("arguments", [["pets"], ["pets", "--yes"], ["pets", "--orphans"]])
def test_a_name_that_is_not_there_is_wrong_usage(workspace: Path, arguments: list[str]) -> None:
    assert delete(workspace, *arguments).exit_code == 2
