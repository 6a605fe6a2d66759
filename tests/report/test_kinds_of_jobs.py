"""Every kind of job has a page without trouble."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from jobs.records.job import ClassifySpec, Job, ZeroShot, job_id
from jobs.records.row import ResultRow
from jobs.reduce.reducer import reduce_job
from jobs.report.report import make_report
from jobs.shards.allowed_roots import Roots
from tests.jobs.ledgers import MONDAY, SOURCE, classify_job, plan_of, probable, row, write_outcome
from tests.report.conftest import Opener

pytestmark = pytest.mark.browser
ROWS = 60


def no_labels(n: int) -> ResultRow:
    return probable(n, {"cat": 0.5 + n / 200, "dog": 0.5 - n / 200})


def votes(n: int) -> ResultRow:
    return row(n, "cat" if n % 3 else "dog", "cat")


def no_confidence(n: int) -> ResultRow:
    return row(n, "a cat, I think" if n % 3 else "cat", "cat").model_copy(
        update={"confidence": None, "votes": {}}
    )


def abstained(n: int) -> ResultRow:
    return probable(n, {"cat": 0.5 + n / 200, "dog": 0.5 - n / 200}, "dog", abstains=n % 2 == 0)


def failed(n: int) -> ResultRow:
    return row(n, None, error="missing_media")


def many_classes(n: int) -> ResultRow:
    return probable(n, {f"class {n % 30}": 0.6, f"class {(n + 1) % 30}": 0.4}, f"class {(n + n % 2) % 30}")


def several_labels(n: int) -> ResultRow:
    found = ("red",) if n % 2 else ("red", "round")
    one = row(n, None).model_copy(update={"predictions": found, "label": ("red",), "confidence": None})
    return one.model_copy(update={"scores": {"red": 0.9, "round": 0.2 + 0.5 * (n % 2 == 0)}})


KINDS: list[Callable[[int], ResultRow]] = [
    *(no_labels, votes, no_confidence, abstained, failed, many_classes, several_labels)
]


def zero_shot_job() -> Job:
    asked = ZeroShot(method="constrained", classes=("cat", "dog"), question="Which animal?")
    spec = ClassifySpec(name="asked", model="demo", data=SOURCE, zero_shot=asked)
    return Job(job_id=job_id(spec), submitted=MONDAY, spec=spec)


def page_of(workspace: Path, job: Job, of: Callable[[int], ResultRow]) -> Path:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(job, plan_of(ROWS))
    write_outcome(ledger, job, 0, [of(n) for n in range(ROWS)])
    reduce_job(ledger, job)
    return Path(make_report(ledger, job, Roots.everywhere()))


@pytest.mark.parametrize("of", KINDS, ids=lambda of: of.__name__)
def test_a_job_has_a_page_without_trouble(
    tmp_path: Path, opener: Opener, of: Callable[[int], ResultRow]
) -> None:
    page = opener.open(page_of(tmp_path, classify_job(), of), 390)

    assert "items" in page.locator("#shown").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    text = page.locator("main").inner_text()
    for odd in ("undefined", "null", "NaN", "None", "[object"):
        assert odd not in text


def test_a_zero_shot_job_has_the_question_and_no_heads(tmp_path: Path, opener: Opener) -> None:
    page = opener.open(page_of(tmp_path, zero_shot_job(), no_labels))

    assert "Which animal?" in page.locator("#panel").inner_text()
    assert page.locator("#heads").count() == 0
    assert "zero-shot" in page.locator("#run").inner_text()


def test_rows_on_which_the_heads_disagree_are_found(tmp_path: Path, opener: Opener) -> None:
    def divided(n: int) -> ResultRow:
        return votes(n).model_copy(
            update={"votes": {"cat": 12, "dog": 8} if n < 7 else {"cat": 18, "dog": 2}}
        )

    page = opener.open(page_of(tmp_path, classify_job(), divided))

    page.locator("#filters select[name=show]").select_option(label="heads disagree")

    assert page.locator("#panel .item").count() == 7


def test_confusions_of_many_classes_are_a_list_that_filters(tmp_path: Path, opener: Opener) -> None:
    page = opener.open(page_of(tmp_path, classify_job(), many_classes))
    button = page.locator(".confusion button").first

    button.click()

    page.wait_for_function("document.getElementById('shown').textContent.includes('with label')")
    assert page.locator("#panel .item").count() == int(button.inner_text())
