"""Several processes that train one net together, as ``torchrun`` starts them."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

Scores = dict[str, float]


def leads() -> bool:
    """Whether this process is the one that tells and writes: the first, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def together() -> bool:
    """Whether ``torchrun`` started several processes."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@dataclass(frozen=True)
class Group:
    """One process among those that train together.

    Parameters
    ----------
    rank, size : int
        Which one it is, and of how many.
    device : str
        Its own.
    """

    rank: int
    size: int
    device: str

    @property
    def leads(self) -> bool:
        """Whether this one checks, tells and writes."""
        return self.rank == 0

    def wrapped(self, module: nn.Module) -> nn.Module:
        """The module, its gradients averaged over all processes."""
        return module if self.size == 1 else DistributedDataParallel(module)

    def shared(self, score: Callable[[], Scores] | None) -> Scores:
        """Scores that the first process finds, given to all."""
        if self.size == 1:
            assert score is not None
            return score()
        found = [score() if score else None]
        distributed.broadcast_object_list(found)
        assert found[0] is not None
        return found[0]


def group(device: str) -> Group:
    """The processes that ``torchrun`` started beside this one; alone where it did not.

    They stay together to the end of the process: a group that is left and formed anew, as between
    the phases of a training, would meet the addresses of the old one and may wait for ever.

    Parameters
    ----------
    device : str
        ``"cuda"`` gives each process of a machine a GPU of its own.
    """
    if not together():
        return Group(0, 1, device)
    on_gpu = device.startswith("cuda")
    own = f"cuda:{os.environ['LOCAL_RANK']}" if on_gpu else device
    if on_gpu:
        torch.cuda.set_device(own)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if on_gpu else "gloo")
        atexit.register(distributed.destroy_process_group)
    return Group(distributed.get_rank(), distributed.get_world_size(), own)
