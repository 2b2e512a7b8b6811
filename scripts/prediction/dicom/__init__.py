"""DICOM objects made of a mask: segmentation and structure set."""
