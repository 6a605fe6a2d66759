"""Finds artifacts by name or address, without loading a model."""

import json
from datetime import datetime
from pathlib import Path

from jobs.ledger.ledger import Ledger
from jobs.paths import check_path
from jobs.records.job import NAME
from savs.errors import ArtifactNotFound, NotFound
from savs.storage import join, open_store


def find_artifact(ledger: Ledger, artifact: str) -> str:
    """Return the address of an artifact that is given by address, or as `NAME` (its newest version) or
    `NAME/VERSION` in the workspace. Raises ArtifactNotFound."""
    if artifact.startswith("s3://"):
        return artifact
    if check_path((Path(artifact) / "manifest.json").is_file):
        return str(Path(artifact).resolve())
    name, _, version = artifact.partition("/")
    inside = NAME.fullmatch(name) and NAME.fullmatch(version)
    if inside and ledger.store.exists(f"artifacts/{artifact}/manifest.json"):
        return ledger.artifact_url(name, version)
    made = [] if version or not NAME.fullmatch(name) else _versions(ledger, name)
    if not made:
        raise ArtifactNotFound(
            f"no artifact {artifact!r}: it is neither a folder with a manifest.json nor a name in "
            f"{join(ledger.workspace, 'artifacts')}"
        )
    return ledger.artifact_url(name, made[-1])


def _versions(ledger: Ledger, name: str) -> list[str]:
    """The versions of an artifact in the workspace, the newest last."""
    found = []
    for version in ledger.store.folders(f"artifacts/{name}"):
        try:
            manifest = json.loads(ledger.store.read(f"artifacts/{name}/{version}/manifest.json"))
            found.append((datetime.fromisoformat(manifest["created"]), version))
        except NotFound:
            continue  # it is being made
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ArtifactNotFound(
                f"artifacts/{name}/{version}/manifest.json is not an artifact manifest"
            ) from error
    return [version for _, version in sorted(found)]


def read_name_and_model(url: str) -> tuple[str, str]:
    """Name of the artifact at `url`, and the model that made it."""
    try:
        manifest = json.loads(open_store(url).read("manifest.json"))
        return str(manifest["name"]), str(manifest["origin"]["model"]["id"])
    except NotFound as error:
        raise ArtifactNotFound(f"no artifact at {url}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactNotFound(f"{url}/manifest.json is not an artifact manifest") from error
