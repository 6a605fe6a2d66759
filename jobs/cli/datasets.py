"""Options that say what a dataset is, and what commands make of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.option_list import options
from jobs.cli.output.characters import printable

if TYPE_CHECKING:
    from jobs.records.job import RowOptions
    from jobs.submit.manifests import Dataset
    from savs.data.readers.reader import Given
    from savs.storage import Store

dataset_options = options(
    click.option(
        "--format",
        "row_format",
        default="general",
        show_default=True,
        metavar="NAME",
        help="Format of the rows: general, natural_ret, sugarcrepe, camerabench, vizwiz, eurosat, pets, "
        "vlguard, mhalu, blink, mrb or mrb_individual. Or the kind of the dataset, if it is not found out: "
        "jsonl, csv, parquet, webdataset, huggingface or folder.",
    ),
    click.option(
        "--columns",
        metavar="FIELD=COLUMN,…",
        help="Columns of the fields image, label, question and id: image=path,label=class. Default: those "
        "that are called as usual.",
    ),
    click.option("--question", metavar="TEXT", help="Question of rows that have none."),
    click.option(
        "--class-names",
        metavar="FILE",
        help="Names of numeric labels: a file with one name per line, from 0.",
    ),
    click.option(
        "--label-file",
        metavar="FILE",
        help="Labels of tar shards: a CSV or JSONL file with a column __key__.",
    ),
    click.option(
        "--media-root",
        metavar="DIR",
        help="Folder or s3:// address that relative paths start from. Default: the manifest's folder.",
    ),
    click.option(
        "--strip-prefix",
        default="",
        metavar="TEXT",
        help="Prefix removed from paths, which makes them relative.",
    ),
)


@dataclass(frozen=True)
class What:
    """The values of `dataset_options`."""

    row_format: str
    columns: str | None
    question: str | None
    class_names: str | None
    label_file: str | None
    media_root: str | None
    strip_prefix: str

    @classmethod
    def take(cls, given: dict[str, Any]) -> "What":
        """Return the values, which are removed from `given`."""
        return cls(**{name: given.pop(name) for name in cls.__dataclass_fields__})

    @property
    def rows(self) -> "RowOptions":
        """How rows are read. Raises SettingsError if a value cannot be used."""
        from jobs.records.job import RowOptions
        from savs.errors import SettingsError

        if self.question is not None and not self.question.strip():
            raise SettingsError("--question: the question is empty")
        return RowOptions(
            format="general" if self._kind else self.row_format,
            media_root=self.media_root,
            strip_prefix=self.strip_prefix,
            question=self.question,
        )

    @property
    def _kind(self) -> str | None:
        from savs.data.readers.detect import KINDS

        return self.row_format if self.row_format in KINDS else None

    def given(self, labelled: bool) -> "Given":
        """Return what readers are told. Raises SettingsError if a value cannot be used."""
        from savs.data.readers.reader import Given

        return Given(
            kind=self._kind,
            columns=_columns(self.columns),
            class_names=_names(self.class_names),
            sidecar=self.label_file,
            labelled=labelled,
            general=self.rows.format == "general",
        )


def bring_all(
    store: "Store", addresses: Sequence[str], option: str, what: What, told: Callable[[str], None]
) -> "list[Dataset]":
    """Return each dataset as jobs see it; `told` is called with what was found."""
    from jobs.submit.manifests import bring

    brought = []
    for address in addresses:
        found = bring(store, address, option, what.rows, what.given(option == "--train"))
        if found.said is not None:
            told(found.said)
        brought.append(found)
    return brought


def tell(text: str) -> None:
    """Prints what was found, apart from a command's output."""
    click.echo(printable(text), err=True)


def _columns(text: str | None) -> dict[str, str]:
    from savs.errors import SettingsError

    if text is None:
        return {}
    pairs = [part.partition("=") for part in text.split(",")]
    if wrong := ["".join(pair) for pair in pairs if not (pair[0].strip() and pair[2].strip())]:
        raise SettingsError(f"--columns: {wrong[0]!r} is not of the form field=column, as in image=path")
    return {field.strip(): column.strip() for field, _, column in pairs}


def _names(file: str | None) -> tuple[str, ...]:
    from pathlib import Path

    from savs.errors import SettingsError

    if file is None:
        return ()
    try:
        names = [line.strip() for line in Path(file).expanduser().read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeError, RuntimeError) as error:
        raise SettingsError(f"--class-names: {file} cannot be read: {error}") from error
    while names and not names[-1]:
        names.pop()
    if not names or "" in names or len(set(names)) < len(names):
        raise SettingsError(f"--class-names: {file} must have one name per line, each once")
    return tuple(names)
