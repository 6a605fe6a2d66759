"""How items are shown is asked for once, when an artifact is made; whoever labels with it does the same."""

import json
from pathlib import Path

import numpy as np
import pytest

import savs
from jobs.cli.output.progress import Bars
from jobs.ledger.ledger import Ledger
from jobs.ledger.results import examples, result_rows
from jobs.records.job import PromptOptions
from jobs.run.local import ModelLoader, run_jobs
from jobs.shards.allowed_roots import Roots
from jobs.submit.submission import extract_job, submit
from savs.data.media import open_media
from savs.engine.packing import Budget
from savs.engine.prompts import Prompt
from tests.jobs.conftest import HEADS, SHARD, Corpus, Finished, finished, savs_submit, write_jsonl
from tests.savs.data.drawing import write_clip

PIXELS = 4 * 28 * 28  # of 9 that the tiny checkpoint shows
QUESTION = "Does it get brighter?"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A manifest of four videos in two classes."""
    rows = []
    for i in range(4):
        write_clip(tmp_path / f"{i}.mp4", 16 + 4 * i, 8, 112, 84)
        rows.append({"image": f"{i}.mp4", "question": QUESTION, "label": ("yes", "no")[i % 2]})
    return write_jsonl(tmp_path / "clips.jsonl", rows)


@pytest.mark.parametrize("option", [("--frames", "4"), ("--fps", "1")])
def test_a_corpus_of_videos_is_shown_as_the_examples_were(
    clips: Path, qwen2_vl: Path, workspace: Path, option: tuple[str, str]
) -> None:
    arguments = ("--name", "bright", "--workspace", workspace, "--batch-tokens", 200)
    extracted = savs_submit(
        *("extract", "--train", clips, "--model", qwen2_vl, "--heads", HEADS, *arguments),
        *(*option, "--max-pixels", PIXELS),
    )
    assert extracted.exit_code == 0, extracted.output

    # if somebody labels with it, who says nothing of frames
    labelled = savs_submit("classify", "--data", clips, "--artifact", "bright", *arguments)

    # then each item has the answer that the library gives for the same frames and pixels
    assert labelled.exit_code == 0, labelled.output
    done = finished(workspace)
    rows = [json.loads(line) for line in done.rows.splitlines()]
    given = {option[0].removeprefix("--"): int(option[1]), "max_pixels": PIXELS}
    model = savs.load_model(qwen2_vl, device="cpu").shown(**given)
    found = savs.extract(model, savs.read_samples(str(clips)), budget=Budget(200 * 60, 10**9))
    readout = savs.fit(found.vectors, [s.label for s in found.samples], heads=HEADS)
    answers = savs.classify(readout, found.vectors)
    assert [row["votes"] for row in rows] == [
        {name: votes for name, votes in answer.votes.items() if votes} for answer in answers
    ]
    _, vectors, _ = examples(Ledger(str(workspace)), done.extract)
    assert np.array_equal(vectors, found.vectors.values)
    # and the artifact says how that was
    manifest = json.loads(
        (workspace / "artifacts/bright" / done.extract.job_id / "manifest.json").read_bytes()
    )
    prompt = manifest["origin"]["prompt"]
    assert (prompt["frames"], prompt["fps"]) == (model.sampling.frames, model.sampling.fps)
    assert prompt["image_size"]["longest_edge"] == prompt["video_size"]["longest_edge"] == PIXELS


def test_jobs_that_share_a_process_do_not_share_their_options(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, calm: Finished
) -> None:
    # given a job with a small budget, and one without options that runs behind it on the same model
    ledger = Ledger(str(workspace))
    fit = {"heads": HEADS, "readout": "reference", "shard_size": SHARD, "batch_tokens": 200}
    few = PromptOptions(max_pixels=PIXELS)
    jobs = [
        extract_job("few", str(qwen2_vl), str(corpus.train), prompt=few, **fit),
        extract_job("shapes", str(qwen2_vl), str(corpus.train), **fit),
    ]
    submit(ledger, jobs)

    with Bars(quiet=True) as bars:
        run_jobs(ledger, jobs, bars, ModelLoader(bars), Roots.everywhere())

    # then the first was shown less, and the second what a calm run was shown
    (_, less, _), (_, all_of_it, _) = (examples(ledger, job) for job in jobs)
    _, calmly, _ = examples(Ledger(str(calm.workspace)), calm.extract)
    assert np.array_equal(all_of_it, calmly)
    assert not np.allclose(less, calmly)


def test_options_make_another_job(corpus: Corpus) -> None:
    fit = {"heads": HEADS, "readout": "reference", "shard_size": SHARD, "batch_tokens": 200}
    ids = {
        extract_job("x", "demo", str(corpus.train), prompt=PromptOptions(**prompt), **fit).job_id
        for prompt in ({}, {"frames": 4}, {"fps": 4}, {"min_pixels": 4}, {"max_pixels": 4})
    }
    assert len(ids) == 5


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--frames", 4, "--fps", 1), "--frames and --fps exclude each other"),
        (("--min-pixels", 9, "--max-pixels", 8), "--min-pixels is more than --max-pixels"),
        (("--fps", "inf"), "--fps: Input should be a finite number"),
        (("--frames", 0), "'--frames'"),
        (("--frames", 769), "'--frames'"),
        (("--max-pixels", 0), "'--max-pixels'"),
    ],
)
@pytest.mark.parametrize("command", ["run", "extract"])
def test_options_that_cannot_be_are_wrong_usage(
    corpus: Corpus, workspace: Path, command: str, options: tuple[object, ...], reason: str
) -> None:
    data = ("--data", corpus.data) if command == "run" else ()
    said = savs_submit(
        *(command, "--train", corpus.train, *data, "--name", "x", "--model", "demo"),
        *("--workspace", workspace, *options),
    )
    assert said.exit_code == 2 and reason in said.stderr
    assert not workspace.exists()


def test_a_model_that_is_asked_itself_sees_the_frames_that_are_given(
    clips: Path, qwen2_vl: Path, workspace: Path
) -> None:
    said = savs_submit(
        *("classify", "--zero-shot", "constrained", "--data", clips, "--model", qwen2_vl, "--name", "asked"),
        *("--workspace", workspace, "--frames", 4, "--max-pixels", PIXELS),
    )

    assert said.exit_code == 0, said.output
    [job] = Ledger(str(workspace)).jobs()
    rows = [json.loads(line) for line in result_rows(Ledger(str(workspace)), job.job_id)]
    model = savs.load_model(qwen2_vl, device="cpu").shown(frames=4, max_pixels=PIXELS)
    samples = savs.read_samples(str(clips))
    asked = [Prompt((open_media(s.media[0], model.sampling),), str(s.question)) for s in samples]
    shares = savs.likeliest(model, asked, job.spec.zero_shot.classes)
    for row, share in zip(rows, shares, strict=True):
        assert row["scores"] == pytest.approx(share, abs=2e-5)


def test_with_an_artifact_nobody_says_how_items_are_shown(clips: Path, workspace: Path) -> None:
    said = savs_submit(
        *("classify", "--data", clips, "--artifact", "x", "--name", "y", "--workspace", workspace),
        *("--frames", 4),
    )

    assert said.exit_code == 2 and "are only for --zero-shot" in said.stderr
