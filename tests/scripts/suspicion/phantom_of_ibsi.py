"""The digital phantom of the Image Biomarker Standardisation Initiative (CC BY 4.0).

Voxels of 2 mm; 0 is outside. Reference values: Zwanenburg et al., arXiv 1612.07003, chapter 5.
"""

import numpy as np

LEVELS = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ]
)
MASK = LEVELS > 0
EDGE_MM = 2.0
