"""The ledger: one outcome per shard for ever, and nothing believed that contradicts itself."""

import json
import random
import threading
from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from jobs.records.job import checked_name
from jobs.records.outcome import Outcome
from jobs.reduce.reducer import reduce_job
from jobs.reduce.status import job_state
from savs.errors import JobNotFound, LedgerError, NewerLedger, SavsError, SettingsError
from tests.jobs.cli.mutating import mutate
from tests.jobs.conftest import orphans, savs_submit
from tests.jobs.ledgers import classify_job, extract_job, plan_of, row, write_outcome

MUTATIONS = 200


@pytest.fixture
def ledger(workspace: Path) -> Ledger:
    return Ledger(str(workspace))


def test_an_outcome_is_never_replaced(ledger: Ledger) -> None:
    # given a shard that is done
    job = ledger.create_job(classify_job(), plan_of(2))
    first = write_outcome(ledger, job, 0, [row(0, "cat"), row(1, "dog")])

    # if another attempt commits something else
    told = write_outcome(ledger, job, 0, [row(0, "dog"), row(1, "dog")])

    # then it is told the first outcome, and its own part counts for nobody
    assert told == first == ledger.outcome(job.job_id, 0)
    assert [json.loads(one)["prediction"] for one in result_rows(ledger, job.job_id)] == ["cat", "dog"]
    assert len(orphans(Path(ledger.workspace))) == 1


def test_giving_up_does_not_undo_what_is_done(ledger: Ledger) -> None:
    job = ledger.create_job(classify_job(), plan_of(1))
    done = write_outcome(ledger, job, 0, [row(0, "cat")])
    failed = Outcome(shard=0, status="failed", attempt="none", reason="gave up")
    assert ledger.commit(job.job_id, failed) == done
    assert list(ledger.outcomes(job.job_id)) == [done]


def test_of_eight_that_commit_at_once_one_wins_and_all_are_told_who(ledger: Ledger) -> None:
    job = ledger.create_job(classify_job(), plan_of(*[1] * 20))
    told: dict[int, list[Outcome]] = {shard: [] for shard in range(20)}
    together = threading.Barrier(8)

    def commit(writer: int) -> None:
        for shard in range(20):
            together.wait()
            told[shard].append(write_outcome(ledger, job, shard, [row(shard, f"class-{writer}")]))

    threads = [threading.Thread(target=commit, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for shard, outcomes in told.items():
        assert len(outcomes) == 8 and set(map(repr, outcomes)) == {repr(ledger.outcome(job.job_id, shard))}
    parts = [outcome.part for outcome in ledger.outcomes(job.job_id)]
    assert len(set(parts)) == 20 and len(orphans(Path(ledger.workspace))) == 7 * 20


def test_of_eight_that_submit_a_job_at_once_all_join_the_same(ledger: Ledger) -> None:
    together = threading.Barrier(8)
    joined = []

    def submit(minute: int) -> None:
        together.wait()
        joined.append(ledger.create_job(classify_job(minute=minute), plan_of(2, 2)))

    threads = [threading.Thread(target=submit, args=(minute,)) for minute in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(joined) == 8 and set(map(repr, joined)) == {repr(ledger.jobs()[0])}
    assert len(ledger.jobs()) == 1


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_part_that_is_not_what_was_committed_is_not_read(ledger: Ledger, damage: str) -> None:
    job = ledger.create_job(classify_job(), plan_of(2))
    outcome = write_outcome(ledger, job, 0, [row(0, "cat"), row(1, "dog")])
    part = Path(ledger.workspace, "jobs", job.job_id, "parts", str(outcome.part))
    assert len(list(result_rows(ledger, job.job_id))) == 2
    if damage == "gone":
        part.unlink()
    else:
        data = part.read_bytes()
        part.write_bytes(data.replace(b"cat", b"dog") if damage == "changed" else data[:-9])

    with pytest.raises(LedgerError, match=str(outcome.part)):
        list(result_rows(ledger, job.job_id))


def test_jobs_are_listed_in_the_order_they_were_submitted(ledger: Ledger) -> None:
    # given jobs whose names sort otherwise, an extract and a classify job of the same minute among them
    jobs = [
        extract_job("zebra", minute=0),
        extract_job("middle", minute=1),
        classify_job("middle", minute=1, after="middle-extract-00000000"),
        classify_job("aardvark", minute=2),
    ]
    for job in reversed(jobs):
        ledger.create_job(job, plan_of(1))

    assert [job.job_id for job in ledger.jobs()] == [job.job_id for job in jobs]
    assert [job.spec.kind for job in ledger.jobs("middle")] == ["extract", "classify"]
    assert [job.job_id for job in ledger.jobs(jobs[3].job_id)] == [jobs[3].job_id]
    assert ledger.jobs("nobody") == []
    # a dot-file or a stray folder is no job
    (Path(ledger.workspace) / "jobs" / "stray").mkdir()
    assert len(ledger.jobs()) == 4


def test_a_job_that_is_not_there_is_named(ledger: Ledger) -> None:
    with pytest.raises(JobNotFound, match="no job 'pets-classify-00000000'"):
        ledger.job("pets-classify-00000000")


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "", "a" * 65, "..", ".", "-rf", "a\nb", "a\n", "a b", "ü", "a\0", "/etc", "a\\b"]
)
def test_a_name_that_could_leave_the_workspace_is_refused(
    ledger: Ledger, workspace: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(SettingsError, match="cannot be a name"):
        checked_name(name)
    # and on the command line nothing is written
    data = tmp_path / "rows.jsonl"
    data.write_bytes(b'{"question": "q", "label": "a"}\n')
    result = savs_submit(
        *("extract", "--train", data, "--name", name, "--model", "demo", "--workspace", workspace)
    )
    assert result.exit_code == 2 and "cannot be a name" in result.stderr
    assert not workspace.exists()


@pytest.mark.parametrize("name", ["a", "a" * 64, "Pets_2.v-1", "0"])
def test_an_ordinary_name_is_taken(name: str) -> None:
    assert checked_name(name) == name


def write_ledger(workspace: Path) -> Ledger:
    """An extract job without outcomes, and a classify job with three: one with errors, one given up."""
    ledger = Ledger(str(workspace))
    first = ledger.create_job(extract_job(), plan_of(2, 2))
    job = ledger.create_job(classify_job(minute=1, after=first.job_id), plan_of(2, 2, 1))
    write_outcome(ledger, job, 0, [row(0, "cat", "cat"), row(1, "dog", "cat")])
    write_outcome(ledger, job, 1, [row(2, None, "cat", error="missing_media"), row(3, "dog")])
    failed = {"counts": {"rows": 1, "failed": 1}, "reason": "the worker died"}
    ledger.commit(
        job.job_id, Outcome.model_validate({"shard": 2, "status": "failed", "attempt": "none"} | failed)
    )
    assert reduce_job(ledger, job) is not None
    return ledger


def read_everything(ledger: Ledger) -> None:
    """All that commands do with a ledger short of running a model."""
    for job in ledger.jobs():
        job_state(ledger, job)
        list(result_rows(ledger, job.job_id))
        reduce_job(ledger, job)
        ledger.summary(job.job_id)


def files(workspace: Path) -> list[Path]:
    return [p for p in sorted(workspace.rglob("*.json")) if p.name != "summary.json"]


def test_every_object_of_a_newer_schema_is_left_to_a_newer_savs(workspace: Path) -> None:
    ledger = write_ledger(workspace)
    read_everything(ledger)
    assert len(files(workspace)) == 7
    for path in files(workspace):
        data = path.read_bytes()
        path.write_bytes(json.dumps(json.loads(data) | {"schema_version": 3}).encode())
        with pytest.raises(NewerLedger, match=path.name):
            read_everything(ledger)
        path.write_bytes(data)


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"schema_version": 1}']
)
def test_every_object_that_is_no_json_of_its_kind_is_refused(workspace: Path, garbage: bytes) -> None:
    ledger = write_ledger(workspace)
    for path in files(workspace):
        data = path.read_bytes()
        path.write_bytes(garbage)
        with pytest.raises(LedgerError, match=path.name):
            read_everything(ledger)
        path.write_bytes(data)


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b"{}", b'{"status": 3}'])
def test_a_spoilt_summary_is_refused_or_made_again_and_never_a_traceback(
    workspace: Path, garbage: bytes
) -> None:
    ledger = write_ledger(workspace)
    [path] = workspace.glob("jobs/*/summary.json")
    path.write_bytes(garbage)
    for command in (["status", "pets"], ["list"], ["list", "--json"]):
        assert savs_submit(*command, "--workspace", workspace).exit_code in (0, 1)
    assert reduce_job(ledger, ledger.jobs()[1]) is not None  # it follows from the rest
    assert savs_submit("status", "pets", "--workspace", workspace).exit_code == 0


def test_an_object_in_another_ones_place_is_refused(workspace: Path) -> None:
    ledger = write_ledger(workspace)
    job = ledger.jobs()[1]
    folder = workspace / "jobs" / job.job_id
    # given an outcome under another shard's number
    first = (folder / "commits" / "0000000.json").read_bytes()
    third = (folder / "commits" / "0000002.json").read_bytes()
    (folder / "commits" / "0000002.json").write_bytes(first)
    with pytest.raises(LedgerError, match=r"0000002\.json"):
        read_everything(ledger)
    (folder / "commits" / "0000002.json").write_bytes(third)
    read_everything(ledger)
    # given a job in a folder that has another job's id
    copy = workspace / "jobs" / "pets-classify-00000000"
    copy.mkdir()
    (copy / "job.json").write_bytes((folder / "job.json").read_bytes())
    with pytest.raises(LedgerError, match="pets-classify-00000000"):
        ledger.jobs()


def test_a_stray_file_among_the_commits_is_a_typed_error(workspace: Path) -> None:
    ledger = write_ledger(workspace)
    job = ledger.jobs()[1]
    (workspace / "jobs" / job.job_id / "commits" / "notes.json").write_bytes(b"{}")
    with pytest.raises(LedgerError, match=r"notes\.json"):
        list(ledger.outcomes(job.job_id))


def test_a_job_whose_name_leaves_the_workspace_is_refused(workspace: Path) -> None:
    ledger = write_ledger(workspace)
    path = workspace / "jobs" / ledger.jobs()[0].job_id / "job.json"
    found = json.loads(path.read_bytes())
    found["spec"]["name"] = "../../escaped"
    path.write_bytes(json.dumps(found).encode())
    with pytest.raises(LedgerError, match=r"job\.json"):
        ledger.jobs()


def test_a_mutated_ledger_gives_its_contents_or_a_typed_error(workspace: Path) -> None:
    ledger = write_ledger(workspace)
    rng = random.Random(29)
    whole = {path: path.read_bytes() for path in [*files(workspace), *workspace.glob("jobs/*/summary.json")]}
    refused = 0
    for number in range(MUTATIONS):
        path = rng.choice(list(whole))
        path.write_bytes(mutated := mutate(whole[path], rng))
        try:
            read_everything(ledger)
        except SavsError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"mutation {number} of {path.name}: {mutated[:2000]!r}") from error
        outside = {p.name for p in workspace.parent.iterdir()} - {workspace.name}
        assert not outside, f"mutation {number} of {path.name} wrote outside of the workspace: {outside}"
        for name, data in whole.items():
            name.write_bytes(data)
    assert refused > MUTATIONS / 3, "the mutations no longer hurt"
