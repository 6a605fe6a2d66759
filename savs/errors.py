"""Every error that savs raises on purpose.

SavsError
├── ManifestError            a manifest cannot be used; lists the rows that are wrong
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
├── FitError                 nothing can be fitted from the vectors and labels
├── ArtifactError
│   ├── ArtifactNotFound
│   └── ArtifactMismatch     a newer schema, or made with another model
├── StorageError             an address cannot be read or written
│   ├── NotFound
│   └── Changed              data has changed since the job was planned
├── JobError
│   ├── JobNotFound
│   ├── ForbiddenAddress     a manifest or artifact is outside a worker's allowed roots
│   ├── JobStopped           its first rows mostly failed
│   ├── BrokerError          Redis does not answer
│   ├── MessageError         a message that workers of this version cannot use
│   └── LedgerError          the ledger contradicts itself
└── SettingsError            an option or a setting cannot be used
"""

from dataclasses import dataclass


class SavsError(Exception):
    """Base of all errors that savs raises on purpose."""


@dataclass(frozen=True)
class BadLine:
    """One unusable line: its number in the file, from 1, and why."""

    line: int
    reason: str


class ManifestError(SavsError):
    """A manifest cannot be used. `lines` holds the first bad lines, `count` the number of all."""

    SHOWN = 20  # bad lines that are listed

    def __init__(self, path: str, lines: list[BadLine], count: int | None = None) -> None:
        self.path, self.lines = path, lines[: self.SHOWN]
        self.count = len(lines) if count is None else count
        listed = "".join(f"\n  {path}:{bad.line}: {bad.reason}" for bad in self.lines)
        more = self.count - len(self.lines)
        super().__init__(
            f"{path}: {self.count} unusable line{'s' if self.count != 1 else ''}; "
            f"correct {'them' if self.count != 1 else 'it'} and submit again{listed}"
            + (f"\n  … and {more} more" if more > 0 else "")
        )


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


class FitError(SavsError):
    """Nothing can be fitted from these vectors and labels."""


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


class MessageError(JobError):
    pass


class SettingsError(SavsError):
    """An option or a setting cannot be used."""
