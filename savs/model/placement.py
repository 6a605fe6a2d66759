"""Decides on which GPUs a checkpoint's weights are loaded. They are loaded straight onto them: in the host's
memory, every process of a machine would need room for a copy."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from savs.errors import UnsupportedModel

if TYPE_CHECKING:
    import torch

GPU_HEADROOM = 0.8  # share of a GPU's memory that weights may take
GIB = 2**30  # bytes


@dataclass(frozen=True)
class Placement:
    """A checkpoint and the GPUs for it, in bytes.

    weights  of the checkpoint's files
    own      memory of the GPU that is to run it
    visible  memory of each GPU that this process sees
    """

    name: str
    weights: int
    own: int
    visible: tuple[int, ...]

    @classmethod
    def of(cls, name: str, folder: Path, device: "torch.device") -> "Placement":
        import torch

        weights = sum(path.stat().st_size for path in weight_files(folder))
        own = torch.cuda.get_device_properties(device).total_memory
        every = range(torch.cuda.device_count())
        return cls(name, weights, own, tuple(torch.cuda.get_device_properties(i).total_memory for i in every))

    def device_map(self, device: "torch.device") -> "str | dict[str, torch.device]":
        """Return `device` for all weights if they fit, else "auto", all GPUs. Raises UnsupportedModel if
        they do not suffice: the rest would run on the CPU."""
        if self.weights <= GPU_HEADROOM * self.own:
            return {"": device}
        if self.weights > GPU_HEADROOM * sum(self.visible):
            raise self._too_large(f"weights may take {GPU_HEADROOM:.0%} of that")
        return "auto"

    def check(self, found: Mapping[str, object]) -> None:
        """Raise UnsupportedModel if a part of the loaded model is not on a GPU.

        found  part → its device, as accelerate reports it
        """
        apart = [part for part, device in found.items() if str(device) in ("cpu", "disk")]
        if apart:
            raise self._too_large(f"no room for {', '.join(apart[:3])}; others may use that memory")

    def _too_large(self, why: str) -> UnsupportedModel:
        cards = ", ".join(f"{memory / GIB:.1f}" for memory in self.visible)
        return UnsupportedModel(
            f"{self.name}: {self.weights / GIB:.1f} GiB of weights do not fit into the GPUs that this "
            f"process sees ({cards} GiB): {why}. With --gpus a worker sees one GPU; without it, one worker "
            "spreads the model over all GPUs of the machine. Else use a smaller checkpoint or larger GPUs"
        )


def weight_files(folder: Path) -> list[Path]:
    """Return the files of weights that transformers loads: some checkpoints have them in another form,
    too."""
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.exists() or not index.exists():
        return [whole] if whole.exists() else list(folder.glob("*.safetensors"))
    named = json.loads(index.read_text())["weight_map"].values()
    return [folder / name for name in sorted(set(named))]
