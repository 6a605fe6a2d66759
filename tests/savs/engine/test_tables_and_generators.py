"""What `extract` takes beside lists: tables, and generators, which are read while the model runs."""

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import savs
from tests.savs.data.drawing import noise

ASK = {"question": "What is it?"}


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """Paths of three pictures."""
    paths = [str(tmp_path / f"{n}.png") for n in range(3)]
    for seed, path in enumerate(paths):
        noise(28, 28, seed).save(path)
    return paths


@dataclass
class OtherTable:
    """A table of a library that has the methods of polars."""

    rows: list[dict[str, Any]]

    @property
    def columns(self) -> list[str]:
        return list(self.rows[0])

    def to_dicts(self) -> list[dict[str, Any]]:
        return self.rows


@pytest.mark.parametrize("kind", ["pandas", "Arrow", "other"])
def test_a_table_is_read_like_the_rows_of_a_manifest(
    qwen2: savs.Model, pictures: list[str], kind: str
) -> None:
    rows = [
        {"id": 10 * n, "image": path, "label": label, "question": question, "camera": n}
        for n, (path, label, question) in enumerate(
            zip(pictures, ["cat", None, "dog"], [None, "Which?", None], strict=True)
        )
    ]
    table: Any = {
        "pandas": pd.DataFrame(rows),
        "Arrow": pa.Table.from_pylist(rows),
        "other": OtherTable(rows),
    }[kind]

    found = savs.extract(qwen2, table, **ASK)

    expected = savs.extract(qwen2, [{k: v for k, v in row.items() if v is not None} for row in rows], **ASK)
    assert found.samples == expected.samples and not found.errors
    assert [s.label for s in found.samples] == ["cat", None, "dog"]
    assert [s.id for s in found.samples] == ["0", "10", "20"]
    assert found.samples[1].question == "Which?" and found.samples[2].extra == {"camera": 2}
    assert np.array_equal(found.vectors.values, expected.vectors.values)


def test_a_row_of_a_table_without_its_image_costs_only_itself(qwen2: savs.Model, pictures: list[str]) -> None:
    table = pd.DataFrame({"image": [pictures[0], None, pictures[2]], "id": ["a", "b", "c"]}, index=[7, 8, 9])

    found = savs.extract(qwen2, table, **ASK)

    assert [s.id for s in found.samples] == ["a", "c"] and found.asked[1].id == "b"
    assert {n: str(error) for n, error in found.errors.items()} == {1: "'image' is missing"}


def test_cells_may_be_pictures_arrays_and_lists_of_them(qwen2: savs.Model, pictures: list[str]) -> None:
    image = noise(28, 28)
    cells = [image, np.asarray(image), [image, pictures[0]], np.array([pictures[0]], object)]

    found = savs.extract(qwen2, pd.DataFrame({"image": pd.Series(cells, dtype=object)}), **ASK)

    assert not found.errors and [len(s.media) for s in found.samples] == [1, 1, 2, 1]
    assert np.allclose(found.vectors.values[0], found.vectors.values[1], atol=1e-4)
    assert np.allclose(found.vectors.values[0], found.vectors.values[3], atol=1e-4)


@pytest.mark.parametrize("column", [pd.Series, pd.array, np.array, lambda paths: np.array(paths, object)])
def test_a_column_of_a_table_is_a_list_of_paths(
    qwen2: savs.Model, pictures: list[str], column: Callable[[list[str]], Any]
) -> None:
    found = savs.extract(qwen2, column(pictures), **ASK)

    assert [s.media for s in found.samples] == [(path,) for path in pictures]


def test_the_model_runs_before_a_generator_has_ended(qwen2: savs.Model) -> None:
    given, seen, total = 0, [], 3000

    def questions() -> Iterator[dict[str, str]]:
        nonlocal given
        for number in range(total):
            given += 1
            yield {"question": f"{number % 7}?"}

    hook = qwen2.network.model.register_forward_pre_hook(lambda *_: seen.append(given))
    try:
        found = savs.extract(qwen2, questions())
    finally:
        hook.remove()

    assert len(found.samples) == len(found.vectors) == total == given
    assert seen[0] < total and sorted(set(seen)) == list(dict.fromkeys(seen))
    assert [s.question for s in found.samples[:8]] == [f"{n % 7}?" for n in range(8)]


def test_pictures_of_a_generator_are_freed_and_give_the_vectors_of_a_list(qwen2: savs.Model) -> None:
    pixels = [np.asarray(noise(28, 28, seed)) for seed in range(6)]
    alive: list[weakref.ref[np.ndarray]] = []

    def images() -> Iterator[np.ndarray]:
        for one in pixels:
            image = one.copy()
            alive.append(weakref.ref(image))
            yield image

    listed = savs.extract(qwen2, pixels, **ASK)
    found = savs.extract(qwen2, images(), **ASK)

    gc.collect()
    assert [ref() for ref in alive] == [None] * 6
    assert np.array_equal(found.vectors.values, listed.vectors.values)


def test_a_generator_of_samples_keeps_their_indices(qwen2: savs.Model, pictures: list[str]) -> None:
    samples = [savs.Sample(7 - n, f"n{n}", (path,)) for n, path in enumerate([*pictures, "gone.png"])]

    found = savs.extract(qwen2, iter(samples), **ASK)

    assert [s.index for s in found.samples] == [7, 6, 5] and list(found.errors) == [4]


def test_what_a_generator_raises_reaches_the_caller(qwen2: savs.Model) -> None:
    def images() -> Iterator[str]:
        yield "a.png"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        savs.extract(qwen2, images(), **ASK)


@pytest.mark.parametrize(("progress", "shown"), [(None, False), (False, False), (True, True)])
def test_progress_is_shown_where_it_is_wanted(
    qwen2: savs.Model, pictures: list[str], capsys: pytest.CaptureFixture[str], progress: bool, shown: bool
) -> None:
    savs.extract(qwen2, [*pictures, "gone.png"], progress=progress, **ASK)

    out, err = capsys.readouterr()
    assert ("4/4" in err) is shown and not out and (shown or not err)


def test_progress_is_shown_on_a_terminal(
    qwen2: savs.Model,
    pictures: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes standard error for a terminal

    savs.extract(qwen2, (path for path in pictures), **ASK)

    assert "3/?" in capsys.readouterr().err


def test_ids_that_pandas_has_made_floats_are_whole_numbers(qwen2: savs.Model, pictures: list[str]) -> None:
    table = pd.DataFrame({"image": pictures, "id": [10, None, 30]})  # a missing one makes floats of all
    assert table["id"].dtype == "float64"

    found = savs.extract(qwen2, table, **ASK)

    assert [s.id for s in found.samples] == ["10", "1", "30"]


@pytest.mark.parametrize("dtype", [object, str])
def test_a_cell_may_hold_an_array_of_paths(qwen2: savs.Model, pictures: list[str], dtype: type) -> None:
    table = pd.DataFrame({"image": [np.array(pictures[:2], dtype), np.array(pictures[2:], dtype)]})

    found = savs.extract(qwen2, table, **ASK)

    assert [s.media for s in found.samples] == [tuple(pictures[:2]), tuple(pictures[2:])]


def test_an_array_of_arrow_is_a_list(qwen2: savs.Model, pictures: list[str]) -> None:
    for paths in (pa.array(pictures), pa.chunked_array([pictures])):
        assert [s.media for s in savs.extract(qwen2, paths, **ASK).samples] == [(one,) for one in pictures]
