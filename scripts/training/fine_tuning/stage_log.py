"""What staged fine-tuning logs at the beginning and end of a stage, and at the end of the run."""

from __future__ import annotations

from pathlib import Path

from scripts.training.fine_tuning.stage_options import Stage
from scripts.training.fine_tuning.stage_record import Best


def released(stage: Stage, trained: int, total: int) -> str:
    """Describe the beginning of a stage.

    Args:
        stage: the stage.
        trained: number of its trainable parameters.
        total: number of all parameters of the network.

    Example:
        >>> stage = Stage("B", ("block5",), 10, None, 1e-4, learning_rates={"block5": 1e-5})
        >>> released(stage, 217, 24_436_369)
        'released block5; 217 of 24.4 M parameters train; learning rate 0.0001, block5 1e-05'
    """
    rates = "".join(f", {part} {rate:g}" for part, rate in stage.learning_rates.items())
    return (
        f"released {', '.join(stage.trainable)}; {in_millions(trained)} of {in_millions(total)} "
        f"parameters train; learning rate {stage.learning_rate:g}{rates}"
    )


def ended(reason: str, epochs: int, metric: str, best: Best) -> str:
    """Describe the end of a stage.

    Args:
        reason: what ended it, its epochs or its patience.
        epochs: number of its complete epochs.
        metric: name of the key metric.
        best: its best weights.

    Example:
        >>> ended("patience", 12, "val_dice", Best(0, 7, 0.81234, {}))
        'ended by its patience after 12 epochs, best val_dice 0.8123 in epoch 7'
    """
    average = f", the average of {best.averaged} epochs" if best.averaged else ""
    return (
        f"ended by its {reason} after {epochs} epochs, best {metric} {best.metric:.4f} in epoch "
        f"{best.epoch}{average}"
    )


def result(stage: Stage, metric: str, best: Best, path: Path) -> str:
    """Describe the result of the run.

    Args:
        stage: the best stage.
        metric: name of the key metric.
        best: its weights.
        path: file that they are written to.

    Example:
        >>> stage = Stage("B", ("all",), 10, None, 1e-4)
        >>> result(stage, "val_dice", Best(0, 7, 0.81234, {}), Path("model.pt"))
        "the result is stage 'B', epoch 7, with val_dice 0.8123: model.pt"
    """
    return (
        f"the result is stage {stage.name!r}, epoch {best.epoch}, with {metric} "
        f"{best.metric:.4f}: {path}"
    )


def in_millions(count: int) -> str:
    """Format a number of parameters.

    Example:
        >>> in_millions(24_436_369), in_millions(217)
        ('24.4 M', '217')
    """
    return f"{count / 1e6:.1f} M" if count >= 100_000 else str(count)
