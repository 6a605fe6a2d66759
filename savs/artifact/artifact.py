"""Artifacts: fitted heads on disk or S3, with everything needed to use them again.

An artifact is a folder of three objects: `savs.safetensors` is the readout; `examples.safetensors` are the
head vectors of the examples, from which it can be fitted again without the model (artifacts of schema 1 have
none); `manifest.json` is written last and never replaced, so an artifact with a manifest is complete and
immutable.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from pydantic import TypeAdapter

from savs.artifact.manifest import SCHEMA, Manifest, ModelIdentity, Origin, PromptFormat, digest_of
from savs.artifact.training_row import TrainingRow
from savs.engine.vectors import STORED, HeadVectors, metadata_of, vectors_from_bytes, vectors_to_bytes
from savs.errors import ArtifactError, ArtifactMismatch, ArtifactNotFound, NotFound, why_invalid
from savs.model.model import Model
from savs.model.pixels import sizes_of, with_sizes
from savs.readout.choice import Fitted
from savs.readout.classify import AnyReadout
from savs.readout.fit import Readout, readout_of
from savs.readout.hec import HecReadout, hec_of
from savs.readout.linear import LinearReadout, linear_of
from savs.readout.multi import MultiReadout, multi_of
from savs.readout.records import MULTI, ManifestEntry, layer_entries
from savs.readout.stored import HEC, Description, tensors_to_bytes
from savs.storage import Store, open_store

LIBRARIES = ("savs", "torch", "transformers", "numpy", "pillow", "decord")


class ExampleMedia(ManifestEntry):
    """The media of an example and its question, as they were shown."""

    media: tuple[str, ...]
    question: str | None


SHOWN: TypeAdapter[list[ExampleMedia]] = TypeAdapter(list[ExampleMedia])


@dataclass(frozen=True)
class StoredExamples:
    """Head vectors of n examples, and what was shown of each."""

    vectors: HeadVectors
    shown: tuple[ExampleMedia, ...]


@dataclass(frozen=True)
class Artifact:
    """Fitted heads and their origin.

    examples  the head vectors of the examples, in the order of `manifest.training`; None if they are not
              stored, or not loaded
    digest    of the fit: `savs.artifact.manifest.digest_of`
    """

    manifest: Manifest
    readout: AnyReadout
    examples: StoredExamples | None = None
    digest: str = ""

    def check(self, model: Model) -> None:
        """Raise ArtifactMismatch unless `model` made this artifact and items are shown to it in the same
        way."""
        self._check_weights(model)
        made, loaded = self.manifest.origin.prompt, describe(model).prompt
        if made != loaded:
            raise ArtifactMismatch(
                f"artifact {self.manifest.name!r} was made with {made}; {model.name} is set up with {loaded}"
            )

    def prepared(self, model: Model) -> Model:
        """Return a copy of `model` to which items are shown as they were when this artifact was made.
        Raises ArtifactMismatch if another model made it."""
        self._check_weights(model)
        made = self.manifest.origin.prompt
        prepared = replace(model, sampling=made.sampling, processor=with_sizes(model.processor, made.sizes))
        self.check(prepared)
        return prepared

    def _check_weights(self, model: Model) -> None:
        made = self.manifest.origin.model
        if made.fingerprint != model.fingerprint:
            raise ArtifactMismatch(
                f"artifact {self.manifest.name!r} was made with {made.id} "
                f"({made.fingerprint[:12]}); the loaded model is {model.name} "
                f"({model.fingerprint[:12]}). Extract again with this model, or load the other one"
            )


def describe(model: Model) -> Origin:
    """Return the origin of the vectors of `model`, as an artifact records it."""
    sizes = sizes_of(model.processor)
    return Origin(
        model=ModelIdentity(
            id=model.name, revision=model.revision, fingerprint=model.fingerprint, dtype=model.dtype
        ),
        prompt=PromptFormat(
            frames=model.sampling.frames,
            fps=model.sampling.fps,
            image_size=sizes.get("image_processor"),
            video_size=sizes.get("video_processor"),
            chat=model.chat.source,
        ),
        layout=layer_entries(model.layout),
    )


def make_artifact(
    name: str,
    artifact_version: str,
    readout: AnyReadout,
    origin: Origin,
    question: str | None,
    training: Sequence[TrainingRow],
    created: datetime,
    fitted: Fitted | None = None,
    examples: StoredExamples | None = None,
) -> Artifact:
    """Return an artifact of `readout`, fitted on `training`; `origin` is `describe(model)`.

    fitted    how `readout` came about, if `fit_readout` made it
    examples  in the order of `training`, to be stored beside it
    """
    own = readout.scores if isinstance(readout, Readout) else None
    scores = own if fitted is None else fitted.scores
    suspects = () if fitted is None else fitted.suspects
    manifest = Manifest(
        name=name,
        version=artifact_version,
        classes=readout.classes,
        origin=origin,
        question=question,
        readout=readout.mode,
        scores=() if scores is None else tuple(scores.tolist()),
        training=tuple(training),
        libraries={library: v for library in LIBRARIES if (v := _version(library))},
        created=created,
        choice=None if fitted is None else fitted.choice,
        suspects=suspects,
        stored_vectors=None if examples is None else STORED,
    )
    return Artifact(manifest, readout, examples, digest_of(readout.classes, _readout_bytes(readout)))


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def save_artifact(artifact: Artifact, url: str) -> None:
    """Write an artifact into the folder or s3:// prefix at `url`, unless one is there already."""
    store = open_store(url)
    if store.exists("manifest.json"):
        return
    store.write("savs.safetensors", _readout_bytes(artifact.readout))
    if (examples := artifact.examples) is not None:
        shown = SHOWN.dump_json(list(examples.shown)).decode()
        store.write("examples.safetensors", vectors_to_bytes(examples.vectors, {"examples": shown}))
    store.create("manifest.json", artifact.manifest.model_dump_json(indent=1).encode())


def _readout_bytes(readout: AnyReadout) -> bytes:
    if isinstance(readout, Readout):
        return tensors_to_bytes(readout.heads, readout.centroids)
    return readout.to_bytes()


def load_artifact(url: str, inside: Sequence[str] | None = None) -> Artifact:
    """Return the artifact at `url`. Raises ArtifactNotFound, ArtifactError, or
    ArtifactMismatch if its schema is newer.

    inside  the folders that links may not lead out of; by default the artifact's own
    """
    store = open_store(url, inside)
    manifest = _read_manifest(store)
    try:
        data = store.read("savs.safetensors")
    except NotFound as error:
        raise ArtifactError(f"{url} has a manifest but no savs.safetensors") from error
    digest = digest_of(manifest.classes, data)
    if manifest.readout != "reference":
        return Artifact(manifest, _affine_of(data, manifest, f"{url}/savs.safetensors"), digest=digest)
    description = Description(
        mode=manifest.readout,
        classes=manifest.classes,
        scores=manifest.scores,
        layout=manifest.origin.layout,
    )
    return Artifact(manifest, readout_of(data, description, f"{url}/savs.safetensors"), digest=digest)


def _affine_of(data: bytes, manifest: Manifest, name: str) -> LinearReadout | HecReadout | MultiReadout:
    """Return the readout of an artifact that is no vote."""
    readout: LinearReadout | HecReadout | MultiReadout
    if manifest.readout == MULTI:
        readout = multi_of(data, name)
    else:
        readout = hec_of(data, name) if manifest.readout == HEC else linear_of(data, name)
    said = manifest.readout, manifest.classes, manifest.origin.head_layout()
    if (readout.mode, readout.classes, readout.layout) != said:
        raise ArtifactError(f"{name} does not match its manifest")
    return readout


def load_examples(url: str, inside: Sequence[str] | None = None) -> Artifact:
    """Return the artifact at `url` with the vectors of its examples. Raises as `load_artifact`, and
    ArtifactError if it has none: it was made by an earlier savs.

    inside  as in `load_artifact`
    """
    artifact = load_artifact(url, inside)
    name = f"{url}/examples.safetensors"
    if artifact.manifest.stored_vectors is None:
        raise ArtifactError(f"{url} has no vectors of its examples: extract it again")
    try:
        data = open_store(url, inside).read("examples.safetensors")
        vectors = vectors_from_bytes(data, name)
        shown = SHOWN.validate_json(metadata_of(data)["examples"])
    except NotFound as error:
        raise ArtifactError(f"{url} has a manifest but no examples.safetensors") from error
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"{name} is not usable: {why_invalid(error)}") from error
    counts = {len(vectors), len(shown), len(artifact.manifest.training)}
    if len(counts) > 1 or vectors.layout != artifact.manifest.origin.head_layout():
        raise ArtifactError(f"{name} does not match its manifest")
    return replace(artifact, examples=StoredExamples(vectors, tuple(shown)))


def _read_manifest(store: Store) -> Manifest:
    try:
        data = store.read("manifest.json")
    except NotFound as error:
        raise ArtifactNotFound(f"no artifact at {store.url}") from error
    try:
        row = json.loads(data)
        found = row.get("schema_version") if isinstance(row, dict) else None
        if isinstance(found, int) and found > SCHEMA:
            raise ArtifactMismatch(
                f"{store.url} has schema {found}; this savs reads schemas up to {SCHEMA}. Use a newer savs"
            )
        return Manifest.model_validate_json(data)
    except (ValueError, RecursionError) as error:
        why = why_invalid(error, Manifest.model_fields)
        raise ArtifactError(f"{store.url}/manifest.json is not usable: {why}") from error
