"""A volume of three textures whose intensities are equally distributed."""

import numpy as np
from scipy import ndimage

from scripts.volumes.volume import Volume

BLURS = ((0.5, 0.5, 0.5), (0.7, 2, 0.6), (1, 2, 2))  # along z, y, x in voxels
LOW_HU, RANGE_HU = -100, 400


def three_textures(seed=0, shape=(5, 48, 96), textures=BLURS):
    """Return the volume and the number of the texture of each voxel, in equal parts along x.

    Each texture is filtered noise, its values replaced by their ranks: the histograms are equal.
    """
    rng = np.random.default_rng(seed)
    number = np.broadcast_to(np.arange(shape[2]) * len(textures) // shape[2], shape)
    hu = np.zeros(shape)
    for k, blur in enumerate(textures):
        noise = ndimage.gaussian_filter(rng.standard_normal(shape), blur)[number == k]
        hu[number == k] = LOW_HU + RANGE_HU * noise.argsort().argsort() / noise.size
    return Volume(np.rint(hu).astype(np.int16), np.diag([0.8, 0.8, 2.4, 1.0])), number.copy()
