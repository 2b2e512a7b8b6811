"""Files of whole volumes: MetaImage, NIfTI, NRRD, read without their libraries."""
