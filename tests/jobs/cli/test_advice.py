"""The commands that messages advise are whole, and work as they are printed."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import Result

from jobs.cli.output.advice import complete
from jobs.ledger.ledger import Ledger
from tests.jobs.conftest import (
    ROWS,
    SHARD,
    Corpus,
    blocked,
    make_corpus,
    run_arguments,
    savs_submit,
    started,
    write_jsonl,
)

WORD = r"(?:'[^']*'|[^\s',;:()]+)"  # of a command in a sentence
COMMAND = re.compile(rf"savs-submit ((?:resume|retry|logs|cancel|watch|artifacts|results)(?: {WORD})+)")


def advised(said: Result) -> dict[str, list[str]]:
    """The commands that a user can copy from what was printed, by their first word, up to their options."""
    text = f"{said.stdout}\n{said.stderr}".replace("\n", " \n ")
    found = {}
    for match in COMMAND.finditer(text):
        words = shlex.split(match[1])
        end = words.index("--workspace") + 2 if "--workspace" in words else 2
        flags = [word for word in words[end : end + 1] if word.startswith("--")]
        found[words[0]] = words[:end] + flags
    return found


@pytest.fixture(params=["results", "my results"])
def workspace(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Not the one that the settings name."""
    return tmp_path / request.param


@pytest.fixture
def own(tmp_path: Path) -> Corpus:
    return make_corpus(tmp_path / "shapes")


def test_what_to_do_about_failed_rows_can_be_copied(own: Corpus, qwen2_vl: Path, workspace: Path) -> None:
    data = own.pictures[3].read_bytes()
    own.pictures[3].write_bytes(b"nothing")
    first = savs_submit(*run_arguments(own, qwen2_vl, workspace))
    assert first.exit_code == 3
    commands = advised(first)
    assert set(commands) == {"logs", "retry", "results"}

    logs = savs_submit(*commands["logs"])
    assert logs.exit_code == 0 and "unreadable_media: 1 row" in logs.stdout
    own.pictures[3].write_bytes(data)
    assert savs_submit(*commands["retry"]).exit_code == 0
    assert savs_submit(*commands["results"]).stdout.count("\n") == ROWS


def test_a_retry_counts_the_rows_that_are_read_again_as_not_read(
    own: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    kept = {picture: picture.read_bytes() for picture in own.pictures[:7]}
    for picture in kept:
        picture.write_bytes(b"nothing")
    assert savs_submit(*run_arguments(own, qwen2_vl, workspace)).exit_code == 3
    for _ in range(2):  # the second has an earlier retry beside it
        said = savs_submit("retry", "shapes", "--workspace", workspace)
        assert f" {ROWS}/{ROWS} " in said.stderr


def test_what_to_do_after_ctrl_c_can_be_copied(own: Corpus, qwen2_vl: Path, workspace: Path) -> None:
    with (
        blocked(own.pictures[2 * SHARD + 1]) as block,
        started(*run_arguments(own, qwen2_vl, workspace)) as process,
    ):
        block.wait_for_reader()
        unfinished = savs_submit("retry", "shapes", "--workspace", workspace)
        assert advised(unfinished)["resume"][:2] == ["resume", "shapes"]
        refused = savs_submit("delete", "shapes", "--workspace", workspace)
        assert savs_submit(*advised(refused)["cancel"]).exit_code == 0
        block.feed()
        _, stderr = process.communicate(timeout=60)
    resume = shlex.split(stderr.splitlines()[-1].partition("continue: savs-submit ")[2])
    assert resume[:2] == ["resume", "shapes"] and str(workspace) in resume

    # the same is said by a run of the same jobs, and works
    again = savs_submit(*run_arguments(own, qwen2_vl, workspace))
    assert again.exit_code == 1 and advised(again)["resume"] == resume
    assert savs_submit(*resume).exit_code == 0


def test_where_artifacts_are_listed_can_be_copied(own: Corpus, workspace: Path) -> None:
    where = ("--name", "pets", "--workspace", workspace)
    said = savs_submit("classify", "--data", own.data, "--artifact", "nobody", *where)
    assert said.exit_code == 2
    assert savs_submit(*advised(said)["artifacts"]).stdout == "no artifacts\n"


def test_what_brings_a_given_up_shard_back_can_be_copied(
    own: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given a job whose third shard was given up
    from jobs.reduce.reducer import reduce_job
    from jobs.shards.shard import give_up

    assert savs_submit(*run_arguments(own, qwen2_vl, workspace)).exit_code == 0
    ledger = Ledger(str(workspace))
    job = next(job for job in ledger.jobs("shapes") if job.spec.kind == "classify")
    (workspace / "jobs" / job.job_id / "summary.json").unlink()
    (workspace / "jobs" / job.job_id / "commits" / "0000002.json").unlink()
    give_up(ledger, job, ledger.planned(job.job_id).shard(2), "it killed three workers")
    reduce_job(ledger, job)

    said = savs_submit("resume", "shapes", "--workspace", workspace)

    assert said.exit_code == 1
    again = advised(said)["resume"]
    assert again[-1] == "--retry-failed-shards"
    assert savs_submit(*again).exit_code == 0


def test_a_job_of_which_every_row_failed_has_no_empty_table(
    own: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    for picture in own.pictures:
        picture.write_bytes(b"nothing")
    said = savs_submit(*run_arguments(own, qwen2_vl, workspace))
    assert said.exit_code == 1 and "predicted" not in said.stdout


def test_labels_that_are_not_classes_are_told_before_anything_runs(
    own: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    said = "corpus.jsonl: the labels of 1 of 2 rows are not classes, so the rows will count as wrong: 'disc'"
    rows = [{"image": "pictures/item-01.png", "label": label} for label in ("disc", "square")]
    write_jsonl(own.data, rows)
    # in a corpus that is labelled with the artifact of the same run, and with one that was made before
    first = savs_submit(*run_arguments(own, qwen2_vl, workspace))
    assert said in first.stderr and first.exit_code == 0
    how = ("--artifact", "shapes", "--name", "again", "--workspace", workspace)
    again = savs_submit("classify", "--data", own.data, *how)
    assert said in again.stderr and again.exit_code == 0
    # and not of labels that are classes
    write_jsonl(own.data, rows[1:])
    right = savs_submit("classify", "--data", own.data, *how)
    assert "not classes" not in right.stderr and right.exit_code == 0


@pytest.fixture
def given() -> Iterator[dict[str, str]]:
    """The options of the command that prints."""
    with click.Context(click.Command("run")) as context:
        yield context.params


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("wait; resume it: savs-submit resume a.b.", "wait; resume it: savs-submit resume a.b{w}{b}."),
        ("savs-submit logs x shows why. Then", "savs-submit logs x{w} shows why. Then"),
        ("savs-submit resume x --retry-failed-shards", "savs-submit resume x{w}{b} --retry-failed-shards"),
        ("start one: savs-worker cpu, or run", "start one: savs-worker cpu{w}{b}, or run"),
        ("savs-worker gpu --model '/my models/a'", "savs-worker gpu --model '/my models/a'{w}{b}"),
        ("see: savs-submit artifacts", "see: savs-submit artifacts{w}"),
        ("the label 'cat'", "the label 'cat'"),
    ],
)
def test_a_command_gets_the_options_that_were_given(given: dict[str, str], text: str, whole: str) -> None:
    assert complete(text) == whole.format(w="", b="")
    given |= {"workspace": "my results", "broker": "redis://localhost"}
    assert complete(text) == whole.format(w=" --workspace 'my results'", b=" --broker redis://localhost")
    # a password is not printed
    given |= {"workspace": "results", "broker": "redis://me:secret@localhost"}
    assert complete(text) == whole.format(w=" --workspace results", b=" --broker URL")


@pytest.mark.parametrize("command", ["run", "plan"])
def test_examples_without_a_question_are_told_the_option_that_gives_one(
    corpus: Corpus, workspace: Path, tmp_path: Path, command: str
) -> None:
    examples = tmp_path / "examples"
    for number, name in enumerate(("cat", "dog")):
        (examples / name).mkdir(parents=True)
        (examples / name / "a.png").write_bytes(corpus.pictures[number].read_bytes())
    more = ("--model", "demo", "--name", "shapes") if command == "run" else ()

    said = savs_submit(
        *(command, "--train", examples, "--data", corpus.data, "--workspace", workspace), *more
    )

    assert said.exit_code == 2
    assert "'question' is missing" in said.output and "--question TEXT gives all rows one" in said.output
