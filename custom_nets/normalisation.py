"""From inputs in [0, 1] to what the weights of an encoder were trained on."""

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

    One input channel takes the average of the three colours' figures. The figures are no weights:
    they stay out of the ``state_dict``.

    >>> InputNormalisation("half", 1)(torch.tensor([[[[0.0, 0.5, 1.0]]]])).tolist()
    [[[[-1.0, 0.0, 1.0]]]]
    """

    # No postponed annotations in this file: TorchScript reads these two.
    mean: Tensor
    std: Tensor

    def __init__(self, kind: str, channels: int) -> None:
        """Choose "imagenet", "half" or "none" for 1 or 3 channels.

        Raises:
            ValueError: another kind; weights fed on the wrong scale give poor features unnoticed.
        """
        super().__init__()
        if kind not in STATISTICS:
            raise ValueError(
                f"normalise must be one of {', '.join(STATISTICS)}; got {kind!r}; choose one"
            )
        mean, std = (torch.tensor(figures).view(1, 3, 1, 1) for figures in STATISTICS[kind])
        if channels == 1:
            mean, std = mean.mean(dim=1, keepdim=True), std.mean(dim=1, keepdim=True)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) in [0, 1] to the same shape."""
        return (x - self.mean) / self.std
