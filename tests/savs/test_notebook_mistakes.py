"""What goes wrong in notebooks: each mistake is one sentence that says what was given and what is wanted."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

import savs
from savs.model.model import Model
from tests.savs.data.drawing import head_vectors, noise

VECTORS = head_vectors([[1, 0], [0, 1], [1, 0.1], [0.1, 1]], (1, 2))
OTHERS = head_vectors([[1, 0, 0, 1]], (2, 2))
LABELS = ["cat", "dog", "cat", "dog"]
PICTURE = noise(28, 28)
ASK = {"question": "What is it?"}
TABLE = pd.DataFrame({"path": ["a.png"], "label": ["cat"]})


def found_of(vectors: savs.HeadVectors) -> savs.Extraction:
    return savs.Extraction(tuple(savs.Sample(n, str(n)) for n in range(len(vectors))), vectors, {})


FOUND = found_of(VECTORS)
READOUT = savs.fit(VECTORS, LABELS, 1)
ANSWERS = savs.classify(READOUT, VECTORS)
Call = Callable[[Model], object]

TYPES: list[tuple[str, Call, str]] = [
    ("a loaded model again", lambda m: savs.load_model(m), "is loaded already; pass an alias, a hub id"),
    ("no model name", lambda m: savs.load_model(None), "None is not a name or a path; pass an alias"),
    ("a number of frames", lambda m: savs.load_model("demo", sampling=8), r"pass savs.FrameSampling\("),
    ("a model's name", lambda m: savs.extract("demo", [PICTURE]), "model is of type str; pass what load_"),
    ("one path", lambda m: savs.extract(m, "a.png", **ASK), r"found one str; pass \[item\]"),
    ("one picture", lambda m: savs.extract(m, PICTURE, **ASK), r"found one Image; pass \[item\]"),
    ("a batch as an array", lambda m: savs.extract(m, np.zeros((2, 9, 9, 3), np.uint8)), r"pass list\(items"),
    ("a tensor", lambda m: savs.extract(m, [torch.zeros(3, 9, 9)], **ASK), "item 0: a value of type Tensor"),
    ("bytes", lambda m: savs.extract(m, [b"\x89PNG"], **ASK), "item 0: a value of type bytes is not an im"),
    ("nothing", lambda m: savs.extract(m, None, **ASK), "expected a list of items, found one NoneType"),
    ("an extraction", lambda m: savs.extract(m, FOUND, **ASK), "found one Extraction; pass its .samples"),
    (
        "a picture as a list",
        lambda m: savs.extract(m, [[1, 2], [3, 4]], **ASK),
        "item 0: a value of type list",
    ),
    ("questions as a list", lambda m: savs.extract(m, [PICTURE], question=["What?"]), "question is .*; pass"),
    ("a budget of tokens", lambda m: savs.extract(m, [PICTURE], budget=9, **ASK), "budget is of type int"),
    ("vectors and labels swapped", lambda m: savs.fit(LABELS, VECTORS), r"pass fit\(vectors, labels\)"),
    ("an extraction to fit", lambda m: savs.fit(FOUND, LABELS), "type Extraction; pass its .vectors"),
    ("one label", lambda m: savs.fit(VECTORS, "cat"), "labels are of type str; pass a list with a class"),
    ("no labels", lambda m: savs.fit(VECTORS, None), "labels are of type NoneType; pass a list"),
    ("a table of labels", lambda m: savs.fit(VECTORS, TABLE), "are a DataFrame; pass one of its columns"),
    ("samples as labels", lambda m: savs.fit(VECTORS, FOUND.samples), r"pass \[s.label for s in samples\]"),
    (
        "numbers as labels",
        lambda m: savs.fit(VECTORS, np.arange(4)),
        "label 0 is .*, of type int64, not text",
    ),
    ("readout and vectors swapped", lambda m: savs.classify(VECTORS, READOUT), r"classify\(readout, vectors"),
    ("an extraction to classify", lambda m: savs.classify(READOUT, FOUND), "Extraction; pass its .vectors"),
    ("labels and answers swapped", lambda m: savs.score(ANSWERS, LABELS), r"pass score\(labels, answers\)"),
    ("one label to score", lambda m: savs.score("cat", ANSWERS), "labels are of type str; pass a list"),
    ("no answers", lambda m: savs.score(LABELS, None), "answers are of type NoneType; pass a list"),
    ("samples as a corpus", lambda m: ANSWERS.to_pandas(FOUND.samples), "type tuple; pass what extract ret"),
    ("no workspace", lambda m: savs.open_job(None, "pets"), "workspace is None, of type NoneType; pass text"),
    ("an extraction as X", lambda m: savs.SavsClassifier().fit(FOUND, LABELS), "Extraction; pass its .vect"),
]
VALUES: list[tuple[str, Call, str]] = [
    ("an unknown device", lambda m: savs.load_model("demo", device="gpu"), "device is 'gpu'; pass cpu, cuda"),
    (
        "no question",
        lambda m: savs.extract(m, [PICTURE]),
        "no item has a question; pass one for all, question",
    ),
    ("a blank question", lambda m: savs.extract(m, [PICTURE], question=" "), "question is ' '; pass text"),
    (
        "a dict with another name",
        lambda m: savs.extract(m, [{"path": "a"}]),
        "item 0: neither.*; it has 'path'",
    ),
    ("an empty dict", lambda m: savs.extract(m, [PICTURE, {}], **ASK), "item 1: neither.*; it has nothing"),
    ("a table with another name", lambda m: savs.extract(m, TABLE, **ASK), "call the column 'path' 'image'"),
    (
        "a table of numbers as labels",
        lambda m: savs.extract(m, pd.DataFrame({"image": ["a.png"], "label": [1]}), **ASK),
        "no row of the table can be used; row 0: 'label' must be text",
    ),
    ("labels of other items", lambda m: savs.fit(VECTORS, LABELS[:3]), "4 vectors and 3 labels; each vector"),
    ("unlabelled examples", lambda m: savs.fit(VECTORS, [*LABELS[:3], None]), "label 3 is None: its sample"),
    (
        "a missing cell",
        lambda m: savs.fit(VECTORS, pd.Series([*LABELS[:3], None])),
        "label 3 is nan: its sam",
    ),
    ("one class", lambda m: savs.fit(VECTORS, ["cat"] * 4, 1), r"two classes are needed; found \['cat'\]"),
    (
        "an unknown mode",
        lambda m: savs.fit(VECTORS, LABELS, mode="svm"),
        "'svm' is not a readout; use one of",
    ),
    (
        "too many heads",
        lambda m: savs.fit(VECTORS, LABELS, heads=9),
        "9 heads were asked for; the model has 1",
    ),
    ("NaN in vectors", lambda m: savs.classify(READOUT, head_vectors([[np.nan, 1]], (1, 2))), "NaN or infin"),
    ("answers of other items", lambda m: savs.score(LABELS, ANSWERS[:3]), "4 labels and 3 answers; each"),
    ("nothing to score", lambda m: savs.score([None, np.nan], ANSWERS[:2]), "no label is known"),
    (
        "another corpus",
        lambda m: ANSWERS.to_pandas(found_of(OTHERS)),
        "4 answers, and the corpus has 1 sample",
    ),
    (
        "a mode with a corpus",
        lambda m: savs.SavsClassifier("corpus").fit(VECTORS, LABELS),
        "mode is 'corpus'",
    ),
    (
        "heads that do not divide",
        lambda m: savs.SavsClassifier(head_dim=3).fit(VECTORS.values, LABELS),
        "head_dim is 3 and X has 2 features",
    ),
    ("one class as y", lambda m: savs.SavsClassifier().fit(VECTORS, [1] * 4), "y has one class, 1"),
    ("no fit before predict", lambda m: savs.SavsClassifier().predict(VECTORS), "not fitted yet"),
]
OTHER: list[tuple[str, Call, str]] = [
    ("a model with a typo", lambda m: savs.load_model("qwen2.5vl"), "did you mean 'qwen2.5_vl'?"),
    (
        "vectors of another model",
        lambda m: savs.classify(READOUT, OTHERS),
        "have 2 heads .* fitted on 1 head",
    ),
    (
        "a workspace with a typo",
        lambda m: savs.open_job("resluts", "pets"),
        "no workspace .*resluts; pass the",
    ),
]


@pytest.mark.parametrize(("call", "said"), [pytest.param(*rest, id=name) for name, *rest in TYPES])
def test_an_argument_of_another_type_is_a_type_error_in_one_sentence(
    qwen2: Model, call: Call, said: str
) -> None:
    with pytest.raises(savs.SavsError, match=said) as error:
        call(qwen2)
    assert isinstance(error.value, TypeError) and "\n" not in str(error.value)


@pytest.mark.parametrize(("call", "said"), [pytest.param(*rest, id=name) for name, *rest in VALUES])
def test_an_argument_with_another_value_is_a_value_error_in_one_sentence(
    qwen2: Model, call: Call, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as error:
        call(qwen2)
    assert isinstance(error.value, savs.SavsError | NotFittedError) and "\n" not in str(error.value)


@pytest.mark.parametrize(("call", "said"), [pytest.param(*rest, id=name) for name, *rest in OTHER])
def test_what_is_not_there_or_does_not_fit_is_told_in_one_sentence(
    qwen2: Model, call: Call, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(savs.SavsError, match=said) as error:
        call(qwen2)
    assert "\n" not in str(error.value)


def test_paths_that_are_no_images_are_errors_of_their_rows(qwen2: Model, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")

    found = savs.extract(qwen2, [tmp_path, tmp_path / "notes.png", tmp_path / "gone.png", PICTURE], **ASK)

    assert [type(error).__name__ for error in found.errors.values()] == [
        "UnreadableMedia",
        "UnreadableMedia",
        "MissingMedia",
    ]
    assert len(found.samples) == 1 and "is a folder" in str(found.errors[0])


def test_a_wrong_item_of_a_generator_costs_only_itself(qwen2: Model) -> None:
    def items() -> Iterator[object]:
        yield PICTURE
        yield 5
        yield {"image": PICTURE, "label": 3, "id": "third"}
        yield PICTURE

    found = savs.extract(qwen2, items(), **ASK)  # type: ignore[arg-type]

    assert [sample.index for sample in found.samples] == [0, 3]
    assert {n: str(error)[:20] for n, error in found.errors.items()} == {
        1: "a value of type int ",
        2: "'label' must be text",
    }
    assert found.asked[2].id == "third"
