"""DICOM images: headers, pixels, and the volume of a series."""
