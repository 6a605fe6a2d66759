"""What a vision tower derives from the sizes of its images, computed before the forward pass.

Towers of Qwen's kind find windows, borders and positions in the table of sizes (`image_grid_thw`), and wait
for the device to read it. The functions for that are transformers' own (`transformers.vision_utils`), and a
network takes their results as arguments; then the table of sizes can stay on the CPU.
"""

import inspect
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

KINDS = ("image", "video")
GRID = "_grid_thw"  # int64 [images, 3]: frames, rows and columns of patches
# Functions of `transformers.vision_utils` whose results are given. A tower that uses others gets none.
KNOWN = {"get_vision_position_ids", "get_vision_attention_seqlens", "get_vision_window_index"}


def derive_from_grids(network: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return further arguments of `network`, derived from the tables of sizes in `inputs`: tensors on the
    CPU, and numbers. Empty if its tower does not take them."""
    grids = {kind: inputs[kind + GRID] for kind in KINDS if kind + GRID in inputs}
    tower = _tower(network) if grids else None
    found: dict[str, Any] = {}
    for kind, grid in grids.items():
        if tower is not None:
            found |= {f"{kind}_{name}": value for name, value in _derived(tower, grid).items()}
    return found


def grids_on_cpu(inputs: dict[str, Any]) -> set[str]:
    """Return the names of the tables of sizes that nothing reads on the device, as all that is derived from
    them is in `inputs`."""
    return {kind + GRID for kind in KINDS if f"{kind}_cu_seqlens" in inputs}


def _tower(network: Any) -> Any:
    """Return the module that takes a table of sizes and what is derived from it, or None."""
    for module in network.modules():
        if "grid_thw" in inspect.signature(module.forward).parameters:
            used = vars(sys.modules[type(module).__module__])
            names = {name for name in used if name.startswith("get_vision_")}
            return module if "get_vision_attention_seqlens" in names and names <= KNOWN else None
    return None


def _derived(tower: Any, grid: "torch.Tensor") -> dict[str, Any]:
    """Return what the tower's forward pass would compute, by its names there."""
    from transformers import vision_utils
    from transformers.utils.generic import get_max_seqlen

    used = vars(sys.modules[type(tower).__module__])
    found: dict[str, Any] = {}
    if "get_vision_position_ids" in used:
        found["position_ids"] = vision_utils.get_vision_position_ids(grid, tower.spatial_merge_size)
    if "get_vision_attention_seqlens" in used:
        borders, longest = vision_utils.get_vision_attention_seqlens(grid, tower.config)
        found |= {"cu_seqlens": borders, "max_seqlen": longest}
    if "get_vision_window_index" in used:
        index, borders = vision_utils.get_vision_window_index(
            grid, tower.spatial_merge_size, tower.window_size, tower.patch_size
        )
        longest = get_max_seqlen(borders, tower.config)
        found |= {"window_index": index, "cu_window_seqlens": borders, "max_window_seqlen": longest}
    return {name: value for name, value in found.items() if value is not None}
