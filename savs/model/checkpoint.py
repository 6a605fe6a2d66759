"""Locates a checkpoint: aliases, folders, and the Hugging Face hub."""

import re
from difflib import get_close_matches
from pathlib import Path

from savs.errors import ModelNotFound

DEMO = Path(__file__).parents[1] / "demo" / "checkpoint"
ALIASES = {
    "demo": str(DEMO),
    "llava_ov": "llava-hf/llava-onevision-qwen2-7b-ov-hf",
    "qwen2_vl": "Qwen/Qwen2-VL-7B-Instruct",
    "qwen2.5_vl": "Qwen/Qwen2.5-VL-7B-Instruct",
}
CHECKPOINT_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors")  # no pickles


def locate_checkpoint(name: str) -> tuple[Path, str]:
    """The folder that holds a checkpoint, downloaded from the hub if needed, and its revision."""
    place = ALIASES.get(name, name)
    if (Path(place) / "config.json").is_file():
        return Path(place), "local"
    known = ", ".join(ALIASES)
    if Path(place).exists() or not is_hub_id(place):
        raise ModelNotFound(
            f"{name!r} is not a folder with a config.json, a hub id (owner/name), or an alias ({known})"
            + (f"; did you mean {near[0]!r}?" if (near := get_close_matches(name, ALIASES, 1)) else "")
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(place, allow_patterns=list(CHECKPOINT_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelNotFound(
            f"{name!r} could not be downloaded from the hub ({reason}). Aliases: {known}"
        ) from error
    return Path(folder), Path(folder).name


def is_hub_id(name: str) -> bool:
    """Return whether `name` has the form owner/name."""
    return bool(re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name))
