"""Finds artifacts by name or address, without loading a model."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs.ledger.ledger import Ledger
from jobs.ledger.prefetch import prefetch
from jobs.paths import check_path
from jobs.records.job import NAME, VERSION
from savs.errors import ArtifactError, ArtifactNotFound, NotFound, SavsError, StorageError, why_invalid
from savs.storage import join, open_store


@dataclass(frozen=True)
class ArtifactCard:
    """What an artifact's manifest says of it.

    model, fingerprint  the model that made it
    classes             and the number of examples of each
    question            of rows that have none; None if it was fitted on several
    choice, suspects    as in `savs.artifact.manifest`; a suspect also has its example's id
    stored              whether it has the vectors of its examples
    scores              of all heads of the model, layer by layer: how many of the `examples` that the
                        artifact was fitted on each labels right alone; none with several labels per item
    multi               whether it gives an item several labels or none
    """

    url: str
    name: str
    version: str
    model: str
    fingerprint: str
    question: str | None
    classes: dict[str, int]
    examples: int
    scores: tuple[int, ...]
    created: datetime
    stored: bool = False
    choice: dict[str, Any] | None = None
    suspects: tuple[dict[str, Any], ...] = ()
    multi: bool = False

    @property
    def called(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass(frozen=True)
class ArtifactHead:
    """A chosen head, and how many of the examples it labels right alone; None with several labels per
    item."""

    layer: int
    head: int
    score: int | None


def read_card(url: str) -> ArtifactCard:
    """Return the card of the artifact at `url`. Raises ArtifactNotFound."""
    try:
        found = json.loads(open_store(url).read("manifest.json"))
        origin = found["origin"]["model"]
        question = found["question"]
        labels = Counter(name for row in found["training"] for name in _labels(row["label"]))
        return ArtifactCard(
            url=url,
            name=str(found["name"]),
            version=str(found["version"]),
            model=str(origin["id"]),
            fingerprint=str(origin["fingerprint"]),
            question=None if question is None else str(question),
            classes={str(name): labels[name] for name in found["classes"]},
            examples=len(found["training"]),
            scores=tuple(map(_score, found["scores"])),
            created=_time(found["created"]),
            stored=found.get("stored_vectors") is not None,
            choice=_choice(found.get("choice")),
            suspects=_suspects(found),
            multi=found["readout"] == "multi",
        )
    except NotFound as error:
        raise ArtifactNotFound(f"no artifact at {url}") from error
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ArtifactNotFound(f"{url}/manifest.json is not an artifact manifest") from error


def _labels(label: object) -> list[str]:
    """Return the labels of a training row. Raises TypeError if they are neither a text nor a list."""
    if not isinstance(label, str | list):
        raise TypeError("a label is neither a text nor a list")
    return [label] if isinstance(label, str) else label


def _choice(value: object) -> dict[str, Any] | None:
    from savs.readout.records import Choice

    return None if value is None else Choice.model_validate(value).model_dump()


def _suspects(found: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    from savs.readout.records import Suspect

    suspects = [Suspect.model_validate(one) for one in found.get("suspects", ())]
    return tuple(one.model_dump() | {"id": str(found["training"][one.row]["id"])} for one in suspects)


def _score(value: object) -> int:
    """Return a head's score. Raises ValueError if it is no number of examples."""
    if not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError("a score is not a number of examples")
    return value


def _time(text: str) -> datetime:
    """Return a time of which the zone is known, so that it can be compared with others."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def read_digest(card: ArtifactCard) -> str:
    """Return what rows that this artifact labelled have as `artifact`. Raises ArtifactNotFound."""
    from savs.artifact.manifest import digest_of

    try:
        return digest_of([*card.classes], open_store(card.url).read("savs.safetensors"))
    except NotFound as error:
        raise ArtifactNotFound(f"{card.url} is not whole: {error}") from error


def read_heads(card: ArtifactCard) -> list[ArtifactHead]:
    """Return the heads of an artifact, best first. Raises ArtifactNotFound, or ArtifactError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    store = open_store(card.url)
    try:
        layout = json.loads(store.read("manifest.json"))["origin"]["layout"]
        counts = [(one["layer"], min(one["heads"], len(card.scores))) for one in layout]  # may be damaged
        places = [(layer, head) for layer, heads in counts for head in range(heads)]
        scores = dict(zip(places, card.scores, strict=True))
        heads = load(store.read("savs.safetensors"))["heads"].tolist()
        if card.multi:
            return [ArtifactHead(int(layer), int(head), None) for layer, head in heads]
        return [ArtifactHead(layer, head, scores[layer, head]) for layer, head in heads]
    except NotFound as error:
        raise ArtifactNotFound(f"{card.url} is not whole: {error}") from error
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else why_invalid(error)
        raise ArtifactError(f"{card.url} is not usable: {why}") from error


def artifact_cards(ledger: Ledger, name: str | None = None) -> Iterator[ArtifactCard | SavsError]:
    """Yield the cards of the workspace's artifacts, or of those called `name`, by name and the newest
    version last; in place of those that cannot be read, the error."""
    names = [name] if name is not None else list(ledger.store.folders("artifacts"))
    for one in names:
        try:
            versions = list(ledger.store.folders(f"artifacts/{one}"))
        except StorageError as error:  # one that cannot be read must not hide the others
            yield error
            continue
        urls = [ledger.artifact_url(one, version) for version in versions]
        cards = [card for card in prefetch(_card_or_error, urls) if card is not None]
        yield from (card for card in cards if isinstance(card, SavsError))
        yield from sorted(
            (card for card in cards if isinstance(card, ArtifactCard)),
            key=lambda card: (card.created, card.version),
        )


def _card_or_error(url: str) -> ArtifactCard | SavsError | None:
    try:
        if not open_store(url).exists("manifest.json"):
            return None  # it is being made
        return read_card(url)
    except SavsError as error:
        return error


def find_artifact(ledger: Ledger, artifact: str) -> str:
    """Return the address of an artifact that is given by address, or as `NAME` (its newest version) or
    `NAME/VERSION` in the workspace. Raises ArtifactNotFound."""
    if artifact.startswith("s3://"):
        return artifact
    if check_path((Path(artifact) / "manifest.json").is_file):
        return str(Path(artifact).resolve())
    name, _, version = artifact.partition("/")
    inside = NAME.fullmatch(name) and VERSION.fullmatch(version)
    if inside and ledger.store.exists(f"artifacts/{artifact}/manifest.json"):
        return ledger.artifact_url(name, version)
    made = [] if version or not NAME.fullmatch(name) else list(artifact_cards(ledger, name))
    for card in made:
        if isinstance(card, SavsError):
            raise card
    if not made:
        raise ArtifactNotFound(
            f"no artifact {artifact!r}: it is neither a folder with a manifest.json nor a name in "
            f"{join(ledger.workspace, 'artifacts')}; see: savs-submit artifacts"
        )
    newest = made[-1]
    assert isinstance(newest, ArtifactCard)
    return newest.url
