"""Divides a machine's cores among the workers whose models run on them: two that each use all of them
are slower than one."""

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from savs.model.model import Model

log = logging.getLogger("savs.worker")


class Cores:
    """The cores that this process may use for its model; those of a model on a GPU are left alone."""

    def __init__(self, model: "Model") -> None:
        torch = sys.modules.get("torch")  # without it, the model is not one that runs
        on_cpu = torch is not None and model.device.type == "cpu"
        self.all = torch.get_num_threads() if torch is not None and on_cpu else None
        self.sharers = 1

    def share(self, workers: int) -> None:
        """Use 1/`workers` of the threads of PyTorch, at least one. Called in the thread that runs the
        model, because PyTorch counts per thread."""
        if self.all is None or workers == self.sharers:
            return
        import torch

        self.sharers = max(1, workers)
        threads = max(1, self.all // self.sharers)
        torch.set_num_threads(threads)
        log.info("%d workers run on this machine's cores; this one uses %d of %d", workers, threads, self.all)
