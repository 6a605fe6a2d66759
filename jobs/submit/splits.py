"""Splits: pairs of a training file and a corpus that are run under one name and scored side by side.

A split is fitted and labelled by jobs of its own, named `<name>.<split>`. Their specs hold the split, so
that a command that is given the name finds them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.paths import check_path, resolve_address
from jobs.records.job import NAME
from savs.errors import SettingsError
from savs.storage import join, open_parent, open_store, without_scheme

SUFFIXES = (".json", ".jsonl")  # of manifests in a folder


@dataclass(frozen=True)
class Split:
    """Addresses of two manifests. `name` is None if there is only one split."""

    name: str | None
    train: str
    data: str


def splits_of(train: str | None, data: str | None, given: Sequence[tuple[str, str, str]]) -> list[Split]:
    """Return the splits to run: those that are `given` as (name, train, data), those of two folders, or
    the two files as one. Raises SettingsError."""
    if given:
        if train is not None or data is not None:
            raise SettingsError("--split already names the files; leave out --train and --data")
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
            f"{folder} is a folder and {file} is not; give two files, or two folders in which files of the "
            "same name form a split"
        )
    first, second = (_manifests(url, option) for url, option in ((train, "--train"), (data, "--data")))
    alone = [first.get(name) or second[name] for name in sorted(first.keys() ^ second.keys())]
    if alone:
        raise SettingsError(
            f"files of the same name in --train and --data form a split; only one of the folders has: "
            f"{', '.join(alone)}"
        )
    return [Split(_checked(name, first[name]), first[name], second[name]) for name in sorted(first)]


def tasks_of(stems: Sequence[str], train: Sequence[str], data: str | None) -> list[Split]:
    """Return a split for each of several training files, all on the same corpus. Raises SettingsError."""
    if data is None:
        raise SettingsError("give --data, the corpus that all --train files are tasks of")
    if folders := [url for url in (*train, data) if is_folder(url)]:
        raise SettingsError(
            f"{folders[0]} is a folder of manifests; with several --train, each and --data are one dataset"
        )
    return [Split(stem, one, data) for stem, one in zip(stems, train, strict=True)]


def manifests_of(url: str, option: str) -> list[str]:
    """Return the manifests in the folder at `url`, or `url` itself if it is not a folder."""
    return sorted(_manifests(url, option).values()) if is_folder(url) else [url]


def is_folder(url: str) -> bool:
    """Return whether `url` is a local folder, or a prefix of a bucket with objects directly below it."""
    url = without_scheme(url)
    if not url.startswith("s3://"):
        return "://" not in url and check_path(lambda: Path(url).expanduser().is_dir())
    if url.endswith("/"):
        return True
    store, key = open_parent(url)
    return not store.exists(key) and any(True for _ in open_store(url).files(""))


def _manifests(url: str, option: str) -> dict[str, str]:
    """Return split name → manifest address for all manifests in a folder. Raises SettingsError."""
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
    """Return the file names of manifests, without suffix. Raises SettingsError if two are equal."""
    stems = [
        _checked(resolve_address(url).rstrip("/").rpartition("/")[2].partition(".")[0], url) for url in urls
    ]
    if twice := [stem for stem in stems if stems.count(stem) > 1]:
        raise SettingsError(
            f"{option}: two files are called {twice[0]!r}, so their artifacts would have the same name; "
            "rename one, or submit them one by one"
        )
    return stems


def _checked(split: str, where: str) -> str:
    if not NAME.fullmatch(split):
        raise SettingsError(
            f"{where}: {split!r} cannot name a split: use letters, digits, '.', '_' and '-', beginning "
            "with a letter or digit. Rename the file, or use --split NAME TRAIN DATA"
        )
    return split
