"""The leak check: items of the training set are found among others, by what they are and not by name."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import savs
from savs.artifact.leaks import Leak, TrainingSet, find_leaks
from savs.artifact.training_row import TrainingRow, training_row
from savs.data.media import Digest
from savs.data.samples import Sample
from tests.savs.data.drawing import noise, write_clip

ASK = "Which is it?"
OTHER = "Which is it not?"


def digest(data: bytes) -> Digest:
    return Digest(len(data), hashlib.sha256(data).hexdigest())


def asked(
    training: TrainingSet, question: str, media: Sequence[str], contents: Sequence[bytes]
) -> Leak | None:
    """What is found of an item whose first media, as many as there are `contents`, can be opened."""
    digests = [
        digest(data) if training.may_hold(len(data)) else Digest(len(data))
        for place, data in enumerate(contents)
    ]
    return training.find(question, media, digests)


# Few questions, contents and names, so that chance makes all kinds of near misses
contents = st.lists(st.sampled_from([b"a", b"b", b"cc"]), max_size=2)
items = st.tuples(st.sampled_from([ASK, OTHER]), contents, st.lists(st.sampled_from("xy"), min_size=2))


@given(st.lists(items, max_size=5), items, st.integers(0, 2))
def test_an_item_is_a_training_row_if_question_and_bytes_are_the_same_and_else_it_is_not(
    rows: list[tuple[str, list[bytes], list[str]]], item: tuple[str, list[bytes], list[str]], opened: int
) -> None:
    training = TrainingSet(
        [
            training_row(
                str(i), "cat", question, [f"/a/{n}" for n in names[: len(data)]], list(map(digest, data))
            )
            for i, (question, data, names) in enumerate(rows)
        ]
    )
    question, data, names = item
    names = names[: len(data)]
    opened = min(opened, len(data))

    found = asked(training, question, [f"s3://b/{name}" for name in names], data[:opened])

    expected = [
        str(i)
        for i, (other, held, called) in enumerate(rows)
        if other == question
        and len(held) == len(data)
        and held[:opened] == data[:opened]
        and called[opened : len(held)] == names[opened:]
    ]
    assert found == (Leak(expected[0], verified=opened == len(data)) if expected else None)


def test_a_row_whose_media_nobody_hashed_is_never_found_and_that_can_be_known() -> None:
    kept = training_row("1", "cat", ASK, ["a.png"], [digest(b"a")])
    lost = training_row("2", "cat", ASK, ["b.png"], [Digest(1)])
    old = TrainingRow(id="3", label="cat", sha256=("0" * 64,))

    assert TrainingSet([kept]).comparable
    assert not TrainingSet([]).comparable
    for row in (lost, old):
        training = TrainingSet([kept, row])
        assert not training.comparable
        assert asked(training, ASK, ["a.png"], [b"a"]) == Leak("1", verified=True)
        assert asked(training, ASK, ["b.png"], []) is None


def test_a_training_row_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="needs one size and one name"):
        TrainingRow(id="1", label="cat", sha256=("0" * 64,), question_sha256="0" * 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures and clips, some of them twice."""
    folder = tmp_path_factory.mktemp("leaks")
    for name in ("one", "two", "three"):
        noise(40, 30, seed=len(name) + ord(name[0])).save(folder / f"{name}.bmp")  # all of one size
        write_clip(folder / f"{name}.mp4", 8 + len(name) + ord(name[0]) % 7, 8)
    (folder / "renamed.bmp").write_bytes((folder / "one.bmp").read_bytes())
    (folder / "renamed.mp4").write_bytes((folder / "one.mp4").read_bytes())
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "one.bmp").write_bytes((folder / "three.bmp").read_bytes())
    (folder / "elsewhere" / "three.bmp").write_bytes(b"no picture at all")
    noise(40, 30, seed=3 + ord("o")).save(folder / "again.png")  # the pixels of one.bmp
    return folder


TRAINING = [
    (("one.bmp",), ASK),
    (("two.bmp",), OTHER),
    (("one.bmp", "two.bmp"), ASK),
    (("one.mp4",), ASK),
    ((), "Is water wet?"),
    (("three.bmp",), None),  # whose question is the one that all share
]
ITEMS: list[tuple[tuple[str, ...], str | None, Leak | None]] = [
    (("one.bmp",), ASK, Leak("0", True)),
    (("renamed.bmp",), ASK, Leak("0", True)),
    (("renamed.bmp",), None, Leak("0", True)),  # the shared question is its question
    (("elsewhere/one.bmp",), OTHER, None),  # the name of one, the bytes of another
    (("again.png",), ASK, None),  # the same pixels, encoded anew
    (("one.bmp",), OTHER, None),
    (("two.bmp",), ASK, None),
    (("two.bmp",), OTHER, Leak("1", True)),
    (("renamed.bmp", "two.bmp"), ASK, Leak("2", True)),
    (("two.bmp", "one.bmp"), ASK, None),  # which is another prompt
    (("one.bmp", "one.bmp"), ASK, None),
    (("one.bmp", "two.bmp", "three.bmp"), ASK, None),
    (("renamed.mp4",), ASK, Leak("3", True)),
    (("two.mp4",), ASK, None),
    ((), "Is water wet?", Leak("4", True)),
    ((), "Is water dry?", None),
    (("elsewhere/one.bmp",), ASK, Leak("5", True)),  # the bytes of three.bmp
    (("gone/one.bmp",), ASK, Leak("0", False)),
    (("gone/one.bmp",), OTHER, None),
    (("gone/four.bmp",), ASK, None),
    (("elsewhere/three.bmp",), ASK, Leak("5", False)),  # it cannot be decoded
    (("renamed.bmp", "gone/two.bmp"), ASK, Leak("2", False)),
    (("three.bmp", "gone/two.bmp"), ASK, None),  # what could be opened is another picture
    (("gone/one.mp4",), ASK, Leak("3", False)),
]


def test_planted_duplicates_are_all_found_and_nothing_else_is(qwen2: savs.Model, folder: Path) -> None:
    def samples(rows: Sequence[tuple[tuple[str, ...], str | None]]) -> list[Sample]:
        return [
            Sample(i, str(i), tuple(str(folder / name) for name in media), question)
            for i, (media, question) in enumerate(rows)
        ]

    # given training rows, of which everything was hashed while it was read
    examples = samples(TRAINING)
    learnt = savs.extract(qwen2, examples, ASK, hashed=lambda *_: True)
    assert not learnt.errors
    training = TrainingSet(
        [training_row(s.id, "cat", s.question or ASK, s.media, learnt.digests[s.index]) for s in examples]
    )

    # if items are read, and hashed only where that may tell
    corpus = samples([(media, question) for media, question, _ in ITEMS])
    found = savs.extract(qwen2, corpus, ASK, hashed=training.may_hold)
    leaks = find_leaks(training, corpus, ASK, found.digests)

    # then each is known for what it is
    assert leaks == {i: leak for i, (_, _, leak) in enumerate(ITEMS) if leak}
    # and a video of another size was not hashed, nor anything with another question
    hashed = {i: [d.sha256 is not None for d in digests] for i, digests in found.digests.items()}
    unlike = [i for i, (media, question, _) in enumerate(ITEMS) if (media, question) == (("two.mp4",), ASK)]
    assert [hashed[i] for i in unlike] == [[False]]
    assert hashed[5] == [True] and hashed[4] == [False]  # all BMPs are of one size; the PNG is not


def test_an_item_without_any_question_is_no_training_row() -> None:
    training = TrainingSet([training_row("1", "cat", ASK, [], [])])
    assert find_leaks(training, [Sample(0, "0")], None, {}) == {}
    assert find_leaks(training, [Sample(0, "0")], ASK, {}) == {0: Leak("1", True)}
