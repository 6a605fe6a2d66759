"""Artifacts: what is saved comes back, and nothing else is taken for one."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import savs
from savs.artifact.artifact import Artifact, describe, load_artifact, make_artifact, save_artifact
from savs.artifact.manifest import ModelIdentity, Origin, PromptFormat
from savs.artifact.training_row import TrainingRow
from savs.engine.vectors import HeadVectors
from savs.errors import ArtifactError, ArtifactMismatch, ArtifactNotFound
from savs.readout.choice import fit
from savs.readout.classify import classify
from savs.readout.records import LayerEntry
from savs.storage import open_store
from tests.savs.data.drawing import head_vectors

ONE_WIDTH = ((3, 4), (3, 4))
TWO_WIDTHS = ((3, 4), (2, 6), (1, 4))
CREATED = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
FILES = ("manifest.json", "savs.safetensors")
Sizes = tuple[tuple[int, int], ...]


def vectors_of(sizes: Sizes, rows: int = 12, seed: int = 0) -> HeadVectors:
    width = sum(heads * head_dim for heads, head_dim in sizes)
    return head_vectors(np.random.default_rng(seed).normal(size=(rows, width)), *sizes)


def make(sizes: Sizes = ONE_WIDTH, heads: int = 5, origin: Origin | None = None) -> Artifact:
    """An artifact that was fitted on random vectors."""
    labels = ["größer", "smaller", "equal"] * 4
    return make_artifact(
        "sizes",
        "0001",
        fit(vectors_of(sizes), labels, heads=heads),
        origin
        or Origin(
            model=ModelIdentity(id="a/model", revision="abc", fingerprint="f" * 64, dtype="float32"),
            prompt=PromptFormat(frames=16, fps=None, image_size={"height": 28, "width": 28}, video_size=None),
            layout=tuple(
                LayerEntry(layer=i, heads=count, head_dim=width) for i, (count, width) in enumerate(sizes)
            ),
        ),
        "Which is larger?",
        [TrainingRow(id=str(i), label=label, sha256=("0" * 64,)) for i, label in enumerate(labels)],
        CREATED,
    )


@cache
def saved(sizes: Sizes) -> dict[str, bytes]:
    """The two files of an artifact."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        save_artifact(make(sizes), folder)
        return {name: (Path(folder) / name).read_bytes() for name in FILES}


def load_changed(folder: Path, **changed: bytes) -> Artifact:
    """What `load_artifact` makes of an artifact of which some bytes were changed."""
    for name, data in saved(ONE_WIDTH).items():
        (folder / name).write_bytes(changed.get(Path(name).stem, data))
    return load_artifact(str(folder))


def manifest_with(**fields: object) -> bytes:
    return json.dumps(json.loads(saved(ONE_WIDTH)["manifest.json"]) | fields).encode()


def tensors_with(**tensors: np.ndarray) -> bytes:
    from safetensors.numpy import load, save

    return save({**load(saved(ONE_WIDTH)["savs.safetensors"]), **tensors})


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "disk" else f"s3://{request.getfixturevalue('bucket')}/artifacts"


@pytest.mark.parametrize("sizes", [ONE_WIDTH, TWO_WIDTHS])
@pytest.mark.parametrize("heads", [1, 6])
def test_what_is_saved_comes_back(place: str, sizes: Sizes, heads: int) -> None:
    artifact = make(sizes, heads)
    save_artifact(artifact, f"{place}/sizes/0001")
    back = load_artifact(f"{place}/sizes/0001")
    assert back.manifest == artifact.manifest
    one, other = back.readout, artifact.readout
    assert (one.mode, one.classes, one.layout) == (other.mode, other.classes, other.layout)
    assert np.array_equal(one.heads, other.heads)
    assert np.array_equal(one.scores, other.scores)
    assert all(np.array_equal(a, b) for a, b in zip(one.centroids, other.centroids, strict=True))


@pytest.mark.parametrize("sizes", [ONE_WIDTH, TWO_WIDTHS])
def test_a_loaded_artifact_answers_as_the_one_that_was_saved(tmp_path: Path, sizes: Sizes) -> None:
    artifact = make(sizes)
    save_artifact(artifact, str(tmp_path))
    corpus = vectors_of(sizes, rows=30, seed=1)
    assert classify(load_artifact(str(tmp_path)).readout, corpus) == classify(artifact.readout, corpus)


@pytest.mark.parametrize("sizes", [ONE_WIDTH, TWO_WIDTHS])
def test_the_same_artifact_is_the_same_bytes_wherever_it_is_saved(
    tmp_path: Path, bucket: str, sizes: Sizes
) -> None:
    places = [str(tmp_path / "one"), str(tmp_path / "other" / "deeper"), f"s3://{bucket}/third"]
    for url in places:
        save_artifact(make(sizes), url)
    for name in FILES:
        assert len({open_store(url).read(name) for url in places}) == 1


def test_the_files_are_what_the_format_says(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    save_artifact(make(ONE_WIDTH, heads=5), str(tmp_path / "one"))
    tensors = load_file(tmp_path / "one" / "savs.safetensors")
    assert {n: (t.shape, str(t.dtype)) for n, t in tensors.items()} == {
        "heads": ((5, 2), "int32"),
        "centroids": ((3, 5, 4), "float32"),
    }
    # heads of several widths: a tensor each, with the ranks that it belongs to
    save_artifact(make(TWO_WIDTHS, heads=6), str(tmp_path / "two"))
    tensors = load_file(tmp_path / "two" / "savs.safetensors")
    assert {n: t.shape for n, t in tensors.items()} == {
        "heads": (6, 2),
        "centroids.4": (3, 4, 4),
        "centroids.6": (3, 2, 6),
        "ranks.4": (4,),
        "ranks.6": (2,),
    }
    manifest = json.loads((tmp_path / "two" / "manifest.json").read_bytes())
    assert manifest["schema_version"] == 2
    assert manifest["classes"] == ["größer", "smaller", "equal"]
    assert manifest["created"] == "2026-05-04T03:02:01Z"


def test_an_artifact_that_is_there_is_not_replaced(place: str) -> None:
    save_artifact(make(heads=5), place)
    before = {name: open_store(place).read(name) for name in FILES}
    save_artifact(make(heads=2), place)
    assert {name: open_store(place).read(name) for name in FILES} == before


def test_tensors_without_a_manifest_are_no_artifact_and_can_be_saved_over(place: str) -> None:
    # given somebody who was stopped before the manifest
    open_store(place).write("savs.safetensors", b"half of it")
    with pytest.raises(ArtifactNotFound):
        load_artifact(place)
    # if it is saved again
    save_artifact(make(), place)
    # then it is whole
    assert load_artifact(place).manifest == make().manifest


def test_an_artifact_that_is_not_there_is_not_found(place: str) -> None:
    with pytest.raises(ArtifactNotFound, match=r"no artifact at .*nothing"):
        load_artifact(f"{place}/nothing")


def test_a_manifest_without_tensors_is_an_error(tmp_path: Path) -> None:
    save_artifact(make(), str(tmp_path))
    (tmp_path / "savs.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"no savs\.safetensors"):
        load_artifact(str(tmp_path))


def test_an_artifact_of_a_newer_schema_asks_for_a_newer_savs(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMismatch, match=r"schema 3; this savs reads schemas up to 2\. Use a newer"):
        load_changed(tmp_path, manifest=manifest_with(schema_version=3, news="unknown here"))


def test_an_artifact_fits_the_model_that_made_it(qwen2: savs.Model) -> None:
    sizes = tuple((layer.heads, layer.head_dim) for layer in qwen2.layout.layers)
    make(sizes, origin=describe(qwen2)).check(qwen2)


def test_an_artifact_of_another_model_is_refused_naming_both(qwen2: savs.Model, qwen2_5: savs.Model) -> None:
    sizes = tuple((layer.heads, layer.head_dim) for layer in qwen2.layout.layers)
    artifact = make(sizes, origin=describe(qwen2))
    with pytest.raises(ArtifactMismatch) as caught:
        artifact.check(qwen2_5)
    for model in (qwen2, qwen2_5):
        assert model.name in str(caught.value)
        assert model.fingerprint[:12] in str(caught.value)


def test_an_artifact_made_with_other_frames_is_refused(qwen2_vl: Path, qwen2: savs.Model) -> None:
    sizes = tuple((layer.heads, layer.head_dim) for layer in qwen2.layout.layers)
    other = savs.load_model(qwen2_vl, device="cpu", sampling=savs.FrameSampling(frames=4))
    with pytest.raises(ArtifactMismatch, match="frames=4"):
        make(sizes, origin=describe(qwen2)).check(other)


@pytest.mark.parametrize(
    "manifest",
    [
        lambda: b"",
        lambda: b"null",
        lambda: b"[]",
        lambda: b"\xff\xfe",
        lambda: b'{"a":' * 100_000,
        lambda: manifest_with(schema_version="1"),
        lambda: manifest_with(schema_version=0),
        lambda: manifest_with(schema_version=None),
        lambda: manifest_with(classes=["alone"]),
        lambda: manifest_with(classes=["one", "two"]),
        lambda: manifest_with(classes=["one", "two", 3]),
        lambda: manifest_with(scores=[]),
        lambda: manifest_with(scores=[10**10] * 6),
        lambda: manifest_with(surprise=1),
        lambda: manifest_with(created="yesterday"),
    ],
)
def test_a_manifest_that_cannot_be_one_is_refused(tmp_path: Path, manifest: Callable[[], bytes]) -> None:
    with pytest.raises(ArtifactError, match=r"not usable|does not match"):
        load_changed(tmp_path, manifest=manifest())


@pytest.mark.timeout(20)
def test_a_manifest_that_speaks_of_a_billion_heads_is_refused_at_once(tmp_path: Path) -> None:
    origin = json.loads(saved(ONE_WIDTH)["manifest.json"])["origin"]
    origin["layout"][0]["heads"] = 10**9
    with pytest.raises(ArtifactError, match="does not match"):
        load_changed(tmp_path, manifest=manifest_with(origin=origin))


@pytest.mark.parametrize(
    "tensors",
    [
        lambda: b"",
        lambda: b"\xff" * 100,
        lambda: saved(ONE_WIDTH)["savs.safetensors"][:-1],
        lambda: tensors_with(heads=np.array([[9, 9]] * 5, dtype=np.int32)),
        lambda: tensors_with(heads=np.array([[0, 0]] * 4, dtype=np.int32)),
        lambda: tensors_with(heads=np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]], dtype=np.int64)),
        lambda: tensors_with(heads=np.zeros((5, 1), dtype=np.int32)),
        lambda: tensors_with(heads=np.zeros((5,), dtype=np.int32)),
        lambda: tensors_with(heads=np.zeros((), dtype=np.int32)),
        lambda: tensors_with(centroids=np.zeros((3, 5, 5), dtype=np.float32)),
        lambda: tensors_with(centroids=np.zeros((2, 5, 4), dtype=np.float32)),
        lambda: tensors_with(centroids=np.zeros((3, 5, 4), dtype=np.float64)),
        lambda: tensors_with(centroids=np.full((3, 5, 4), np.nan, dtype=np.float32)),
        lambda: tensors_with(centroids=np.zeros((3,), dtype=np.float32)),
        lambda: tensors_with(ranks=np.array([0, 1, 2, 3, 99], dtype=np.int32)),
        lambda: tensors_with(ranks=np.array([0, 1, 2, 3, np.inf], dtype=np.float32)),
    ],
)
def test_tensors_that_do_not_fit_their_manifest_are_refused(
    tmp_path: Path, tensors: Callable[[], bytes]
) -> None:
    with pytest.raises(ArtifactError, match=r"not usable|does not match"):
        load_changed(tmp_path, savs=tensors())


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([ONE_WIDTH, TWO_WIDTHS]),
    st.sampled_from(FILES),
    st.lists(
        st.tuples(
            # the ends of both files are where their structure is
            st.integers(0, 400) | st.integers(0, 5000),
            st.sampled_from(["insert", "replace", "delete", "cut"]),
            st.binary(min_size=1, max_size=3) | st.sampled_from([b"9", b"0", b"-", b"[", b'"', b"null"]),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_whatever_the_bytes_hold_it_is_an_artifact_or_an_artifact_error(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: Sizes,
    name: str,
    mutations: list[tuple[int, str, bytes]],
) -> None:
    files = dict(saved(sizes))
    for place, kind, piece in mutations:
        data = files[name]
        at = place % len(data) if data else 0
        files[name] = {
            "insert": data[:at] + piece + data[at:],
            "replace": data[:at] + piece + data[at + len(piece) :],
            "delete": data[:at] + data[at + len(piece) :],
            "cut": data[:at],
        }[kind]
    folder = tmp_path_factory.getbasetemp() / "mutated"
    folder.mkdir(exist_ok=True)
    for each, data in files.items():
        (folder / each).write_bytes(data)
    try:
        artifact = load_artifact(str(folder))
    except ArtifactError as error:
        assert str(error)
    else:
        corpus = HeadVectors(artifact.readout.layout, vectors_of(sizes).values)
        if corpus.layout.width == corpus.values.shape[1]:
            assert len(classify(artifact.readout, corpus)) == 12
