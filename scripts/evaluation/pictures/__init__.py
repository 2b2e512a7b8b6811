"""Pictures of slices with the outlines or classes of annotation and prediction."""
