"""Packing: budgets are kept, little is padded, and everything comes once."""

from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from savs.data.samples import Sample
from savs.engine.packing import MAX_QUESTIONS, Budget, PackedRow, pack, rows_of
from savs.engine.windows import OpenedRequest, Request

PICTURES = [Image.new("RGB", (10 * (n + 1), 10)) for n in range(5)]


def shown(pictures: list[int], question: str = "What?") -> list[OpenedRequest]:
    return [
        OpenedRequest(Request(n, Sample(n, str(n)), question), (PICTURES[p],), question)
        for n, p in enumerate(pictures)
    ]


def each(tokens: int) -> Callable[[Sequence[object]], list[int]]:
    return lambda media: [tokens] * len(media)


def row(tokens: int, number: int = 0, pixels: int = 0) -> PackedRow:
    media = (Image.new("RGB", (pixels, 1)),) if pixels else ()
    return PackedRow(media, ("What?",), (number,), tokens)


@given(st.lists(st.integers(1, 3000), max_size=60), st.integers(1, 4000))
def test_every_row_is_in_one_batch_and_no_batch_is_over_its_budget(sizes: list[int], tokens: int) -> None:
    rows = [row(size, number) for number, size in enumerate(sizes)]

    batches = pack(rows, Budget(tokens, 10**9))

    assert sorted(r.numbers[0] for batch in batches for r in batch) == [*range(len(sizes))]
    for batch in batches:
        padded = len(batch) * max(r.tokens for r in batch)
        assert padded <= tokens or len(batch) == 1


def test_pixels_have_a_budget_of_their_own() -> None:
    batches = pack([row(1, n, pixels=40) for n in range(5)], Budget(10**6, 100))

    assert [len(batch) for batch in batches] == [2, 2, 1]


def test_batches_are_as_few_as_the_budget_allows_and_none_is_much_smaller_than_another() -> None:
    for rows, fewest in ((80, 2), (125, 3), (63, 2)):
        sizes = [len(batch) for batch in pack([row(10, n) for n in range(rows)], Budget(620, 10**9))]

        assert len(sizes) == fewest and min(sizes) > 0.8 * max(sizes)


def test_rows_of_like_length_share_a_batch() -> None:
    batches = pack([row(10, 0), row(500, 1), row(12, 2), row(480, 3)], Budget(1000, 10**9))

    assert [[r.numbers[0] for r in batch] for batch in batches] == [[1, 3], [2, 0]]


def test_questions_about_one_picture_share_a_row_wherever_they_stand() -> None:
    rows = rows_of(shown([0, 1, 0, 2, 0]), each(9), Budget(1000, 10**9), share=True)

    assert [r.numbers for r in rows] == [(0, 2, 4), (1,), (3,)]
    assert all(r.media == (PICTURES[p],) for r, p in zip(rows, (0, 1, 2), strict=True))


def test_a_model_that_does_not_share_gets_a_row_for_each_question() -> None:
    rows = rows_of(shown([0, 0, 0]), each(9), Budget(1000, 10**9), share=False)

    assert [r.numbers for r in rows] == [(0,), (1,), (2,)]


def test_a_row_is_cut_where_its_questions_outgrow_the_budget() -> None:
    many = rows_of(shown([0] * (MAX_QUESTIONS + 5)), each(9), Budget(10**6, 10**9), share=True)
    long = rows_of(shown([0] * 6, "What? " * 30), each(100), Budget(300, 10**9), share=True)

    assert [len(r.numbers) for r in many] == [MAX_QUESTIONS, 5]
    assert all(r.tokens <= 300 or len(r.numbers) == 1 for r in long)
    assert [n for r in long for n in r.numbers] == [*range(6)]
