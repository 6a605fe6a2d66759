"""A dataset becomes a manifest once, whoever else writes the same one, and half of one is never trusted."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.records.job import RowOptions
from jobs.submit.manifests import Dataset, bring
from savs.data.readers.delimited import DelimitedReader
from savs.data.readers.reader import Given
from savs.errors import DatasetError, SettingsError
from savs.storage import Store, open_store

ROWS = 30_000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text("image\n" + "".join(f"{n}.jpg\n" for n in range(ROWS)))
    return tmp_path / "rows.csv"


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(tmp_path / "workspace")
    return open_store(f"s3://{request.getfixturevalue('bucket')}/workspace")


def brought(store: Store, data: Path | str, **given: object) -> Dataset:
    return bring(store, str(data), "--data", RowOptions(), Given(**given))  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError("full")])
def test_a_manifest_that_was_interrupted_is_written_again(
    store: Store, data: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    rows = DelimitedReader.rows

    def interrupted(reader: DelimitedReader) -> object:
        for number, row in enumerate(rows(reader)):
            if number == ROWS - 1:
                raise error
            yield row

    with monkeypatch.context() as patch, pytest.raises(BaseException):  # noqa: B017
        patch.setattr(DelimitedReader, "rows", interrupted)
        brought(store, data)
    assert [*store.list("manifests")] == []

    assert f"{ROWS:,} rows" in str(brought(store, data).said)


def test_a_manifest_without_what_was_found_in_it_is_written_again(store: Store, data: Path) -> None:
    first = brought(store, data)
    [told, manifest] = sorted(store.list("manifests"))
    whole = store.read(manifest)
    store.delete(told)
    store.write(manifest, whole[:100])

    assert brought(store, data) == first and store.read(manifest) == whole
    store.delete(manifest)
    assert brought(store, data) == first and store.read(manifest) == whole


def test_several_that_bring_the_same_get_the_same(store: Store, data: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = [*threads.map(lambda _: brought(store, data), range(4))]

    assert len({one.address for one in found}) == 1 and len({one.said for one in found}) == 1
    assert len([*store.list("manifests")]) == 2


def test_what_the_user_says_about_a_dataset_makes_another_manifest(tmp_path: Path, data: Path) -> None:
    store = open_store(tmp_path / "workspace")
    given = [
        {},
        {"base": "/elsewhere"},
        {"columns": {"id": "image", "image": "image"}},
        {"class_names": ("a",)},
    ]

    assert len({brought(store, data, **one).address for one in given}) == len(given)


def test_addresses_may_be_of_files(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    store = open_store(tmp_path / "workspace")

    found = {brought(store, one).address for one in (data, f"file://{data}", "~/rows.csv", "~/r*.csv")}

    assert len(found) <= 2  # a pattern may make another


def test_a_dataset_without_rows_leaves_nothing(store: Store, data: Path) -> None:
    data.write_text("image\n\n\n")

    with pytest.raises(DatasetError, match="has no rows"):
        brought(store, data)
    assert [*store.list("manifests")] == []


@pytest.mark.parametrize("address", ["https://x/y.csv", "ftp://x", "nowhere.csv", "no*where", "a\0b"])
def test_addresses_that_are_none_are_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(SettingsError):
        brought(open_store(tmp_path / "workspace"), address)
