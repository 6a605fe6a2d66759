"""`--keep-vectors`: head vectors of a whole corpus are stored beside its rows, and say what the rows say."""

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import savs
from jobs.ledger.corpus_vectors import corpus_vectors
from jobs.ledger.ledger import Ledger
from jobs.plans.planner import KEPT_SHARD_ROWS
from jobs.records.job import ClassifySpec, Job, job_id
from jobs.records.message import gpu_queue
from jobs.records.outcome import KeptVectors, Outcome
from jobs.records.retries import Pick, Retry, RetryShard
from jobs.shards.shard import give_up
from jobs.submit.submission import make_source, new_job, plan_job
from savs.engine.vectors import HeadVectors, in_order, metadata_of, vectors_to_bytes
from savs.errors import JobNotFound, LedgerError
from savs.storage import open_store
from tests.faulty_s3 import FaultyS3
from tests.jobs.conftest import (
    QUESTION,
    ROWS,
    SHARD,
    Corpus,
    Finished,
    blocked,
    commits,
    orphans,
    read_jsonl,
    savs_submit,
    started,
    tree,
)
from tests.jobs.ledgers import classify_job, plan_of
from tests.jobs.run.pilots import ITEMS, Piloted, many_rows, pilot_arguments
from tests.jobs.shards.kept import (
    HEADS,
    assert_labels_follow,
    everything,
    finish,
    kept_run,
    labels_from_vectors,
    objects,
    rows_in,
)

KEPT = Path(__file__).parents[2] / "data" / "workspace-0.1.0" / "bucket" / "work"


@pytest.fixture(scope="module")
def done(corpus: Corpus, qwen2_vl: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Job]:
    """One run that keeps `heads` and that nobody disturbed. For tests that only read it."""
    workspace = tmp_path_factory.mktemp("kept") / "results"
    return workspace, finish(kept_run(corpus, qwen2_vl, workspace, "heads"), workspace)


@pytest.fixture
def layers_run(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[int] | None]:
    """The layers that each pass through the model reads, as far as it is watched."""
    from savs.engine import extract

    seen: list[frozenset[int] | None] = []
    stream = extract.stream

    def watched(*arguments: Any, layers: frozenset[int] | None = None, **more: Any) -> Any:
        seen.append(layers)
        return stream(*arguments, layers=layers, **more)

    monkeypatch.setattr(extract, "stream", watched)
    return seen


@pytest.mark.parametrize("readout", ["reference", "ridge"])
@pytest.mark.parametrize("keep", ["heads", "all"])
def test_the_kept_vectors_give_the_labels_of_the_rows(
    corpus: Corpus, workspace: Path, keep: str, readout: str, layers_run: list[frozenset[int] | None]
) -> None:
    job = finish(kept_run(corpus, "demo", workspace, keep, readout=readout), workspace)

    # float16 may decide otherwise between two nearly equal votes; probabilities are hardly ever so close
    assert_labels_follow(workspace, job, differing=1 if readout == "reference" else 0)
    assert isinstance(job.spec, ClassifySpec) and job.spec.artifact is not None
    fitted = savs.load_artifact(job.spec.artifact).readout
    kept = corpus_vectors(Ledger(str(workspace)), job.job_id)
    layers = {int(layer) for layer, _ in fitted.heads}
    if keep == "all":
        assert kept.layout == fitted.layout
        layers = {layer.layer for layer in fitted.layout.layers}
    else:
        assert kept.layout is not None
        assert kept.layout.heads() == sorted((int(layer), int(head)) for layer, head in fitted.heads)
        assert len(kept.layout.heads()) == HEADS
    assert layers_run[-1] == layers
    assert (len(kept), kept.missing) == (ROWS, 0)


def test_kept_vectors_change_no_row(
    done: tuple[Path, Job], corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    arguments = kept_run(corpus, qwen2_vl, workspace, "heads")
    place = arguments.index("--keep-vectors")
    without = finish(arguments[:place] + arguments[place + 2 :], workspace)

    assert rows_in(workspace, without) == rows_in(*done)
    assert without.job_id != done[1].job_id and orphans(workspace) == []
    assert not [*workspace.glob("jobs/*/parts/*.vectors.safetensors")]
    assert all('"kept"' not in p.read_text() for p in workspace.glob("jobs/*/commits/*.json"))


def test_each_vector_has_the_row_that_it_is_of(done: tuple[Path, Job], corpus: Corpus) -> None:
    workspace, job = done
    parts = list(corpus_vectors(Ledger(str(workspace)), job.job_id))

    assert [[row.index for row in rows] for rows, _ in parts] == [
        [*range(first, first + SHARD)] for first in range(0, ROWS, SHARD)
    ]
    rows = [row for rows, _ in parts for row in rows]
    for row, result, line in zip(rows, rows_in(workspace, job), read_jsonl(corpus.data), strict=True):
        assert (row.id, row.task, list(row.media)) == (result["id"], result["task"], result["media"])
        assert (row.question, row.label) == (QUESTION, line.get("label"))
        assert row.sizes == (Path(row.media[0]).stat().st_size,)
    assert all(v.values.dtype == np.float32 and v.values.shape == (SHARD, v.layout.width) for _, v in parts)


def test_only_a_few_parts_are_read_before_their_rows_are_asked_for(
    done: tuple[Path, Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    whole = Ledger.read_vectors

    def watched(ledger: Ledger, job_id: str, kept: KeptVectors) -> bytes:
        read.append(kept.name)
        return whole(ledger, job_id, kept)

    monkeypatch.setattr(Ledger, "read_vectors", watched)

    for number, _ in enumerate(corpus_vectors(Ledger(str(done[0])), done[1].job_id)):
        assert len(read) <= number + 3  # the first twice, and the one after

    assert len({*read}) == ROWS // SHARD


def test_heads_are_what_all_has_of_them(
    done: tuple[Path, Job], corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    job = finish(kept_run(corpus, qwen2_vl, workspace, "all"), workspace)

    layout = corpus_vectors(Ledger(str(done[0])), done[1].job_id).layout
    assert layout is not None
    parts = corpus_vectors(Ledger(str(workspace)), job.job_id)
    own = np.concatenate([vectors.part(layout).values for _, vectors in parts])
    assert np.allclose(own, everything(*done)[1], atol=1e-3)


def test_the_same_spec_gives_the_same_bytes(
    done: tuple[Path, Job], corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    job = finish(kept_run(corpus, qwen2_vl, workspace, "heads"), workspace)

    assert len(objects(workspace, job)) == ROWS // SHARD
    assert objects(workspace, job) == objects(*done)


def test_vectors_are_kept_on_s3_too(corpus: Corpus, bucket: str) -> None:
    workspace = f"s3://{bucket}/work"

    job = finish(kept_run(corpus, "demo", workspace, "heads", readout="ridge"), workspace)

    assert_labels_follow(workspace, job)
    keys = list(Ledger(workspace).store.list(f"jobs/{job.job_id}/parts"))
    assert len([key for key in keys if key.endswith(".vectors.safetensors")]) == ROWS // SHARD
    assert list(Ledger(workspace).orphans(job.job_id)) == []


@pytest.mark.parametrize("ignores", ["unconditional", "501"])
def test_on_a_store_without_conditions_vectors_have_fixed_names(
    faulty: FaultyS3, corpus: Corpus, qwen2_vl: Path, ignores: str
) -> None:
    faulty.choose = lambda method, path: ignores if method == "PUT" else None
    workspace = "s3://corpus/work"

    job = finish(kept_run(corpus, qwen2_vl, workspace, "heads", "--shard-size", 20), workspace)

    keys = [key.rpartition("/")[2] for key in open_store(workspace).list(f"jobs/{job.job_id}/parts")]
    assert sorted(keys) == [f"000000{n}{kind}" for n in (0, 1) for kind in (".jsonl", ".vectors.safetensors")]
    assert_labels_follow(workspace, job, differing=1)


def test_a_killed_run_keeps_each_row_once(
    done: tuple[Path, Job], own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    arguments = kept_run(own_corpus, qwen2_vl, workspace, "heads")
    with blocked(own_corpus.pictures[3 * SHARD + 1]) as block, started(*arguments) as process:
        block.wait_for_reader()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert 0 < commits(workspace, "classify") < ROWS // SHARD
    before = tree(workspace)

    job = finish(["resume", "shapes", "--workspace", str(workspace)], workspace)

    indices, values = everything(workspace, job)
    assert indices == [*range(ROWS)] and np.array_equal(values, everything(*done)[1])
    after = tree(workspace)
    assert {name: after[name] for name in before} == before
    assert orphans(workspace) == []


def test_an_attempt_that_is_killed_before_its_commit_leaves_two_orphans_which_can_be_deleted(
    corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given a run whose commit of a shard was not written, though all that it names was
    job = finish(kept_run(corpus, qwen2_vl, workspace, "heads"), workspace)
    calm, folder = everything(workspace, job), workspace / "jobs" / job.job_id
    [first] = (folder / "parts").glob("0000003-*.vectors.safetensors")
    (folder / "commits" / "0000003.json").unlink()
    (folder / "summary.json").unlink()

    finish(["resume", "shapes", "--workspace", str(workspace)], workspace)

    again = everything(workspace, job)
    assert again[0] == calm[0] and np.array_equal(again[1], calm[1])
    assert [name.partition("-")[0] for name in orphans(workspace)] == ["0000003", "0000003"]
    assert first.name in orphans(workspace) and objects(workspace, job)["3"] == first.read_bytes()
    said = savs_submit("delete", "shapes", "--orphans", "--workspace", workspace)
    assert "2 orphans deleted" in said.stdout and orphans(workspace) == []
    assert everything(workspace, job)[0] == [*range(ROWS)]


def test_of_two_attempts_the_one_that_comes_late_leaves_no_half(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path, done: tuple[Path, Job]
) -> None:
    # given a run that is stuck in the fourth shard, and another that overtakes it
    arguments = kept_run(own_corpus, qwen2_vl, workspace, "heads")
    with blocked(own_corpus.pictures[3 * SHARD]) as block, started(*arguments) as late:
        block.wait_for_reader()
        block.restore()
        job = finish(arguments, workspace)
        before = tree(workspace / "jobs" / job.job_id / "commits")
        block.feed()
        _, stderr = late.communicate(timeout=60)

    # then what counts is the other's part and vectors, and the late one's both are orphans
    assert late.returncode == 0, stderr
    assert tree(workspace / "jobs" / job.job_id / "commits") == before
    assert [name.partition(".")[2] for name in orphans(workspace)] == ["jsonl", "vectors.safetensors"]
    assert len({name.partition(".")[0] for name in orphans(workspace)}) == 1
    assert np.array_equal(everything(workspace, job)[1], everything(*done)[1])


def test_an_attempt_at_a_deleted_job_leaves_neither_part_nor_vectors(tmp_path: Path) -> None:
    ledger, job = Ledger(str(tmp_path)), classify_job()
    attempt, part, _ = ledger.write_part(job.job_id, 0, ".jsonl", b"{}\n")
    kept = ledger.write_vectors(job.job_id, 0, attempt, b"vectors", 1, ())

    with pytest.raises(JobNotFound):
        ledger.commit(job.job_id, Outcome(shard=0, status="done", attempt=attempt, part=part, kept=kept))

    assert list(ledger.store.list("jobs")) == []


def test_a_job_is_deleted_with_its_vectors(corpus: Corpus, qwen2_vl: Path, workspace: Path) -> None:
    job = finish(kept_run(corpus, qwen2_vl, workspace, "heads"), workspace)

    assert savs_submit("delete", job.job_id, "--yes", "--workspace", workspace).exit_code == 0

    assert list(Ledger(str(workspace)).store.list(f"jobs/{job.job_id}")) == []


def test_rows_with_errors_have_no_vectors_until_they_are_retried(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path, done: tuple[Path, Job]
) -> None:
    # given pictures of a whole shard and of two other rows that are not there
    lost = [2, *range(2 * SHARD, 3 * SHARD), 17]
    pictures = {i: own_corpus.pictures[i].read_bytes() for i in lost}
    for i in lost:
        own_corpus.pictures[i].unlink()
    job = finish(kept_run(own_corpus, qwen2_vl, workspace, "heads"), workspace, code=3)
    assert everything(workspace, job)[0] == [i for i in range(ROWS) if i not in lost]
    assert_labels_follow(workspace, job, differing=1)

    # if one is back, then all of them
    for back, code in (([17], 3), (lost, 0)):
        for i in back:
            own_corpus.pictures[i].write_bytes(pictures[i])
        result = savs_submit("retry", "shapes", "--workspace", workspace)
        assert result.exit_code == code, result.output
        assert_labels_follow(workspace, job, differing=1)

    # then each row is there once, in its place, with the vectors of a calm run
    indices, values = everything(workspace, job)
    calm = everything(*done)[1]
    assert indices == [*range(ROWS)] and len(corpus_vectors(Ledger(str(workspace)), job.job_id)) == ROWS
    # the batches of retried rows are other ones, so that the last bits may differ
    assert np.allclose(values, calm, atol=2e-3 * np.abs(calm).max())


def test_a_shard_that_was_given_up_has_vectors_once_it_is_retried(
    corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    job = finish(kept_run(corpus, qwen2_vl, workspace, "heads"), workspace)
    calm, ledger = everything(workspace, job), Ledger(str(workspace))
    for name in ("commits/0000009.json", "commits/0000004.json", "summary.json"):
        (workspace / "jobs" / job.job_id / name).unlink()
    for number in (4, 9):
        give_up(ledger, job, ledger.planned(job.job_id).shard(number), "it died")
    assert everything(workspace, job)[0] == [i for i in range(ROWS) if i // SHARD not in (4, 9)]

    resume = ["resume", "shapes", "--workspace", str(workspace)]
    assert savs_submit(*resume).exit_code != 0
    finish([*resume, "--retry-failed-shards"], workspace)

    indices, values = everything(workspace, job)
    assert indices == calm[0] and np.allclose(values, calm[1], atol=2e-3 * np.abs(calm[1]).max())
    assert_labels_follow(workspace, job, differing=1)


def test_of_a_row_that_has_vectors_twice_the_later_ones_count(
    corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given a retry, written by hand, of rows that did not fail
    job = finish(kept_run(corpus, qwen2_vl, workspace, "heads"), workspace)
    calm, ledger = everything(workspace, job), Ledger(str(workspace))
    plan = ledger.planned(job.job_id).plan
    pick = Pick(shard=plan.shard(1), indices=(SHARD, SHARD + 2))
    ledger.create_retry(
        job.job_id, Retry(number=0, first=len(plan), shards=(RetryShard(picks=(pick,), rows=2),))
    )
    [(rows, vectors)] = [one for one in corpus_vectors(ledger, job.job_id) if one[0][0].index == SHARD]
    said = {name: metadata_of(objects(workspace, job)["1"])[name] for name in ("origin", "pilot")}
    said["rows"] = json.dumps([rows[place].model_dump(exclude_defaults=True) for place in (0, 2)])
    data = vectors_to_bytes(HeadVectors(vectors.layout, 2 * vectors.values[[0, 2]]), said)
    kept = ledger.write_vectors(job.job_id, len(plan), "a", data, 2, ())
    ledger.commit(job.job_id, Outcome(shard=len(plan), status="done", attempt="a", kept=kept))

    indices, values = everything(workspace, job)

    assert indices == [*range(ROWS)]
    doubled = [SHARD, SHARD + 2]
    assert np.allclose(values[doubled], 2 * calm[1][doubled], rtol=2e-3)
    others = [i for i in indices if i not in doubled]
    assert np.array_equal(values[others], calm[1][others])


@pytest.mark.parametrize("keep", ["heads", "all"])
def test_jobs_that_share_a_pass_keep_their_own(corpus: Corpus, workspace: Path, keep: str) -> None:
    # given a vote and a ridge, whose items are shown alike, and another vote, whose are not
    how = ("--model", "demo", "--workspace", workspace, "--batch-tokens", 200)
    fits = {
        "vote": ("--heads", HEADS, "--readout", "reference"),
        "ridge": ("--heads", HEADS + 2, "--readout", "ridge"),
        "small": ("--heads", HEADS, "--readout", "reference", "--max-pixels", 56 * 56),
    }
    for name, fit in fits.items():
        said = savs_submit("extract", "--train", corpus.train, "--name", name, *fit, *how)
        assert said.exit_code == 0, said.output
    artifacts = [part for name in fits for part in ("--artifact", name)]

    said = savs_submit(
        *("classify", "--data", corpus.data, *artifacts, "--name", "night", "--keep-vectors", keep),
        *("--shard-size", 8, *how),
    )

    assert said.exit_code == 0, said.output
    ledger = Ledger(str(workspace))
    layouts = []
    for name in fits:
        [job] = ledger.jobs(f"night.{name}")
        assert_labels_follow(workspace, job, differing=1)
        layouts.append(corpus_vectors(ledger, job.job_id).layout)
    assert [len(layout.heads()) for layout in layouts if layout is not None] == (
        [HEADS, HEADS + 2, HEADS] if keep == "heads" else 3 * [len(layouts[0].heads())]  # type: ignore[union-attr]
    )


@pytest.mark.parametrize("keep", ["heads", "all"])
def test_rows_that_a_pilot_has_read_have_its_vectors(corpus: Corpus, workspace: Path, keep: str) -> None:
    # given a corpus of which a pilot reads all but 40 rows
    many = many_rows(corpus)
    arguments = pilot_arguments(
        corpus, Path("demo"), workspace, many, "--shard-size", 100, "--heads", 9, "--keep-vectors", keep
    )

    job = finish(arguments, workspace)

    ledger = Ledger(str(workspace))
    kept = corpus_vectors(ledger, job.job_id)
    assert (len(kept), kept.missing) == (ITEMS, 0)
    assert sum(one.kept.rows for one in ledger.outcomes(job.job_id) if one.kept) == ITEMS - 800
    assert_labels_follow(workspace, job)
    rows = [row for rows, _ in kept for row in rows]
    assert [row.id for row in rows] == [line["question_id"] for line in read_jsonl(many)]
    assert [row.label for row in rows] == [line.get("label") for line in read_jsonl(many)]
    assert {row.question for row in rows} == {QUESTION}
    # whose copies have the same vectors, whoever has read them
    values, read = everything(workspace, job)[1], {*Piloted(workspace).sampled}
    for own in (i for i in range(ITEMS) if i not in read):
        other = next(i for i in sorted(read) if i % 40 == own % 40)
        assert np.allclose(values[own], values[other], atol=2e-3 * np.abs(values).max())

    # if the pilot is deleted, the others remain
    assert savs_submit("delete", Piloted(workspace).job("pilot").job_id, "--yes", "--workspace", workspace)
    kept = corpus_vectors(ledger, job.job_id)
    assert (len(kept), kept.missing) == (ITEMS - 800, 800)
    assert [row.index for rows, _ in kept for row in rows] == [i for i in range(ITEMS) if i not in read]
    assert len(labels_from_vectors(workspace, job)) == ITEMS - 800


def test_a_job_that_kept_nothing_says_how_to_keep(calm: Finished) -> None:
    ledger = Ledger(str(calm.workspace))

    for job in (calm.classify, calm.extract):
        with pytest.raises(LedgerError, match=r"kept no head vectors.* --keep-vectors heads"):
            corpus_vectors(ledger, job.job_id)
    with pytest.raises(JobNotFound):
        corpus_vectors(ledger, "none-classify-00000000")


def test_jobs_of_an_older_workspace_keep_their_ids_and_kept_nothing() -> None:
    ledger = Ledger(str(KEPT))
    old = [job for job in ledger.jobs() if isinstance(job.spec, ClassifySpec) and job.spec.artifact]
    assert old

    for job in old:
        assert job_id(job.spec) == job.job_id
        assert all(outcome.kept is None for outcome in ledger.outcomes(job.job_id))
        with pytest.raises(LedgerError, match="kept no head vectors"):
            corpus_vectors(ledger, job.job_id)


def test_zero_shot_keeps_nothing_and_says_so_before_anything_is_read(workspace: Path) -> None:
    said = savs_submit(
        *("classify", "--zero-shot", "--data", "/nowhere.jsonl", "--model", "demo", "--name", "shapes"),
        *("--keep-vectors", "heads", "--workspace", workspace),
    )

    assert said.exit_code != 0 and not workspace.exists()
    assert "--keep-vectors is not for --zero-shot" in said.stderr and "--artifact" in said.stderr
    assert "nowhere" not in said.stderr
    with pytest.raises(ValueError, match="keep_vectors"):
        spec = classify_job().spec.model_dump() | {"artifact": None, "keep_vectors": "all"}
        ClassifySpec.model_validate(
            spec | {"zero_shot": {"method": "greedy", "classes": [], "max_new_tokens": 1}}
        )


def damaged(data: bytes, **said: str) -> bytes:
    """The file with other metadata."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] |= said
    text = json.dumps(header).encode()
    return in_order(len(text).to_bytes(8, "little") + text + data[end:])


def test_vectors_that_are_gone_changed_or_made_up_are_typed_errors(
    corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    job = finish(kept_run(corpus, qwen2_vl, workspace, "heads"), workspace)
    ledger = Ledger(str(workspace))
    outcome = ledger.outcome(job.job_id, 5)
    assert outcome is not None and outcome.kept is not None
    place = workspace / "jobs" / job.job_id / "parts" / outcome.kept.name
    commit = workspace / "jobs" / job.job_id / "commits" / "0000005.json"
    good, other = place.read_bytes(), objects(workspace, job)["4"]
    rows = json.loads(metadata_of(good)["rows"])

    def read() -> int:
        return len(everything(workspace, job)[0])

    place.write_bytes(good[:-1])
    with pytest.raises(LedgerError, match=r"vectors.safetensors does not match its commit"):
        read()
    place.unlink()
    with pytest.raises(LedgerError, match="was committed but is missing"):
        read()
    # a worker that may write commits, too
    hostile = outcome.model_copy(update={"kept": outcome.kept.model_copy(update={"sha256": None})})
    commit.write_text(hostile.model_dump_json())
    made_up = {
        "does not have the rows": damaged(good, rows=json.dumps(rows[::-1])),
        "has rows of another shard": other,
        "different models": damaged(good, origin="{}"),
        "is not usable": damaged(good, rows=json.dumps([{"index": "../secret"}])),
        "does not have the rows that": damaged(good, rows=json.dumps(rows[1:])),
        "not usable": b"nothing",
    }
    for why, data in made_up.items():
        place.write_bytes(data)
        with pytest.raises(LedgerError, match=why) as refused:
            read()
        assert "secret" not in str(refused.value)
    place.write_bytes(good)
    assert read() == ROWS


@pytest.mark.parametrize(("keep", "most"), [(None, 12_000), ("heads", KEPT_SHARD_ROWS)])
def test_shards_are_so_small_that_their_vectors_fit_into_memory(
    tmp_path: Path, keep: str | None, most: int
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"question": "What?", "image": "a.png"}\n' * 3000)
    ledger = Ledger(str(tmp_path / "results"))
    ledger.write_rates(gpu_queue("demo"), {"image": 100.0})
    spec = classify_job(source=make_source(str(rows), "--data")).spec
    spec = spec.model_copy(update={"keep_vectors": keep, "shard_size": None})
    job = new_job(spec, 0.5, None)

    plan, _ = plan_job(ledger, job)

    assert plan.shard_rows == most


def test_plan_and_summary_say_how_many_bytes_are_kept(
    done: tuple[Path, Job], corpus: Corpus, workspace: Path
) -> None:
    where, job = done
    layout = corpus_vectors(Ledger(str(where)), job.job_id).layout
    assert layout is not None
    plan = ("plan", "--data", corpus.data, "--workspace", where)

    said = savs_submit(*plan, "--artifact", "shapes", "--keep-vectors", "heads", "--json")

    assert [one["kept_bytes"] for one in json.loads(said.stdout)] == [2 * layout.width * ROWS]
    more = savs_submit(*plan, "--artifact", "shapes", "--keep-vectors", "all")
    assert f"kept head vectors: {2 * whole_width(job) * ROWS:,} bytes" in more.stdout
    assert savs_submit(*plan, "--keep-vectors", "all").exit_code != 0
    assert json.loads(savs_submit(*plan, "--json").stdout)[0]["kept_bytes"] is None
    # and the summary what there is
    state = savs_submit("resume", "shapes", "--workspace", where)
    size = sum(len(data) for data in objects(where, job).values())
    summary = json.loads((where / "jobs" / job.job_id / "summary.json").read_bytes())
    assert summary["kept_vectors"] == {"rows": ROWS, "pilot": 0, "bytes": size}
    assert f"kept head vectors: {ROWS} rows, {size:,} bytes" in state.stdout


def whole_width(job: Job) -> int:
    assert isinstance(job.spec, ClassifySpec) and job.spec.artifact is not None
    return savs.load_artifact(job.spec.artifact).readout.layout.width


def test_help_says_what_all_costs() -> None:
    for command in ("run", "classify"):
        said = " ".join(savs_submit(command, "--help").stdout.split())
        assert "`all` runs all layers" in said


def test_the_plan_of_a_ledger_written_by_hand_has_no_vectors(tmp_path: Path) -> None:
    ledger, job = Ledger(str(tmp_path)), classify_job()
    job = job.model_copy(update={"spec": job.spec.model_copy(update={"keep_vectors": "all"})})
    ledger.create_job(job, plan_of(2, 2))

    found = corpus_vectors(ledger, job.job_id)

    assert list(found) == [] and (len(found), found.missing, found.layout) == (0, 0, None)
