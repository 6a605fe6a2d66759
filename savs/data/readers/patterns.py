"""Addresses with braces or a glob, which stand for several files."""

import re

from savs.errors import NotFound, SettingsError
from savs.storage import open_store

BRACES = re.compile(r"\{([^{}]*(?:\.\.|,)[^{}]*)\}")
PATTERN = re.compile(rf"[*?]|{BRACES.pattern}")
MOST_FILES = 100_000  # that braces stand for


def expand(pattern: str) -> list[str]:
    """Return the addresses of a pattern with braces ({000..127}, {a,b}) or a glob (*, ?) in its last part.
    Raises NotFound if a glob matches nothing, and SettingsError if braces count down, or to too many."""
    from fnmatch import fnmatchcase

    folder, _, name = pattern.rpartition("/")
    names = _braces(name)
    if not any(set("*?") & set(one) for one in names):
        return [f"{folder}/{one}" for one in names]
    there = [*open_store(folder).files("")]
    found = sorted({file for one in names for file in there if fnmatchcase(file, one)})
    if not found:
        raise NotFound(f"{pattern} matches none of the {len(there)} files in {folder}")
    return [f"{folder}/{one}" for one in found]


def _braces(name: str) -> list[str]:
    found = BRACES.search(name)
    if found is None:
        return [name]
    numbers = re.fullmatch(r"([0-9]+)\.\.([0-9]+)", found[1])
    if numbers:
        width = len(numbers[1])
        if max(width, len(numbers[2])) > 9 or not 0 <= int(numbers[2]) - int(numbers[1]) < MOST_FILES:
            raise SettingsError(
                f"{found[0]} must count up, as in {{000..127}}, and to less than {MOST_FILES:,} files"
            )
        parts = [f"{n:0{width}d}" for n in range(int(numbers[1]), int(numbers[2]) + 1)]
    else:
        parts = found[1].split(",")
    names: list[str] = []
    for part in parts:
        names += _braces(name[: found.start()] + part + name[found.end() :])
        if len(names) > MOST_FILES:
            raise SettingsError(f"{name} stands for more than {MOST_FILES:,} files")
    return names
