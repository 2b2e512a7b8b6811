"""LUNA16 and LIDC-IDRI: scans, nodule list, readers' outlines, labels."""
