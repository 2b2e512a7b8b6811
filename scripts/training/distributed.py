"""Training in several processes by ``torchrun``: functions for the configs' overlays.

torchrun starts the processes, DistributedDataParallel averages the gradients, and MONAI's and
ignite's metrics combine the figures of all processes.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import torch
import torch.distributed as dist
from monai.data import DistributedSampler
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset, RandomSampler

from scripts.running.options import check_whole
from scripts.training.engine_events import is_main_process

__all__ = [
    *("distribute", "initialise", "is_main_process", "local_device", "share_of_batch"),
    *("shared_sampler", "short_epoch_sampler"),
]

logger = logging.getLogger(__name__)


def initialise() -> None:
    """Join the processes that torchrun started: by NCCL on GPUs, by Gloo on CPUs.

    Every process except the first logs warnings only.

    Raises:
        ValueError: outside torchrun.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        raise ValueError(
            "multi_gpu_train.json: must be run by torchrun, e.g. `torchrun --standalone "
            "--nproc_per_node=2 -m monai.bundle run training ...`; leave it out for one process"
        )
    device = local_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group(backend="nccl" if device.type == "cuda" else "gloo")
    if not is_main_process():
        logging.getLogger().setLevel(logging.WARNING)
    logger.info("training in %d processes by %s", dist.get_world_size(), dist.get_backend())


def local_device() -> torch.device:
    """Return this process' GPU, or the CPU if there is no GPU.

    Raises:
        ValueError: when there are more processes on this machine than GPUs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= count:
        raise ValueError(
            f"nproc_per_node: must be at most the number of GPUs, {count}, got a process {number}"
        )
    return torch.device("cuda", number)


def distribute(network: nn.Module, device: torch.device) -> DistributedDataParallel:
    """Wrap a network so that all processes train it together.

    Parts that are frozen in a stage get no gradient; with ``find_unused_parameters`` the processes
    do not wait for one. Batch norms are converted to
    SyncBatchNorm on GPUs, so that their statistics are those of the whole batch. torch has none for
    CPUs: there each process uses the statistics of its share, and the result differs from that of
    one process unless the network has no batch norm (VGG16 with ``decoder_norm: group``).

    Args:
        network: a ``custom_nets.freezing.Freezable``; it is ``.module`` of the result.
        device: of this process.
    """
    batch_norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if device.type == "cuda":
        convert = nn.SyncBatchNorm.convert_sync_batchnorm  # untyped in torch
        network = convert(network)  # type: ignore[no-untyped-call]
    elif batch_norms:
        logger.warning(
            "%d batch norms use the statistics of each process' own share of a batch: there is no "
            "SyncBatchNorm on CPUs",
            len(batch_norms),
        )
    devices = [device] if device.type == "cuda" else None
    return DistributedDataParallel(
        network.to(device), device_ids=devices, find_unused_parameters=True
    )


def share_of_batch(batch_size: int, accumulation_steps: int = 1) -> int:
    """Return how many samples one process takes at a time.

    Args:
        batch_size: samples per optimiser step, of all processes together.
        accumulation_steps: parts into which each process divides its share, to save memory.

    Raises:
        ValueError: when one is no whole number above 0, or the batch cannot be divided evenly: the
            loss would weight samples unequally.

    Example:
        >>> share_of_batch(32, 4)
        8
    """
    processes = dist.get_world_size() if dist.is_initialized() else 1
    check_whole("batch_size", batch_size, 1)
    check_whole("accumulation_steps", accumulation_steps, 1)
    share, rest = divmod(batch_size, processes * accumulation_steps)
    if rest or share < 1:
        parts = processes * accumulation_steps
        raise ValueError(
            f"batch_size: must be a multiple of {parts} (processes {processes}, accumulation_steps "
            f"{accumulation_steps}), got {batch_size}"
        )
    return share


def shared_sampler(
    dataset: Dataset[Any], partition: str, *, shuffle: bool, even_divisible: bool = True
) -> DistributedSampler:
    """Return a sampler that gives each process its share of a data set.

    Args:
        dataset: of the partition.
        partition: its name, for messages.
        shuffle: whether the order is random, the same in all processes.
        even_divisible: repeat samples, so that all shares are equally long.

    Raises:
        ValueError: when there are fewer samples than processes.
    """
    processes, count = dist.get_world_size(), len(dataset)  # type: ignore[arg-type]  # has a length
    if count < processes:
        raise ValueError(
            f"{partition}: has {count} samples, fewer than the {processes} processes; start at "
            f"most {count} (--nproc_per_node), or prepare more data"
        )
    return DistributedSampler(dataset, shuffle=shuffle, even_divisible=even_divisible)


def short_epoch_sampler(dataset: Dataset[Any], samples: int) -> RandomSampler:
    """Return a sampler of epochs that are shorter than a data set, each of other random samples.

    Args:
        dataset: of the training.
        samples: of an epoch, none of them twice; all of a smaller data set.

    Raises:
        ValueError: for fewer than one sample, or in several processes, which would draw the same.
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ValueError(f"epoch_samples: must be a whole number of at least 1, got {samples!r}")
    if dist.is_initialized() and dist.get_world_size() > 1:
        raise ValueError("short_epochs.json: works in one process only; leave it out with torchrun")
    count = min(samples, len(dataset))  # type: ignore[arg-type]  # has a length
    return RandomSampler(dataset, num_samples=count)  # type: ignore[arg-type]
