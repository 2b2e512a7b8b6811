"""What predict reads: files of a folder, zip or DICOM series, grouped into studies."""
