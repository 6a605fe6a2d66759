"""Splits: a training file and a corpus each, that are run under one name and scored side by side.

A split is fitted and labelled by jobs of its own, named `<name>.<split>`; their specs say of which name
they are a split, so that a command which is given the name finds them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.paths import check_path, resolve_address
from jobs.records.job import NAME
from savs.errors import SettingsError
from savs.storage import join, open_parent, open_store

SUFFIXES = (".json", ".jsonl")  # of the files in a folder that are manifests


@dataclass(frozen=True)
class Split:
    """Addresses of two manifests. `name` is None where there is nothing to tell apart."""

    name: str | None
    train: str
    data: str


def splits_of(train: str | None, data: str | None, given: Sequence[tuple[str, str, str]]) -> list[Split]:
    """What is to be run: the splits that are `given` as (name, train, data), those of two folders, or
    the two files. Raises SettingsError."""
    if given:
        if train is not None or data is not None:
            raise SettingsError("--split names its files itself; leave out --train and --data")
        twice = sorted({name for name, *_ in given if sum(name == other for other, *_ in given) > 1})
        if twice:
            raise SettingsError(f"--split: given more than once: {', '.join(twice)}")
        return [Split(_checked(name, "--split"), *files) for name, *files in given]
    if train is None or data is None:
        raise SettingsError("give --train and --data, or --split NAME TRAIN DATA for each split")
    folders = [is_folder(url) for url in (train, data)]
    if not any(folders):
        return [Split(None, train, data)]
    if not all(folders):
        folder, file = (f"--train: {train}", "--data") if folders[0] else (f"--data: {data}", "--train")
        raise SettingsError(
            f"{folder} is a folder and {file} is none; give two files, or two folders in which files of the "
            "same name are a split"
        )
    first, second = (_manifests(url, option) for url, option in ((train, "--train"), (data, "--data")))
    alone = [first.get(name) or second[name] for name in sorted(first.keys() ^ second.keys())]
    if alone:
        raise SettingsError(
            f"files of the same name in --train and --data are a split; only one of them has: "
            f"{', '.join(alone)}"
        )
    return [Split(_checked(name, first[name]), first[name], second[name]) for name in sorted(first)]


def manifests_of(url: str, option: str) -> list[str]:
    """The manifests in the folder at `url`, or `url` itself where it is none."""
    return sorted(_manifests(url, option).values()) if is_folder(url) else [url]


def is_folder(url: str) -> bool:
    """Whether `url` is a local folder, or a prefix of a bucket right below which objects lie."""
    if not url.startswith("s3://"):
        return "://" not in url and check_path(Path(url).expanduser().is_dir)
    if url.endswith("/"):
        return True
    store, key = open_parent(url)
    return not store.exists(key) and any(True for _ in open_store(url).files(""))


def _manifests(url: str, option: str) -> dict[str, str]:
    """Name of the split → address of the manifest, of all in a folder. Raises SettingsError."""
    folder = resolve_address(url).rstrip("/")
    found: dict[str, str] = {}
    for file in open_store(folder).files(""):
        stem, dot, suffix = file.rpartition(".")
        if not stem or stem.startswith(".") or dot + suffix.lower() not in SUFFIXES:
            continue
        if stem in found:
            raise SettingsError(f"{option}: {found[stem]} and {join(folder, file)} are the same split")
        found[stem] = join(folder, file)
    if not found:
        raise SettingsError(f"{option}: {url} is a folder without .json or .jsonl files")
    return found


def stems_of(urls: Sequence[str], option: str) -> list[str]:
    """What tells manifests apart: the names of their files. Raises SettingsError where it does not."""
    stems = [
        _checked(resolve_address(url).rstrip("/").rpartition("/")[2].partition(".")[0], url) for url in urls
    ]
    if twice := [stem for stem in stems if stems.count(stem) > 1]:
        raise SettingsError(
            f"{option}: two files are called {twice[0]!r}, and so would be their artifacts; rename one, or "
            "submit them one by one"
        )
    return stems


def _checked(split: str, where: str) -> str:
    if not NAME.fullmatch(split):
        raise SettingsError(
            f"{where}: {split!r} cannot name a split: use letters, digits, '.', '_' and '-', beginning "
            "with a letter or digit. Rename the file, or use --split NAME TRAIN DATA"
        )
    return split
