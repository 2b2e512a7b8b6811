"""LUNA16 on disk: scans, annotations, outlines, splits, preparation."""
