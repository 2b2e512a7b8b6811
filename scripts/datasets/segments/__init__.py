"""Labels by name: DICOM SEG, RTSTRUCT and 3D Slicer's segmentations of a CT."""
