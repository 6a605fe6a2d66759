"""The fingerprint of a checkpoint: a hash over the bytes of its files.

It covers config, processor, tokenizer, chat template and every weight file, so two folders with the
same fingerprint give the same head vectors on the same machine. Hashing tens of gigabytes takes
minutes, so each file's hash is kept in the user's cache, by path, size and time of modification.
"""

import hashlib
import json
import os
from pathlib import Path

SUFFIXES = (".json", ".jinja", ".txt", ".model", ".safetensors")
IGNORED = ("generation_config.json", "README.txt")  # do not affect head vectors


def fingerprint(folder: Path) -> str:
    """sha256 over the names and hashes of a checkpoint's files, as hexadecimal digits."""
    files = sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES and p.name not in IGNORED)
    cache = _read_cache()
    total, fresh = hashlib.sha256(), {}
    for path in files:
        stat = path.stat()
        key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
        digest = cache.get(key) or _sha256(path)
        fresh[key] = digest
        total.update(f"{path.name}\0{digest}\n".encode())
    if not fresh.items() <= cache.items():
        _write_cache(cache | fresh)
    return total.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _cache_path() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "savs" / "fingerprints.json"


def _read_cache() -> dict[str, str]:
    try:
        cache = json.loads(_cache_path().read_text())
    except (OSError, ValueError):
        return {}  # no cache yet, or one of another version; the cache only saves time
    return cache if isinstance(cache, dict) else {}


def _write_cache(cache: dict[str, str]) -> None:
    path = _cache_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(cache, indent=1))
        temporary.replace(path)
    except OSError:
        pass  # without a cache, for example in a read-only home, only time is lost
