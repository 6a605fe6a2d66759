"""`classify --zero-shot`: rows, counts and errors of jobs that ask the model itself."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from jobs.records.job import MAX_CLASSES, ClassifySpec, Job, ZeroShot, job_id
from jobs.records.message import gpu_queue
from jobs.records.outcome import Counts
from jobs.reduce.reducer import reduce_job
from jobs.shards.result import counted_as
from jobs.submit.submission import plan_job
from jobs.submit.zero_shot import zero_shot_job
from savs.data.formats import FORMATS
from savs.errors import SettingsError
from tests.jobs import ledgers
from tests.jobs.conftest import CLASSES, ROWS, SHARD, Corpus, read_jsonl, savs_submit, write_jsonl

PUBLISHED = Path(__file__).parents[2] / "data" / "published"
OTHERS = ("red", "small circle", "small star")  # names of one token and of two


@dataclass(frozen=True)
class SharedRequests:
    """What a job left: its rows and its summary."""

    workspace: Path
    rows: list[dict[str, Any]]
    summary: dict[str, Any]


def ask(
    corpus: Corpus, workspace: Path, *options: object, name: str = "asked", code: int = 0
) -> SharedRequests:
    result = savs_submit(
        *("classify", "--data", corpus.data, "--name", name, "--model", "demo", "--workspace", workspace),
        *("--shard-size", SHARD, "--batch-tokens", 200, "--json", *options),
    )
    assert result.exit_code == code, result.output
    [summary] = json.loads(result.stdout)
    ledger = Ledger(str(workspace))
    return SharedRequests(
        workspace, [json.loads(row) for row in result_rows(ledger, summary["job_id"])], summary
    )


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Corpus:
    """The corpus, with a question that the demo model was taught to answer."""
    data = tmp_path_factory.mktemp("taught") / "corpus.jsonl"
    rows = [row | {"image": str(corpus.folder / row["image"])} for row in read_jsonl(corpus.data)]
    write_jsonl(data, [row | {"question": "What shape is it?"} for row in rows])
    return Corpus(corpus.folder, corpus.train, data, corpus.pictures)


@pytest.fixture(scope="module")
def constrained(taught: Corpus, tmp_path_factory: pytest.TempPathFactory) -> SharedRequests:
    return ask(taught, tmp_path_factory.mktemp("constrained"), "--zero-shot", "constrained")


@pytest.fixture(scope="module")
def greedy(taught: Corpus, tmp_path_factory: pytest.TempPathFactory) -> SharedRequests:
    return ask(taught, tmp_path_factory.mktemp("greedy"), "--zero-shot")


@pytest.fixture
def two_labels(tmp_path: Path) -> Iterator[Path]:
    rows = [{"question": "What?", "label": label} for label in ("dog", "cat", "dog")]
    yield write_jsonl(tmp_path / "two.jsonl", rows)


def test_a_constrained_row_has_the_likeliest_label_and_every_share(
    constrained: SharedRequests, taught: Corpus
) -> None:
    assert [row["index"] for row in constrained.rows] == list(range(ROWS))
    for row, item in zip(constrained.rows, read_jsonl(taught.data), strict=True):
        known = {"label"} if "label" in item else set()
        fields = {"index", "id", "task", "media", "prediction", "votes", "confidence", "scores"}
        assert set(row) == fields | known
        assert (row["task"], row["votes"], row.get("label")) == ("asked", {}, item.get("label"))
        assert set(row["scores"]) == set(CLASSES)
        assert row["scores"][row["prediction"]] == row["confidence"] == max(row["scores"].values())
        assert sum(row["scores"].values()) == pytest.approx(1, abs=2e-6)
        assert all(share == round(share, 6) for share in row["scores"].values())
    assert {row["prediction"] for row in constrained.rows} == set(CLASSES)


def test_a_greedy_row_has_the_text_and_nothing_to_be_sure_of(greedy: SharedRequests, taught: Corpus) -> None:
    assert len(greedy.rows) == ROWS
    for row, item in zip(greedy.rows, read_jsonl(taught.data), strict=True):
        known = {"label"} if "label" in item else set()
        assert set(row) == {"index", "id", "task", "media", "prediction", "votes"} | known
        assert row["votes"] == {} and row["prediction"] == row["prediction"].strip()


@pytest.mark.parametrize("form", ["constrained", "greedy"])
def test_the_summary_says_what_the_rows_say(request: pytest.FixtureRequest, form: str) -> None:
    asked: SharedRequests = request.getfixturevalue(form)
    summary = asked.summary
    scored = [row for row in asked.rows if "label" in row]
    right = sum(row["prediction"] == row["label"] for row in scored)
    assert (summary["status"], summary["labelled"], summary["failed"]) == ("done", ROWS, 0)
    assert (summary["scored"], summary["accuracy"]) == (len(scored), right / len(scored))
    assert summary["accuracy"] > 0.8, "it was taught this"
    assert "artifact" not in summary and summary["zero_shot"]["method"] == form
    assert set(summary["zero_shot"]["classes"]) == set(CLASSES)
    assert summary["zero_shot"].get("max_new_tokens") == (32 if form == "greedy" else None)


def test_texts_that_are_no_class_are_counted_together_and_kept_in_their_rows(
    taught: Corpus, workspace: Path, greedy: SharedRequests
) -> None:
    # given classes of which the model says none, but the labels of many rows
    asked = ask(taught, workspace, "--zero-shot", *(f"--class={name}" for name in OTHERS))

    assert [row["prediction"] for row in asked.rows] == [row["prediction"] for row in greedy.rows]
    # then what is the row's label counts as right, and under its name
    assert asked.summary["accuracy"] == greedy.summary["accuracy"]
    right = Counter(row["prediction"] for row in asked.rows if row["prediction"] == row.get("label"))
    assert asked.summary["classes"] == {**right, "(other)": ROWS - right.total()}


def test_names_that_are_given_are_the_classes(taught: Corpus, workspace: Path) -> None:
    named = (f"--class={name}" for name in OTHERS)
    asked = ask(taught, workspace, "--zero-shot", "constrained", *named)
    assert {tuple(row["scores"]) for row in asked.rows} == {OTHERS}
    assert {row["prediction"] for row in asked.rows} <= set(OTHERS)
    assert asked.summary["accuracy"] == 0


@pytest.mark.parametrize("text", ["cat", "a cat", "", "(other)"])
@pytest.mark.parametrize("label", ["cat", "owl", "(other)", "", None])
def test_what_a_text_is_counted_as_equals_the_label_only_where_the_text_does(
    text: str, label: str | None
) -> None:
    found = counted_as(text, label, ["cat", "dog"])
    assert (found == label) == (text == label)
    assert found in {"cat", "(other)", "(none of the classes)", label}


def test_how_rows_are_cut_does_not_change_the_answers(
    taught: Corpus, workspace: Path, constrained: SharedRequests
) -> None:
    cut = ("--shard-size", 17, "--batch-tokens", 150)
    asked = ask(taught, workspace, "--zero-shot", "constrained", *cut)
    assert [row["prediction"] for row in asked.rows] == [row["prediction"] for row in constrained.rows]
    for row, calm in zip(asked.rows, constrained.rows, strict=True):
        assert row["scores"] == pytest.approx(calm["scores"], abs=3e-6)


def test_rows_that_cannot_be_asked_about_fail_alone_and_are_retried(
    own_corpus: Corpus, workspace: Path
) -> None:
    # given a picture that is gone, and a row without a question
    rows = read_jsonl(own_corpus.data)
    rows[3].pop("question")
    write_jsonl(own_corpus.data, rows)
    shutil.move(own_corpus.pictures[6], own_corpus.folder / "away.png")
    asked = ask(own_corpus, workspace, "--zero-shot", code=3)
    kinds = {row["index"]: row["error"]["kind"] for row in asked.rows if "error" in row}
    assert kinds == {3: "no_question", 6: "missing_media"}
    assert asked.rows[6]["prediction"] is None and asked.rows[6]["label"] == rows[6]["label"]

    # if the picture is put back
    shutil.move(own_corpus.folder / "away.png", own_corpus.pictures[6])
    again = savs_submit("retry", "asked", "--workspace", workspace)

    # then its row is answered, and all others are as they were
    assert again.exit_code == 3 and "1 row is retried" in again.stderr
    # and who asks for the other one is told where it has to be corrected
    wrong = "1 row is wrong in the manifest itself (bad_row or no_question): fix the manifest and run again"
    assert wrong in again.stderr and wrong in again.stdout.replace("\n", " ")
    answered = [json.loads(r) for r in result_rows(Ledger(str(workspace)), asked.summary["job_id"])]
    assert "error" not in answered[6] and answered[6]["prediction"]
    assert [r for r in answered if r["index"] != 6] == [r for r in asked.rows if r["index"] != 6]


def test_the_same_command_again_asks_nothing(taught: Corpus, constrained: SharedRequests) -> None:
    said = savs_submit(
        *("classify", "--zero-shot", "constrained", "--data", taught.data, "--name", "asked"),
        *(
            "--model",
            "demo",
            "--workspace",
            constrained.workspace,
            "--shard-size",
            SHARD,
            "--batch-tokens",
            200,
        ),
    )
    assert said.exit_code == 0 and "loading" not in said.output
    assert "40 rows: 40 labelled" in said.stdout


def refused(*options: object) -> str:
    said = savs_submit("classify", "--name", "x", *options)
    assert said.exit_code == 2, said.output
    return said.stderr


def test_options_that_do_not_go_together_are_refused(two_labels: Path, workspace: Path) -> None:
    where = ("--data", two_labels, "--workspace", workspace)
    asked = (*where, "--model", "demo", "--zero-shot")
    assert "cannot be combined" in refused(*asked, "--artifact", "pets")
    assert "give --artifact NAME, or --zero-shot" in refused(*where)
    assert "--zero-shot needs --model" in refused(*where, "--zero-shot", "greedy")
    assert "--class is only for --zero-shot" in refused(*where, "--artifact", "a", "--class", "cat")
    assert "--max-new-tokens is only for --zero-shot" in refused(
        *where, "--artifact", "a", "--max-new-tokens", 3
    )
    assert "a constrained one is a class" in refused(*asked, "constrained", "--max-new-tokens", 3)
    assert "is not a folder" in refused(*where, "--zero-shot", "--model", "no such model")
    assert "'often' is not one of" in refused(*asked, "often")
    assert not workspace.exists()


def test_classes_that_cannot_be_chosen_from_are_refused(
    two_labels: Path, tmp_path: Path, workspace: Path
) -> None:
    form = ("--zero-shot", "constrained", "--model", "demo", "--workspace", workspace, "--data")
    assert "'cat' is given twice" in refused(*form, two_labels, "--class", "cat", "--class", "cat")
    assert "at least two classes" in refused(*form, two_labels, "--class", "cat")
    assert "--class" in refused(*form, two_labels, "--class", "cat", "--class", " ")
    bare = write_jsonl(tmp_path / "bare.jsonl", [{"question": "What?"}])
    assert "has no label to choose from; name the classes: --class cat" in refused(*form, bare)
    same = write_jsonl(tmp_path / "same.jsonl", [{"question": "What?", "label": "cat"}] * 2)
    assert "has only one label to choose from" in refused(*form, same)
    rows = [{"question": "What?", "label": f"kind {n}"} for n in range(MAX_CLASSES + 1)]
    many = write_jsonl(tmp_path / "many.jsonl", rows)
    assert "has more than 1000 labels to choose from" in refused(*form, many)
    assert not workspace.exists()


def asks(data: Path, method: Any = "greedy", **options: Any) -> ZeroShot:
    job = zero_shot_job("x", "demo", str(data), method, shard_size=None, batch_tokens=200, **options)
    assert isinstance(job.spec, ClassifySpec) and job.spec.zero_shot is not None
    return job.spec.zero_shot


def test_classes_are_by_default_the_labels_in_their_order(two_labels: Path, tmp_path: Path) -> None:
    assert asks(two_labels).classes == asks(two_labels, "constrained").classes == ("dog", "cat")
    assert asks(two_labels, classes=["owl"]).classes == ("owl",)
    # and to count greedy answers by, the most frequent are enough
    rows = [{"question": "What?", "label": f"kind {n}"} for n in [*range(MAX_CLASSES + 1), MAX_CLASSES]]
    many = asks(write_jsonl(tmp_path / "many.jsonl", rows))
    assert len(many.classes) == MAX_CLASSES and many.classes[0] == f"kind {MAX_CLASSES}"
    assert asks(write_jsonl(tmp_path / "bare.jsonl", [{"question": "What?"}])).classes == ()


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("general", 32),
        ("natural_ret", 1),
        ("sugarcrepe", 1),
        ("camerabench", 1),
        ("vlguard", 1),
        ("mhalu", 1),
    ],
)
def test_answers_are_as_long_as_was_published(name: str, tokens: int) -> None:
    assert FORMATS[name].answer_tokens == tokens


def test_a_greedy_answer_is_as_long_as_the_format_or_the_user_says() -> None:
    from jobs.records.job import RowOptions

    file, rows = PUBLISHED / "naturalbench_ret.jsonl", RowOptions(format="natural_ret")
    assert asks(file, rows=rows).max_new_tokens == 1
    assert asks(file, rows=rows, max_new_tokens=7).max_new_tokens == 7
    assert asks(file, "constrained", rows=rows, classes=["Yes", "No"]).max_new_tokens is None
    with pytest.raises(SettingsError, match="a constrained one is a class"):
        asks(file, "constrained", max_new_tokens=7)


def test_a_job_has_an_artifact_or_is_zero_shot() -> None:
    spec = ledgers.classify_job().spec.model_dump()
    form = {"method": "constrained", "classes": ["cat", "dog"]}
    for change in (
        {"artifact": None},
        {"zero_shot": form},
        {"artifact": None, "zero_shot": form, "after": "pets-extract-12345678"},
        {"artifact": None, "zero_shot": form | {"max_new_tokens": 3}},
        {"artifact": None, "zero_shot": form | {"method": "greedy"}},
        {"artifact": None, "zero_shot": form | {"classes": ["cat"]}},
    ):
        with pytest.raises(ValidationError):
            ClassifySpec.model_validate(spec | change)
    ClassifySpec.model_validate(spec | {"artifact": None, "zero_shot": form})


def test_jobs_have_ids_that_fields_of_later_do_not_change() -> None:
    first = ledgers.extract_job()
    assert first.job_id == "pets-extract-c6747e94"
    assert ledgers.classify_job().job_id == "pets-classify-2ed78f9e"
    assert ledgers.classify_job(after=first.job_id).job_id == "pets-classify-ba6da40f"
    asked = ZeroShot(method="constrained", classes=("cat", "dog"))
    zero_shot = ClassifySpec(name="pets", model="demo", data=ledgers.SOURCE, zero_shot=asked)
    assert job_id(zero_shot) == "pets-classify-ed03fff8"
    question = asked.model_copy(update={"question": "Which one?"})
    assert job_id(zero_shot.model_copy(update={"zero_shot": question})) != job_id(zero_shot)


def zero_shot(data: Path, method: Any) -> Job:
    return zero_shot_job(f"by-{method}", "demo", str(data), method, shard_size=None, batch_tokens=200)


def test_every_choice_is_another_job(two_labels: Path) -> None:
    jobs = [zero_shot(two_labels, "greedy"), zero_shot(two_labels, "constrained")]
    more = zero_shot_job(
        "by-greedy", "demo", str(two_labels), "greedy", max_new_tokens=3, shard_size=None, batch_tokens=200
    )
    assert len({job.job_id.rpartition("-")[2] for job in [*jobs, more]}) == 3


def test_the_rate_of_reading_heads_is_neither_used_nor_forgotten(two_labels: Path, workspace: Path) -> None:
    # given a model that is known to read a row in a second
    ledger, rates = Ledger(str(workspace)), {"text": 1.0}
    ledger.write_rates(gpu_queue("demo"), rates)
    # if a job that asks it is planned, and took an hour
    job = zero_shot(two_labels, "greedy")
    plan, _ = plan_job(ledger, job)
    ledger.create_job(job, plan)
    ledgers.write_outcome(
        ledger,
        job,
        0,
        [ledgers.row(i, "cat") for i in range(3)],
        counts=Counts(rows=3, labelled=3),
        timings={"worker": 3600.0},
    )
    assert reduce_job(ledger, job) is not None
    # then its shards are of the usual size, and the rate is what it was
    assert plan.shard_rows == 256
    assert ledger.rates(gpu_queue("demo")) == rates
