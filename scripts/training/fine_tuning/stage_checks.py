"""Checks of a strategy against network, optimiser and engines, before the first iteration."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from ignite.engine import Engine
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim import Optimizer

from custom_nets.freezing import DECODER
from scripts.training.fine_tuning.layer_rates import groups_of, is_layered
from scripts.training.fine_tuning.low_rank import group_name, kernels_of, sizes_of
from scripts.training.fine_tuning.stage_options import LowRank, Stage, Strategy

LONE_VALUE = "Expected more than 1 value per channel"  # of torch's batch norm


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network inside DistributedDataParallel, DataParallel or ``torch.compile``."""
    inner: Any = network
    while True:
        if isinstance(inner, (DistributedDataParallel, DataParallel)):
            inner = inner.module
        elif hasattr(inner, "_orig_mod"):
            inner = inner._orig_mod
        else:
            return inner  # type: ignore[no-any-return]  # modules' attributes are Any


def check_optimizer(network: Any, optimizer: Optimizer) -> None:
    """Refuse an optimiser whose groups are not those of the network, in the same order.

    Raises:
        ValueError: when the groups differ, as a stage sets learning rates by group; or when there
            is a learning rate scheduler.
    """
    expected = network.parameter_groups()
    expected_names = [group["name"] for group in expected]
    names = [group.get("name") for group in optimizer.param_groups]
    if names != expected_names:
        raise ValueError(
            f"optimizer: must have the parameter groups {', '.join(expected_names)}, got {names}; "
            "build it with params from scripts.training.fine_tuning.strategies.parameter_groups"
        )
    for expected_group, group in zip(expected, optimizer.param_groups, strict=True):
        if {id(p) for p in expected_group["params"]} != {id(p) for p in group["params"]}:
            raise ValueError(
                f"optimizer: group {group['name']} holds other parameters than the network's; "
                "build the optimiser from the network that is trained"
            )
        if "initial_lr" in group:
            raise ValueError(
                "optimizer: has a learning rate scheduler, which would change the stages' learning "
                "rates; leave it out, or give each stage its own learning_rate"
            )


def check_stages(network: Any, strategy: Strategy, val_interval: int) -> list[dict[str, int]]:
    """Check each stage against the network and count the parameters that it trains.

    Args:
        network: its trainable parts are restored afterwards.
        strategy: the stages.
        val_interval: epochs between validations.

    Returns:
        For each stage, part -> its trainable parameters; 0 where it is frozen.

    Raises:
        ValueError: naming the stage, for an unknown part, a learning rate of a part that is frozen
            or unknown, epochs that do not end with a validation, or nothing to train.
    """
    if isinstance(val_interval, bool) or not isinstance(val_interval, int) or val_interval < 1:
        raise ValueError(f"val_interval: must be at least 1 epoch, got {val_interval!r}")
    for stage in strategy.stages:
        _check_stage(network, stage, val_interval)
    before, layered = network.trainable, is_layered(network, strategy)
    try:
        return [_trainable_parameters(network, stage, layered) for stage in strategy.stages]
    finally:
        network.set_trainable(before)


def _check_stage(network: Any, stage: Stage, val_interval: int) -> None:
    try:
        network.check_names(stage.trainable)
    except ValueError as error:
        raise ValueError(f"stage {stage.name}: trainable: {error}") from error
    groups = dict.fromkeys([*network.block_names, *network.layer_names])
    unknown = [part for part in stage.learning_rates if part not in groups]
    if unknown:
        raise ValueError(
            f"stage {stage.name}: learning_rates: unknown {', '.join(unknown)}; valid names are "
            f"{', '.join(groups)}"
        )
    if stage.epochs % val_interval:
        raise ValueError(
            f"stage {stage.name}: epochs: {stage.epochs} is not a multiple of val_interval "
            f"{val_interval}, its last epochs would not be validated; change one of them"
        )


def _trainable_parameters(network: Any, stage: Stage, layered: bool) -> dict[str, int]:
    """Count a stage's trainable parameters by part; the network stays in that stage."""
    network.set_trainable(stage.trainable)
    sizes, layers = _sizes(groups_of(network, layered)), _sizes(network.layer_groups())
    known = {**layers, **_sizes(network.parameter_groups())}
    frozen = [part for part in stage.learning_rates if not known[part]]
    if frozen:
        raise ValueError(
            f"stage {stage.name}: learning_rates: {', '.join(frozen)} is frozen in this stage; "
            "name it in trainable, or leave out its rate"
        )
    if not sum(sizes.values()):
        raise ValueError(f"stage {stage.name}: trainable: {stage.trainable} has no parameters")
    if stage.auto_rates and not sum(size for name, size in layers.items() if name != DECODER):
        raise ValueError(
            f"stage {stage.name}: auto_rates: sets the rates of the encoder's layers, and all are "
            "frozen in this stage; name some in trainable"
        )
    if stage.low_rank is None:
        return sizes
    return {**sizes, group_name(stage.name): _low_rank_parameters(network, stage, stage.low_rank)}


def _sizes(groups: list[dict[str, Any]]) -> dict[str, int]:
    return {
        group["name"]: sum(p.numel() for p in group["params"] if p.requires_grad)
        for group in groups
    }


def _low_rank_parameters(network: Any, stage: Stage, options: LowRank) -> int:
    """Count the parameters of low-rank changes; refuse those of kernels that train themselves."""
    where = f"stage {stage.name}: low_rank.parts"
    try:
        network.check_names(options.parts)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    found = kernels_of(network, options.parts)
    released = [name for name, kernel in found.items() if kernel.requires_grad]
    if released or not found:
        what = f"{released[0]} trains itself in this stage" if released else "no convolutions"
        raise ValueError(
            f"{where}: must name parts with convolutions that are frozen, got "
            f"{', '.join(options.parts)} ({what}); correct the parts, or trainable"
        )
    return sizes_of(network, options)


def check_penalty(optimizer: Optimizer, strategy: Strategy) -> None:
    """Refuse a penalty together with the weight decay of an optimiser.

    Raises:
        ValueError: as the decay would pull the encoder to 0 and not to its starting weights.
    """
    decay = max(group.get("weight_decay", 0) for group in optimizer.param_groups)
    stages = [stage.name for stage in strategy.stages if stage.penalty]
    if stages and decay:
        raise ValueError(
            f"stage {stages[0]}: penalty: the optimiser has a weight_decay of {decay:g}, which "
            "would pull the encoder to 0; set it to 0, as the penalty has a decay of its own"
        )


def check_engines(trainer: Engine, evaluator: Engine, strategy: Strategy) -> None:
    """Refuse a trainer with too few epochs for the stages, and an evaluator without a key metric.

    Raises:
        ValueError: naming the setting to change.
    """
    if strategy.total_epochs > trainer.state.max_epochs:
        raise ValueError(
            f"max_epochs: the stages of {strategy.name} take up to {strategy.total_epochs} epochs, "
            f"the trainer has {trainer.state.max_epochs}; leave it out: stage_epochs sets "
            "the epochs of each stage (a config of your own takes it from "
            "scripts.training.fine_tuning.strategies.total_epochs(strategy, epochs))"
        )
    if getattr(evaluator.state, "key_metric_name", None) is None:
        raise ValueError(
            "evaluator: has no key metric to compare epochs by; give it key_val_metric, "
            "e.g. the validation Dice"
        )


def check_same_objects(trainer: Engine, evaluator: Engine, network: Any, optimizer: Any) -> None:
    """Refuse engines that train or validate another network than the stages freeze.

    Raises:
        ValueError: naming the engine.
    """
    for name, engine in (("trainer", trainer), ("evaluator", evaluator)):
        if unwrapped(getattr(engine, "network", network)) is not network:
            raise ValueError(
                f"network: the {name} has another network object than StagedFineTuning; give the "
                "same one to both"
            )
    if getattr(trainer, "optimizer", optimizer) is not optimizer:
        raise ValueError(
            "optimizer: the trainer has another optimiser than StagedFineTuning; give the same "
            "one to both"
        )
    distributed = getattr(trainer, "network", None)
    if isinstance(distributed, DistributedDataParallel) and not distributed.find_unused_parameters:
        raise ValueError(
            "network: DistributedDataParallel waits for the gradients of frozen parts; wrap it "
            "with find_unused_parameters=True"
        )


def check_last_batch(trainer: Any, network: Any, strategy: Strategy) -> None:
    """Refuse a last batch of one sample if a batch norm cannot compute its variance from it.

    Where the deepest map is a single pixel, as with patches of 32 x 32, that batch would stop the
    training at the end of its first epoch.

    Raises:
        ValueError: with what to change.
    """
    loader: Any = getattr(trainer, "data_loader", None)
    sampler, size = getattr(loader, "sampler", None), getattr(loader, "batch_size", None) or 1
    if sampler is None or size < 2 or loader.drop_last or len(sampler) % size != 1:
        return
    batch = loader.collate_fn([loader.dataset[0]])
    inputs = trainer.prepare_batch(batch, trainer.state.device, trainer.non_blocking)[0]
    copy = deepcopy(network)
    for stage in strategy.stages:
        copy.set_trainable(stage.trainable)
        copy.train()
        if _lacks_variance(copy, inputs):
            raise ValueError(
                f"batch_size: {len(sampler)} samples in batches of {size} leave a last batch of "
                f"one, from which a batch norm in stage {stage.name} cannot compute a variance; "
                "choose another batch_size or a larger patch_size"
            )


def _lacks_variance(network: nn.Module, inputs: torch.Tensor) -> bool:
    """Whether a batch norm refuses the inputs; other errors are left to the training."""
    try:
        with torch.no_grad(), torch.random.fork_rng():
            network(inputs)
    except (ValueError, RuntimeError) as error:
        return LONE_VALUE in str(error)
    return False
