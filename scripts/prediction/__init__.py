"""From a scan to what people use: masks, DICOM objects, tables, pictures and a page."""
