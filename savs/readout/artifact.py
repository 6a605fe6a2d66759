"""Artifacts: fitted heads on disk or S3, with everything needed to use them again.

An artifact is a folder of two objects, `savs.safetensors` and `manifest.json`. The manifest is
written last and never replaced, so an artifact with a manifest is complete and immutable.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from savs.errors import ArtifactError, ArtifactMismatch, ArtifactNotFound, NotFound, why_invalid
from savs.model.model import Model
from savs.model.pixels import sizes_of, with_sizes
from savs.readout.fit import Readout, readout_of
from savs.readout.manifest import SCHEMA, Manifest, ModelIdentity, Origin, PromptFormat, layer_entries
from savs.readout.stored import Description, tensors_to_bytes
from savs.readout.training_row import TrainingRow
from savs.storage import Store, open_store

LIBRARIES = ("savs", "torch", "transformers", "numpy", "pillow", "decord")


@dataclass(frozen=True)
class Artifact:
    """Fitted heads and their origin."""

    manifest: Manifest
    readout: Readout

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
    readout: Readout,
    origin: Origin,
    question: str | None,
    training: Sequence[TrainingRow],
    created: datetime,
) -> Artifact:
    """Return an artifact of `readout`, fitted on `training`; `origin` is `describe(model)`."""
    manifest = Manifest(
        name=name,
        version=artifact_version,
        classes=readout.classes,
        origin=origin,
        question=question,
        readout=readout.mode,
        scores=tuple(readout.scores.tolist()),
        training=tuple(training),
        libraries={library: v for library in LIBRARIES if (v := _version(library))},
        created=created,
    )
    return Artifact(manifest, readout)


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
    store.write("savs.safetensors", tensors_to_bytes(artifact.readout.heads, artifact.readout.centroids))
    store.create("manifest.json", artifact.manifest.model_dump_json(indent=1).encode())


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
    description = Description(
        mode=manifest.readout,
        classes=manifest.classes,
        scores=manifest.scores,
        layout=manifest.origin.layout,
    )
    return Artifact(manifest, readout_of(data, description, f"{url}/savs.safetensors"))


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
                f"{store.url} has schema {found}; this savs reads schema {SCHEMA}. Use a newer savs"
            )
        return Manifest.model_validate_json(data)
    except (ValueError, RecursionError) as error:
        why = why_invalid(error, Manifest.model_fields)
        raise ArtifactError(f"{store.url}/manifest.json is not usable: {why}") from error
