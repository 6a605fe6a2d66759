"""Artifacts of linear readouts with the vectors of their examples, and those of schema 1."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from savs.artifact.artifact import (
    SHOWN,
    Artifact,
    ExampleMedia,
    StoredExamples,
    load_artifact,
    load_examples,
    make_artifact,
    save_artifact,
)
from savs.engine.vectors import vectors_to_bytes
from savs.errors import ArtifactError, ArtifactNotFound
from savs.readout.choice import Asked, fit_readout
from savs.readout.classify import classify
from savs.readout.linear import LinearReadout
from tests.savs.data.drawing import head_vectors
from tests.savs.readout.test_artifact import ONE_WIDTH, TWO_WIDTHS, Sizes, make, vectors_of

LABELS = ["größer", "smaller", "equal"] * 4
FILES = ("manifest.json", "savs.safetensors", "examples.safetensors")
KEPT = Path(__file__).parents[2] / "data" / "workspace-0.1.0" / "bucket" / "work" / "artifacts"


def linear(
    sizes: Sizes = TWO_WIDTHS, asked: Asked = "ridge", seed: int = 0, labels: list[str] = LABELS
) -> Artifact:
    """An artifact of schema 2 with its examples."""
    vectors, plain = vectors_of(sizes, seed=seed), make(sizes)
    fitted = fit_readout(vectors, labels, asked, unlabelled=vectors_of(sizes, rows=200, seed=7))
    shown = tuple(ExampleMedia(media=(f"{i}.png",), question="Which ist größer?") for i in range(12))
    of = plain.manifest
    return make_artifact(
        "sizes",
        "0002",
        fitted.readout,
        of.origin,
        of.question,
        [row.model_copy(update={"label": label}) for row, label in zip(of.training, labels, strict=True)],
        of.created,
        fitted,
        StoredExamples(vectors, shown),
    )


@cache
def saved() -> dict[str, bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        save_artifact(linear(), folder)
        return {name: (Path(folder) / name).read_bytes() for name in FILES}


def written(folder: Path, **changed: bytes | None) -> str:
    """The folder of an artifact of which some files have other bytes, or are missing."""
    for name, data in saved().items():
        now = changed.get(Path(name).stem, data)
        if now is not None:
            (folder / name).write_bytes(now)
    return str(folder)


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "disk" else f"s3://{request.getfixturevalue('bucket')}/artifacts"


@pytest.mark.parametrize("asked", ["reference", "ridge", "corpus"])
@pytest.mark.parametrize("sizes", [ONE_WIDTH, TWO_WIDTHS])
def test_what_is_saved_comes_back_with_its_examples(place: str, asked: Asked, sizes: Sizes) -> None:
    artifact = linear(sizes, asked)

    save_artifact(artifact, f"{place}/sizes/0002")
    back = load_examples(f"{place}/sizes/0002")

    assert back.manifest == artifact.manifest
    assert (back.manifest.schema_version, back.manifest.stored_vectors) == (2, "float16")
    assert back.manifest.choice is not None and back.manifest.choice.chosen == asked
    assert back.readout.mode == asked
    assert back.examples is not None and artifact.examples is not None
    assert back.examples.shown == artifact.examples.shown
    assert back.examples.vectors.layout == artifact.examples.vectors.layout
    assert np.allclose(back.examples.vectors.values, artifact.examples.vectors.values, atol=3e-3)
    corpus = vectors_of(sizes, rows=30, seed=1)
    assert classify(back.readout, corpus) == classify(artifact.readout, corpus)


def test_an_artifact_is_loaded_without_its_examples_unless_they_are_asked_for(tmp_path: Path) -> None:
    url = written(tmp_path, examples=None)

    assert load_artifact(url).examples is None


def test_the_same_artifact_is_the_same_bytes_wherever_it_is_saved(tmp_path: Path) -> None:
    for name in ("one", "other"):
        save_artifact(linear(), str(tmp_path / name))

    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@pytest.mark.parametrize("folder", [p.parent.relative_to(KEPT) for p in sorted(KEPT.rglob("manifest.json"))])
def test_an_artifact_of_schema_1_is_loaded_and_has_no_examples(folder: Path) -> None:
    found = load_artifact(str(KEPT / folder))

    of = found.manifest
    assert (of.schema_version, of.choice, of.suspects, of.stored_vectors) == (1, None, (), None)
    assert found.readout.mode == "reference" and found.readout.classes == of.classes
    with pytest.raises(ArtifactError, match="has no vectors of its examples: extract it again"):
        load_examples(str(KEPT / folder))


def test_there_is_an_artifact_of_schema_1_to_load() -> None:
    assert len(list(KEPT.rglob("manifest.json"))) == 3


def test_an_artifact_that_is_not_there_has_no_examples(place: str) -> None:
    with pytest.raises(ArtifactNotFound, match="no artifact at"):
        load_examples(f"{place}/nothing")


def test_a_manifest_that_speaks_of_examples_without_their_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"has a manifest but no examples\.safetensors"):
        load_examples(written(tmp_path, examples=None))


def examples_with(rows: int = 12, sizes: Sizes = TWO_WIDTHS, shown: str | None = None) -> bytes:
    some = SHOWN.dump_json([ExampleMedia(media=(), question=None)] * rows).decode()
    return vectors_to_bytes(vectors_of(sizes, rows), {"examples": some if shown is None else shown})


@pytest.mark.parametrize(
    "data",
    [
        lambda: b"",
        lambda: saved()["examples.safetensors"][:-1],
        lambda: saved()["savs.safetensors"],
        lambda: examples_with(rows=11),
        lambda: examples_with(sizes=ONE_WIDTH),
        lambda: examples_with(shown="[]"),
        lambda: examples_with(shown="[" * 100_000),
        lambda: examples_with(shown='[{"media": "secret"}]'),
        lambda: vectors_to_bytes(vectors_of(TWO_WIDTHS)),
    ],
)
def test_examples_that_do_not_fit_are_refused_and_not_quoted(
    tmp_path: Path, data: Callable[[], bytes]
) -> None:
    with pytest.raises(ArtifactError, match=r"is not a file|is not usable|does not match") as caught:
        load_examples(written(tmp_path, examples=data()))
    assert "secret" not in str(caught.value)
    assert load_artifact(str(tmp_path)).readout.mode == "ridge"  # which does not need them


@pytest.mark.parametrize(
    "other",
    [
        lambda: linear(labels=["other", "smaller", "equal"] * 4),
        lambda: linear(labels=["smaller", "größer", "equal"] * 4),
        lambda: linear(sizes=ONE_WIDTH),
        lambda: linear(asked="corpus"),
        lambda: linear(asked="reference"),
    ],
)
def test_the_readout_of_another_artifact_is_refused(tmp_path: Path, other: Callable[[], Artifact]) -> None:
    save_artifact(other(), str(tmp_path / "other"))
    (tmp_path / "this").mkdir()

    with pytest.raises(ArtifactError, match=r"savs\.safetensors (does not match|is not a linear readout)"):
        load_artifact(written(tmp_path / "this", savs=(tmp_path / "other" / "savs.safetensors").read_bytes()))


def test_a_vote_is_not_read_from_a_linear_readout(tmp_path: Path) -> None:
    save_artifact(make(TWO_WIDTHS), str(tmp_path))
    (tmp_path / "savs.safetensors").write_bytes(saved()["savs.safetensors"])

    with pytest.raises(ArtifactError, match=r"savs\.safetensors does not match its manifest"):
        load_artifact(str(tmp_path))


def test_a_linear_readout_without_its_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="not a linear readout"):
        load_artifact(written(tmp_path, savs=save(load(saved()["savs.safetensors"]))))


def test_an_artifact_of_a_readout_alone_has_neither_choice_nor_examples(tmp_path: Path) -> None:
    full = linear()
    of = full.manifest
    artifact = make_artifact("sizes", "0002", full.readout, of.origin, None, list(of.training), of.created)

    save_artifact(artifact, str(tmp_path))
    back = load_artifact(str(tmp_path))

    assert isinstance(back.readout, LinearReadout)
    assert (back.manifest.choice, back.manifest.stored_vectors, back.manifest.scores) == (None, None, ())
    assert not (tmp_path / "examples.safetensors").exists()


def test_a_readout_of_other_heads_than_the_model_of_its_manifest_is_refused(tmp_path: Path) -> None:
    full = linear()
    vectors = head_vectors(np.zeros((1, 26)), (3, 4), (2, 5), (1, 4))  # heads that are narrower
    layout = vectors.layout
    weights = full.readout.weights[: layout.width]  # type: ignore[union-attr]
    order = np.array(layout.heads(), np.int32)
    other = replace(full.readout, layout=layout, heads=order, weights=weights)
    other.save(tmp_path / "other")

    with pytest.raises(ArtifactError, match="does not match its manifest"):
        load_artifact(written(tmp_path, savs=(tmp_path / "other").read_bytes()))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(FILES),
    st.lists(
        st.tuples(
            st.integers(0, 400) | st.integers(0, 5000),
            st.sampled_from(["insert", "replace", "delete", "cut"]),
            st.binary(min_size=1, max_size=3) | st.sampled_from([b"9", b"0", b"-", b"[", b'"', b"null"]),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_whatever_the_bytes_hold_it_is_an_artifact_or_an_artifact_error(
    tmp_path_factory: pytest.TempPathFactory, name: str, mutations: list[tuple[int, str, bytes]]
) -> None:
    files = dict(saved())
    for where, kind, piece in mutations:
        data = files[name]
        at = where % len(data) if data else 0
        files[name] = {
            "insert": data[:at] + piece + data[at:],
            "replace": data[:at] + piece + data[at + len(piece) :],
            "delete": data[:at] + data[at + len(piece) :],
            "cut": data[:at],
        }[kind]
    folder = tmp_path_factory.getbasetemp() / "mutated-linear"
    folder.mkdir(exist_ok=True)
    for each, data in files.items():
        (folder / each).write_bytes(data)
    try:
        artifact = load_examples(str(folder))
    except ArtifactError as error:
        assert str(error)
    else:
        assert artifact.examples is not None
        corpus = vectors_of(TWO_WIDTHS)
        if corpus.layout == artifact.readout.layout:
            assert all(0 <= answer.confidence <= 1 for answer in classify(artifact.readout, corpus))
