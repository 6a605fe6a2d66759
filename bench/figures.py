"""The results of a benchmark: figures with their bars, and the machine and versions."""

import os
import platform
import re
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("celery", "kombu", "redis", "moto")
ENGINE_PACKAGES = ("torch", "torchvision", "transformers", "numpy", "pillow", "decord")


@dataclass(frozen=True)
class Figure:
    """One measured value.

    bar  "≤ 60", "≥ 1.9", or None if the value is only reported
    """

    name: str
    value: float
    unit: str
    bar: str | None = None

    @property
    def met(self) -> bool | None:
        if self.bar is None:
            return None
        sign, limit = self.bar.split()
        return self.value <= float(limit) if sign == "≤" else self.value >= float(limit)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"value": round(self.value, 4), "met": self.met}

    def __str__(self) -> str:
        verdict = {None: "", True: f"  (bar {self.bar}: met)", False: f"  (bar {self.bar}: MISSED)"}
        return f"{self.name:<38} {self.value:>10,.3f} {self.unit}{verdict[self.met]}"


def machine() -> str:
    """Return processor, cores, memory and system in one line."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{_processor()}, {os.cpu_count()} cores, {gib:.0f} GiB, {platform.system()} {platform.release()}"


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", about.read_text()) if about.exists() else []
    return names[0] if names else platform.machine()


def engine_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that the engine uses, as far as they are
    installed."""
    found = {"python": platform.python_version()}
    for name in ENGINE_PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def versions(redis_binary: str) -> dict[str, str]:
    said = subprocess.run([redis_binary, "--version"], capture_output=True, text=True, check=True).stdout
    [server] = re.findall(r"v=([\d.]+)", said)
    packages = {"redis-py" if name == "redis" else name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **packages, "redis-server": server}
