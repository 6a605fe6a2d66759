"""Every error that savs raises on purpose.

SavsError
├── ManifestError            a manifest cannot be used; lists the rows that are wrong
├── DatasetError             what is to become a manifest cannot be read to its end
├── ItemError                one item cannot be labelled; becomes the `error` of its row
│   ├── BadRow               its line of the manifest is not a sample
│   ├── MissingMedia         a file does not exist
│   ├── ForbiddenMedia       a file is outside a worker's allowed roots, or not on the public web
│   ├── UnreadableMedia      a file is not an image or video, or cannot be fetched
│   ├── MediaTooLarge        a file exceeds a limit of size, pixels or frames
│   ├── NoVideoSupport       this machine has no video decoder
│   ├── NoQuestion           neither the row nor an artifact has a question
│   ├── ItemTooLong          more tokens than the model's context
│   ├── UnusablePrompt       the model's processor refuses the item
│   └── UnusableVectors      the model returned NaN or infinity
├── ModelError
│   ├── ModelNotFound        no such folder, alias or hub id
│   └── UnsupportedModel     no readable heads, an encoder-decoder, no pixel budget, or a failed self-test
├── FitError                 nothing can be fitted from the vectors and labels; also a ValueError
│   └── UnfittableType       vectors, labels or a readout of another type; also a TypeError
├── ArtifactError
│   ├── ArtifactNotFound
│   └── ArtifactMismatch     a newer schema, or made with another model
├── StorageError             an address cannot be read or written
│   ├── NotFound
│   ├── OutsideLink          a link leads out of the folder, or the roots, that may be read
│   └── Changed              data has changed since the job was planned
├── JobError
│   ├── JobNotFound
│   ├── ForbiddenAddress     a manifest or artifact is outside a worker's allowed roots
│   ├── JobStopped           its first rows mostly failed
│   ├── BrokerError          Redis does not answer
│   ├── MessageError         a message that workers of this version cannot use
│   └── LedgerError          the ledger contradicts itself
└── SettingsError            an option, a setting or an argument cannot be used
    ├── WrongType            an argument of another type; also a TypeError
    ├── WrongValue           an argument of another value; also a ValueError
    └── NotInstalled         a package that is not among savs' own requirements; also an ImportError
"""

import re
from collections.abc import Container
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pydantic import ValidationError


class SavsError(Exception):
    """Base of all errors that savs raises on purpose."""


@dataclass(frozen=True)
class BadLine:
    """An unusable line: its number in the file, from 1, and why.

    count, also  how many lines have the same cause, and the numbers of the next few after this one
    """

    ALSO: ClassVar = 3

    line: int
    reason: str
    count: int = 1
    also: tuple[int, ...] = ()


def add_cause(causes: dict[str, BadLine], bad: BadLine) -> None:
    """Count `bad` with the lines of the same cause, whose reasons differ at most in their numbers. Of more
    than `ManifestError.SHOWN` causes, the later ones are left out."""
    cause = re.sub(r"[0-9]+", "0", bad.reason)
    if (first := causes.get(cause)) is not None:
        also = (*first.also, bad.line, *bad.also)[: BadLine.ALSO]
        causes[cause] = replace(first, count=first.count + bad.count, also=also)
    elif len(causes) < ManifestError.SHOWN:
        causes[cause] = bad


class ManifestError(SavsError):
    """A manifest cannot be used.

    lines  the first line of each cause, of at most SHOWN causes
    count  number of all unusable lines
    """

    SHOWN = 20  # causes that are listed

    def __init__(
        self, path: str, lines: list[BadLine], count: int | None = None, rows: int | None = None
    ) -> None:
        causes: dict[str, BadLine] = {}
        for bad in lines:
            add_cause(causes, bad)
        self.path, self.lines = path, list(causes.values())
        self.count = sum(bad.count for bad in lines) if count is None else count
        if self.count == rows:
            said = (
                f"none of its {rows} lines can be used" if rows != 1 else "its only line cannot be used"
            ) + "; a manifest has a JSON object per line, or is one JSON list of objects"
        else:
            several = self.count != 1
            said = (
                f"{self.count} unusable line{'s' if several else ''}; "
                f"correct {'them' if several else 'it'} and submit again"
            )
        more = self.count - sum(bad.count for bad in self.lines)
        super().__init__(
            "\n  ".join([f"{path}: {said}", *(f"{path}:{told(bad)}" for bad in self.lines)])
            + (f"\n  … and {more} more" if more > 0 else "")
        )


def told(bad: BadLine) -> str:
    """For example "3: 'image' is missing (also in lines 4, 5, 7 and 12 more)"."""
    if not bad.also:
        return f"{bad.line}: {bad.reason}"
    also = f"line{'s' if bad.also[1:] else ''} {', '.join(map(str, bad.also))}"
    more = bad.count - 1 - len(bad.also)
    return f"{bad.line}: {bad.reason} (also in {also}{f' and {more} more' if more else ''})"


class DatasetError(SavsError):
    """A file or folder that is to become a manifest cannot be read to its end, or holds no rows."""


class ItemError(SavsError):
    """One item cannot be labelled. `kind` is the word in the row's `error`."""

    kind = "item"


class BadRow(ItemError):
    kind = "bad_row"


class MissingMedia(ItemError):
    kind = "missing_media"


class ForbiddenMedia(ItemError):
    kind = "forbidden_media"


class UnreadableMedia(ItemError):
    kind = "unreadable_media"


class MediaTooLarge(ItemError):
    kind = "media_too_large"


class NoVideoSupport(ItemError):
    kind = "no_video_support"


class NoQuestion(ItemError):
    kind = "no_question"


IN_MANIFEST = (BadRow.kind, NoQuestion.kind)  # the manifest has to be corrected, which makes another job


class ItemTooLong(ItemError):
    kind = "item_too_long"


class UnusablePrompt(ItemError):
    kind = "unusable_prompt"


class UnusableVectors(ItemError):
    kind = "unusable_vectors"


class ModelError(SavsError):
    """A model cannot be used."""


class ModelNotFound(ModelError):
    pass


class UnsupportedModel(ModelError):
    pass


class FitError(SavsError, ValueError):
    """Nothing can be fitted from these vectors and labels."""


class UnfittableType(FitError, TypeError):
    """Vectors, labels or a readout are of a type that cannot be used."""


class ArtifactError(SavsError):
    """An artifact cannot be used."""


class ArtifactNotFound(ArtifactError):
    pass


class ArtifactMismatch(ArtifactError):
    pass


class StorageError(SavsError):
    """An address cannot be read or written."""


class NotFound(StorageError):
    pass


class OutsideLink(StorageError):
    pass


class Changed(StorageError):
    pass


class JobError(SavsError):
    """A job cannot be run."""


class JobNotFound(JobError):
    pass


class JobStopped(JobError):
    pass


class ForbiddenAddress(JobError):
    pass


class BrokerError(JobError):
    pass


class LedgerError(JobError):
    pass


class NewerLedger(LedgerError):
    """An object of the ledger was written by a newer savs, which may go on with it."""


class MessageError(JobError):
    pass


class SettingsError(SavsError):
    """An option, a setting or an argument cannot be used."""


class WrongType(SettingsError, TypeError):
    """An argument is of a type that cannot be used."""


class WrongValue(SettingsError, ValueError):
    """An argument has a value that cannot be used."""


class NotInstalled(SettingsError, ImportError):
    """A package is needed that is not installed."""


UNQUOTED = {
    "extra_forbidden": "it has a field that is not known",
    "union_tag_invalid": "its kind is not known",
}


def why_invalid(error: Exception, fields: Container[str] = ()) -> str:
    """Return why a file is not valid, for example "classes: Field required". Nothing in the file is quoted,
    since a link may have led to one that the reader of the message must not see.

    error   pydantic's ValidationError, or one of reading JSON
    fields  that the file may have
    """
    if not hasattr(error, "errors"):
        return type(error).__name__ if isinstance(error, UnicodeError | RecursionError) else str(error)
    wrong: ValidationError = error  # type: ignore[assignment]
    first, *more = wrong.errors(include_url=False, include_input=False, include_context=False)
    place = first["loc"][0] if first["loc"] and first["type"] not in UNQUOTED else None
    said = UNQUOTED.get(first["type"], first["msg"])
    counted = f" (and {len(more)} more)" if more else ""
    return f"{place}: {said}{counted}" if place in fields else f"{said}{counted}"
