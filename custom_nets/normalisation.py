"""Normalisation of inputs in [0, 1] to the mean and deviation an encoder was trained with."""

import torch
from torch import Tensor, nn

STATISTICS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Mean and standard deviation of the red, green and blue channel."""


class InputNormalisation(nn.Module):
    """Subtract a mean and divide by a standard deviation, part of the network and its exports.

    For one input channel the figures of the three colours are averaged. Published figures are not
    in the ``state_dict``. The mean of the network's own training images is: like weights it is
    learnt from data, and a network that loads the weights must subtract the same number, whatever
    mean it was built with.

    >>> InputNormalisation("half", 1)(torch.tensor([[[[0.0, 0.5, 1.0]]]])).tolist()
    [[[[-1.0, 0.0, 1.0]]]]
    >>> own = InputNormalisation("half", 1, mean=0.25)
    >>> own(torch.tensor([[[[0.0, 0.25, 1.0]]]])).tolist(), list(own.state_dict())
    ([[[[-0.5, 0.0, 1.5]]]], ['mean'])
    """

    # TorchScript reads these annotations, so this file does not postpone them.
    mean: Tensor
    std: Tensor

    def __init__(self, kind: str, channels: int, *, mean: float | None = None) -> None:
        """Choose "imagenet", "half" or "none" for 1 or 3 channels.

        ``mean`` replaces that kind's mean in every channel; its deviation stays.

        Raises:
            ValueError: the kind is unknown, or the mean is outside [0, 1]; on the wrong scale an
                encoder gives poor features, which could go unnoticed.
        """
        super().__init__()
        if kind not in STATISTICS:
            raise ValueError(
                f"normalise must be one of {', '.join(STATISTICS)}; got {kind!r}; choose one"
            )
        if mean is not None and not 0 <= mean <= 1:
            raise ValueError(
                f"normalise: a mean of images in [0, 1] must be between 0 and 1; got {mean}; take "
                "the mean after the window was mapped to [0, 1]"
            )
        usual, std = (torch.tensor(figures).view(1, 3, 1, 1) for figures in STATISTICS[kind])
        if channels == 1:
            usual, std = usual.mean(dim=1, keepdim=True), std.mean(dim=1, keepdim=True)
        subtracted = usual if mean is None else torch.full_like(usual, mean)
        self.register_buffer("mean", subtracted, persistent=mean is not None)
        self.register_buffer("std", std, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) in [0, 1] to the same shape."""
        return (x - self.mean) / self.std


def make_normalisation(asked: str | float | None, usual: str, channels: int) -> InputNormalisation:
    """Build the normalisation of a network.

    Args:
        asked: "imagenet", "half" or "none"; a number, the mean of the training images, which
            replaces the usual mean; None for the usual kind.
        usual: the kind that the encoder's published weights expect.
        channels: 1 or 3.

    >>> make_normalisation(0.3, "imagenet", 1).mean.item() == torch.tensor(0.3).item()
    True
    """
    if asked is None or isinstance(asked, str):
        return InputNormalisation(asked or usual, channels)
    return InputNormalisation(usual, channels, mean=float(asked))
