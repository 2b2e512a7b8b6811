"""Network that maps an image patch to a feature vector of length 1, for clustering."""

from __future__ import annotations

from monai.networks.layers.factories import Conv, Norm, Pool
from torch import Tensor, nn
from torch.nn import functional


class PatchEmbedding(nn.Module):
    """Patches (B, in_channels, P, P) or (B, in_channels, P, P, P) to features (B, features).

    Three convolutions without padding, each with batch normalisation and ReLU, a max pooling of 2
    after the first, and two fully connected layers; the result has the Euclidean length 1.

    Source: Moriya et al., Unsupervised segmentation of 3D medical images based on clustering and
    deep representation learning, SPIE Medical Imaging 10578, 2018. The kinds of layers are known;
    their numbers (patches of 27, 50 kernels of 5, 1350 and 160 neurons) could not be checked in the
    paper. The place of the pooling is our conclusion: with 27 x 27 x 27 voxels it leaves
    50 x 3 x 3 x 3 = 1350 values before the fully connected layers. Kernels of 3 for patches of less
    than 22 pixels are our addition.

    >>> import torch
    >>> network = PatchEmbedding(2, in_channels=3, patch=27).eval()
    >>> tuple(network(torch.rand(2, 3, 27, 27)).shape)
    (2, 160)
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        *,
        in_channels: int = 3,
        patch: int = 27,
        features: int = 160,
    ) -> None:
        """Build the network.

        Args:
            spatial_dims: 2 (slices as channels) or 3.
            in_channels: channels of a patch.
            patch: edge of a patch in pixels; it determines the kernels.
            features: length of the feature vector.

        Raises:
            ValueError: for another number of dimensions, or a patch that is too small.
        """
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims: must be 2 or 3, got {spatial_dims}")
        kernel = kernel_for(patch)
        edge = remaining_edge(patch, kernel)
        maps, hidden = 50, 1350
        convolution, norm = Conv[Conv.CONV, spatial_dims], Norm[Norm.BATCH, spatial_dims]
        self.convolutions = nn.Sequential(
            *(convolution(in_channels, maps, kernel), norm(maps), nn.ReLU()),
            Pool[Pool.MAX, spatial_dims](2),
            *(convolution(maps, maps, kernel), norm(maps), nn.ReLU()),
            *(convolution(maps, maps, kernel), norm(maps), nn.ReLU()),
        )
        self.connected = nn.Sequential(
            nn.Flatten(),
            nn.Linear(maps * edge**spatial_dims, hidden),
            nn.ReLU(),
            nn.Linear(hidden, features),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Map patches to features of length 1."""
        return functional.normalize(self.connected(self.convolutions(patches)))


def kernel_for(patch: int) -> int:
    """Return the edge of the convolutions' kernels: 5, or 3 for patches of 12 to 21 pixels.

    Raises:
        ValueError: for smaller patches.

    Example:
        >>> kernel_for(27), kernel_for(15)
        (5, 3)
    """
    fitting = [kernel for kernel in (5, 3) if remaining_edge(patch, kernel) >= 1]
    if not fitting:
        raise ValueError(f"patch: must be at least 12 pixels, got {patch}")
    return fitting[0]


def remaining_edge(patch: int, kernel: int) -> int:
    """Return the edge of the last convolution's maps.

    Example:
        >>> remaining_edge(27, 5), remaining_edge(15, 3)
        (3, 2)
    """
    return (patch - kernel + 1) // 2 - 2 * (kernel - 1)
