import json
from fractions import Fraction
from math import comb, factorial
from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from jobs.records.job import Job
from jobs.records.row import ResultRow
from jobs.reduce.comparison import compare_jobs, mcnemar, paired_interval
from savs.errors import JobError
from savs.scores.intervals import wilson
from tests.jobs.conftest import savs_submit
from tests.jobs.ledgers import SOURCE, classify_job, extract_job, plan_of, row, write_outcome

LABELS = ["cat", "cat", "dog", "dog", "cat", None]
FIRST = ["cat", "dog", "dog", "cat", "cat", "cat"]  # right: 0, 2, 4
SECOND = ["cat", "cat", "dog", "dog", None, "dog"]  # right: 0, 1, 2, 3; row 4 failed


def labelled(ledger: Ledger, name: str, predictions: list[str | None], given_up: bool = False) -> Job:
    """A classify job of three shards of two rows."""
    job = ledger.create_job(classify_job(name), plan_of(2, 2, 2))
    rows: list[ResultRow] = [
        row(i, prediction, LABELS[i], None if prediction else "missing_media")
        for i, prediction in enumerate(predictions)
    ]
    for shard in range(3):
        if given_up and shard == 1:
            write_outcome(ledger, job, shard, rows[2:4], status="failed", part=None, sha256=None)
        else:
            write_outcome(ledger, job, shard, rows[2 * shard : 2 * shard + 2])
    return job


@pytest.fixture
def ledger(workspace: Path) -> Ledger:
    return Ledger(str(workspace))


def test_rows_with_a_label_are_counted_pair_by_pair(ledger: Ledger) -> None:
    found = compare_jobs(ledger, labelled(ledger, "one", FIRST), labelled(ledger, "two", SECOND))

    assert found.rows == 5
    assert (found.both_right, found.only_first, found.only_second, found.neither) == (2, 1, 2, 0)
    assert found.accuracies == (3 / 5, 4 / 5) and found.difference == 1 / 5
    assert found.difference_interval == pytest.approx((-0.40705, 0.69276), abs=1e-5)
    assert found.p == pytest.approx(1.0)


def test_intervals_are_wider_where_rows_show_the_same_picture(ledger: Ledger) -> None:
    # given two pictures with ten rows each, of which a job has all right about one and none about the other
    def labelled(name: str, share: int) -> Job:
        job = ledger.create_job(classify_job(name), plan_of(10, 10))
        for shard in range(2):
            rows = [
                row(index, "cat" if shard else "dog", "cat").model_copy(
                    update={"media": (f"{index // share}",)}
                )
                for index in range(10 * shard, 10 * shard + 10)
            ]
            write_outcome(ledger, job, shard, rows)
        return job

    apart, shared = labelled("apart", 1), labelled("shared", 10)

    assert compare_jobs(ledger, apart, apart).intervals[0] == wilson(10, 20)
    low, high = compare_jobs(ledger, shared, shared).intervals[0]
    assert low < 0.1 and high > 0.9


def test_rows_that_one_of_them_lacks_are_left_out(ledger: Ledger) -> None:
    one = labelled(ledger, "one", FIRST, given_up=True)

    found = compare_jobs(ledger, one, labelled(ledger, "two", SECOND))

    assert (found.rows, found.both_right, found.only_first, found.only_second) == (3, 1, 1, 1)


def test_a_job_is_as_good_as_itself(ledger: Ledger) -> None:
    job = labelled(ledger, "one", FIRST)
    found = compare_jobs(ledger, job, job)
    assert (found.difference, found.p, found.only_first, found.only_second) == (0, 1.0, 0, 0)


def rows_of_file(ledger: Ledger, name: str, etag: str, *shown: tuple[str, str | None]) -> Job:
    """A job of a manifest of its own, whose rows show so and have such a label; each says "cat"."""
    source = SOURCE.model_copy(update={"etag": etag})
    job = ledger.create_job(classify_job(name, source=source), plan_of(len(shown)))
    rows = [
        row(i, "cat", label).model_copy(update={"media": (media,)}) for i, (media, label) in enumerate(shown)
    ]
    write_outcome(ledger, job, 0, rows)
    return job


def test_the_same_items_compare_whatever_else_the_two_files_say(ledger: Ledger) -> None:
    # given files of which one has a label that the other lacks
    one = rows_of_file(ledger, "one", "1" * 64, ("/a.png", "cat"), ("/b.png", None))
    other = rows_of_file(ledger, "two", "2" * 64, ("/a.png", "cat"), ("/b.png", "dog"))

    found = compare_jobs(ledger, one, other)

    assert (found.rows, found.both_right, found.neither) == (2, 1, 1)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([("/a.png", "cat"), ("/c.png", "dog")], "row 1 has the media ['/b.png'] in one and ['/c.png']"),
        ([("/a.png", "dog"), ("/b.png", "dog")], "row 0 has the label 'cat' in one and 'dog' in the other"),
        ([("/a.png", "cat")], "they have different numbers of rows"),
    ],
)
def test_jobs_on_other_rows_do_not_compare(
    ledger: Ledger, rows: list[tuple[str, str | None]], why: str
) -> None:
    one = rows_of_file(ledger, "one", "1" * 64, ("/a.png", "cat"), ("/b.png", "dog"))
    other = rows_of_file(ledger, "two", "2" * 64, *rows)

    with pytest.raises(JobError, match="only jobs on the same rows can be compared") as caught:
        compare_jobs(ledger, one, other)

    assert why in str(caught.value)
    with pytest.raises(JobError, match="is not a classify job"):
        compare_jobs(ledger, one, extract_job())


def test_two_tasks_of_one_corpus_do_not_compare(ledger: Ledger) -> None:
    one = rows_of_file(ledger, "pets.kind", "1" * 64, ("/a.png", "cat"), ("/b.png", "dog"))
    other = rows_of_file(ledger, "pets.colour", "1" * 64, ("/a.png", "red"), ("/b.png", "red"))

    with pytest.raises(JobError, match="row 0 has the label 'cat' in one and 'red' in the other"):
        compare_jobs(ledger, one, other)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 1), (1, 5), (5, 1), (3, 12), (40, 60), (0, 30)])
def test_the_p_value_is_the_binomial_tail(b: int, c: int) -> None:
    n = b + c
    exact = min(Fraction(1), 2 * Fraction(sum(comb(n, k) for k in range(min(b, c) + 1)), 2**n))
    assert mcnemar(b, c) == pytest.approx(float(exact), rel=1e-9)


def test_a_large_comparison_neither_overflows_nor_takes_long() -> None:
    assert mcnemar(500_000, 500_000) == pytest.approx(1.0)
    assert mcnemar(400_000, 600_000) < 1e-100


@pytest.mark.parametrize(("b", "c"), [(0.02, 0.02), (0.05, 0.2), (0.1, 0.5), (0.3, 0.3), (0.0, 0.9)])
def test_the_interval_holds_the_true_difference_95_times_in_100(b: float, c: float) -> None:
    rows, held = 40, 0.0
    for first in range(rows + 1):
        for second in range(rows + 1 - first):
            rest = rows - first - second
            ways = factorial(rows) // (factorial(first) * factorial(second) * factorial(rest))
            low, high = paired_interval(first, second, rows)
            held += ways * b**first * c**second * (1 - b - c) ** rest * (low <= c - b <= high)
    assert 0.93 <= held <= 1


def test_the_interval_is_no_point_and_stays_among_differences() -> None:
    low, high = paired_interval(0, 0, 10)
    assert low == -high < 0
    low, high = paired_interval(0, 10, 10)
    assert low < high == 1.0
    assert paired_interval(10, 0, 10) == (-1.0, -low)


def test_several_pairs_are_a_table(ledger: Ledger, workspace: Path) -> None:
    labelled(ledger, "one", FIRST)
    labelled(ledger, "two", SECOND)

    said = savs_submit("compare", "one", "two", "two", "one", "--workspace", workspace)
    found = json.loads(
        savs_submit("compare", "one", "two", "two", "one", "--workspace", workspace, "--json").stdout
    )

    assert said.exit_code == 0
    _, *lines = said.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        *(["one", "0.600"], ["two", "0.800"]),
        *(["two", "0.800"], ["one", "0.600"]),
    ]
    assert "+0.200 (-0.407 to +0.693)" in lines[1] and "-0.200 (-0.693 to +0.407)" in lines[3]
    assert [one["difference"] for one in found] == [0.2, -0.2]
    alone = savs_submit("compare", "one", "two", "one", "--workspace", workspace)
    assert alone.exit_code == 2 and "one has no job to be compared with" in alone.stderr


def test_the_command_prints_both_and_what_chance_would_do(ledger: Ledger, workspace: Path) -> None:
    labelled(ledger, "one", FIRST)
    labelled(ledger, "two", SECOND)

    said = savs_submit("compare", "one", "two", "--workspace", workspace)
    found = json.loads(savs_submit("compare", "one", "two", "--workspace", workspace, "--json").stdout)

    assert said.exit_code == 0
    assert "0.600" in said.stdout and "0.800" in said.stdout and "p = 1" in said.stdout
    assert "difference +0.200 (-0.407 to +0.693)" in said.stdout
    assert found["rows"] == 5 and found["difference"] == 0.2
    assert found["difference_interval"] == pytest.approx([-0.40705, 0.69276], abs=1e-5)
    missing = savs_submit("compare", "one", "three", "--workspace", workspace)
    assert missing.exit_code == 2 and "no job 'three'" in missing.stderr
