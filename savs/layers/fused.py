"""Norms and rotations of positions as one kernel each, on a GPU.

Transformers computes each of them by up to eight operations, and each operation reads and writes all values
of a layer. PyTorch's own RMS norm takes the place of the first, and `savs.layers.rotation` that of the
second: 10 and 13 times as fast on an H200 (`bench.gpu`, step `kernels`). Matrix products, attention and whole
layers stay as they are, and so do hooks. A gated activation stays, too: joined, it was slower.

What is replaced is found by what it is, not by a model's name: a norm by its one weight and its epsilon, a
rotation by the name of the function that the network's code calls. The first call for each kind of inputs
computes both forms. If they differ by more than rounding, the original stays.
"""

import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

log = logging.getLogger("savs.fused")

ROTATIONS = ("apply_rotary_pos_emb", "apply_rotary_pos_emb_vision")  # functions of transformers' models
DEVICES = {"cuda"}  # a CPU keeps what it has read in its cache
ROUNDING = 2.0  # greatest relative error between the two forms, in units of the dtype's precision


class Fused:
    """A function with one kernel instead of several, for inputs of which a first call has shown that the
    results agree.

    plain   the original
    fused   the same function, faster
    kind    what it is, for the log
    agrees  for each kind of inputs: dtype, device, number of dimensions and width of all tensors
    """

    def __init__(self, plain: Callable[..., Any], fused: Callable[..., Any], kind: str) -> None:
        self.plain, self.fused, self.kind = plain, fused, kind
        self.agrees: dict[tuple[Any, ...], bool] = {}

    def __call__(self, *given: Any, **options: Any) -> Any:
        if not _usable(given, options):
            return self.plain(*given, **options)
        key = tuple((one.dtype, one.device, one.ndim, one.shape[-1]) for one in given)
        if key not in self.agrees:
            self.agrees[key] = self._agree(given)
        return (self.fused if self.agrees[key] else self.plain)(*given)

    def _agree(self, given: tuple[Any, ...]) -> bool:
        import torch

        expected = self.plain(*given)
        try:
            error = _error(self.fused(*given), expected)
        except torch.OutOfMemoryError:
            raise
        except Exception as reason:  # a compiler is missing, or refuses the function: it may raise anything
            first = (str(reason).strip() or type(reason).__name__).splitlines()[0]
            log.warning("a %s runs as several kernels, which is slower: %s", self.kind, first)
            return False
        if not error <= ROUNDING:  # true for NaN
            log.info("a %s runs as several kernels: in one it differs by %.1f roundings", self.kind, error)
        return error <= ROUNDING


def fuse(network: Any) -> None:
    """Make norms and rotations of `network` run as one kernel each where it is on a GPU and results agree. A
    rotation belongs to the code of a type of models: it is replaced for all models of that type in this
    process."""
    for module in network.modules():
        if (epsilon := _epsilon(module)) is not None and not isinstance(module.forward, Fused):
            module.forward = Fused(module.forward, partial(_norm, module, epsilon), "norm")
    homes = {type(module).__module__ for module in network.modules()}
    for home in filter(None, map(sys.modules.get, sorted(homes))):
        for name in ROTATIONS:
            plain = vars(home).get(name)
            if callable(plain) and not isinstance(plain, Fused):
                setattr(home, name, Fused(plain, _rotate, "rotation"))


def _epsilon(module: Any) -> float | None:
    """Return the epsilon of what may be an RMS norm: one weight for the last dimension, and no other part."""
    names = [name for name, _ in module.named_parameters()]
    if names != ["weight"] or module.weight.ndim != 1 or any(True for _ in module.buffers()):
        return None
    found = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    return found if isinstance(found, float) else None


def _norm(module: Any, epsilon: float, hidden: "torch.Tensor") -> "torch.Tensor":
    from torch.nn.functional import rms_norm

    return rms_norm(hidden, tuple(module.weight.shape), module.weight, epsilon)


def _rotate(*given: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    from savs.layers.rotation import rotate

    query, key, cosines, sines = given
    return rotate(query, key, cosines, sines)


def _usable(given: tuple[Any, ...], options: dict[str, Any]) -> bool:
    import torch

    dtypes = (torch.float16, torch.bfloat16, torch.float32)
    return (
        not options
        and not torch.is_grad_enabled()
        and all(isinstance(one, torch.Tensor) and one.dtype in dtypes and one.numel() for one in given)
        and given[0].device.type in DEVICES
    )


def _error(found: Any, expected: Any) -> float:
    """Return ‖found − expected‖ / ‖expected‖ in units of the dtype's precision, the greatest of all tensors;
    infinity if shapes or dtypes differ."""
    import torch

    if isinstance(expected, tuple | list):
        return max(map(_error, found, expected), default=0.0) if len(found) == len(expected) else torch.inf
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return torch.inf
    exact = expected.double()
    relative = (found.double() - exact).norm() / exact.norm()
    return float(relative) / torch.finfo(expected.dtype).eps
