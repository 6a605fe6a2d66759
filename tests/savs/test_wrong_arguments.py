"""A wrong argument of a public function is an error of savs that says what to pass."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import savs
from savs.engine.extract import Extraction
from savs.model.model import Model
from tests.savs.data.drawing import head_vectors, noise

LABELS = ["a", "b"]
VECTORS = head_vectors([[1, 0], [0, 1]], (1, 2))
FOUND = Extraction((), VECTORS, {})


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda model: savs.extract("demo", ["x.png"]), "model is of type str; pass what load_model"),
        (lambda model: savs.extract(model, ["x.png"], question=5), "question is 5; pass text"),
        (lambda model: savs.extract(model, ["x.png"], question=" "), "question is ' '; pass text"),
        (lambda model: savs.extract(model, ["x.png", ""]), "item 1: '' is not the path of an image"),
        (lambda model: savs.fit(FOUND, LABELS), "vectors are of type Extraction; pass its .vectors"),
        (lambda model: savs.fit(VECTORS.values, LABELS), "vectors are of type ndarray; pass the .vectors"),
        (lambda model: savs.fit(VECTORS, LABELS, heads=1.5), "heads is 1.5; pass a whole number"),
        (lambda model: savs.fit(VECTORS, LABELS, heads=True), "heads is True; pass a whole number"),
        (lambda model: savs.fit(VECTORS, LABELS, heads=1, classes=[1, 2]), "label 0 is 1, of type int"),
        (lambda model: savs.classify(savs.fit(VECTORS, LABELS, 1), FOUND), "Extraction; pass its .vectors"),
        (lambda model: savs.classify(None, VECTORS), "readout is of type NoneType; pass what fit returned"),
        (lambda model: savs.load_model(None), "None is not a name or a path"),
        (lambda model: savs.load_model("demo", device="tpu-9"), "device is 'tpu-9'; pass cpu, cuda"),
        (lambda model: savs.load_model("demo", dtype="double double"), "dtype is 'double double'; pass"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_runs(
    qwen2: Model, call: Callable[[Model], object], said: str
) -> None:
    with pytest.raises(savs.SavsError) as error:
        call(qwen2)
    assert said in str(error.value)


def test_classes_of_scores_are_plain_text_whatever_the_labels_were() -> None:
    scores = savs.score(np.array(LABELS), np.array(LABELS))  # type: ignore[arg-type]
    assert {type(name) for name in scores.classes} == {str}


@pytest.mark.parametrize("name", ["picture.png", "model.safetensors", "empty"])
def test_a_file_that_is_no_readout_says_what_reads_artifacts(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"")
    if name == "picture.png":
        noise(8, 8).save(path)
    if name == "model.safetensors":
        from safetensors.numpy import save_file

        save_file({"weight": VECTORS.values}, path)
    with pytest.raises(
        savs.ArtifactError, match=r"is not a file that Readout\.save wrote; artifacts are read"
    ):
        savs.Readout.load(path)
