"""Prediction for use: masks, DICOM objects, tables, pictures and a page of each CT."""
