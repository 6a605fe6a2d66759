"""Media in one folder per predicted class, as torchvision's ImageFolder and savs itself read them."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from savs.data.media import base_name, copy_media
from savs.errors import ItemError, SettingsError

Row = dict[str, Any]
NAME = re.compile(r"[^\w .()+-]+")


def write_folders(rows: Iterable[Row], folder: Path, least: float) -> Counter[str]:
    """Put the media of rows with a prediction of at least the confidence `least` into folders, and return how
    many rows were written, below it, without a prediction, or without media that can be copied. Local files
    are linked, others copied. Raises SettingsError if the folder exists and is not empty."""
    if folder.exists() and any(folder.iterdir()):
        raise SettingsError(f"--to: {folder} is not empty; name a new folder")
    counts: Counter[str] = Counter()
    for row in rows:
        for name in row.get("predictions") or [row.get("prediction")]:
            counts[_put(row, name, folder, least)] += 1
    return counts


def _put(row: Row, name: str | None, folder: Path, least: float) -> str:
    media = row.get("media") or []
    confidence = (row.get("scores") or {}).get(name, row.get("confidence"))
    if name is None or row.get("error"):
        return "without a prediction"
    if confidence is not None and confidence < least:
        return "of less confidence"
    place = folder / safe_name(name)
    place.mkdir(parents=True, exist_ok=True)
    for number, address in enumerate(media):
        stem = f"{row['index']:08d}" + (f"-{number}" if len(media) > 1 else "")
        target = place / f"{stem}-{safe_name(base_name(address))}"
        try:
            if "://" not in address and Path(address).is_file():
                target.symlink_to(Path(address).resolve())
            else:
                with target.open("wb") as file:
                    copy_media(address, file)
        except (ItemError, OSError):
            target.unlink(missing_ok=True)
            return "whose media cannot be copied"
    return "written" if media else "without media"


def safe_name(name: str) -> str:
    """Return a name of a file or folder for any text; two texts never have the same one."""
    plain = NAME.sub("_", name).strip(". ")[:80]
    if plain == name and name:
        return name
    return f"{plain or '_'}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
