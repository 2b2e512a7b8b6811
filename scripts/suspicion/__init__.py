"""Radiologists' suspicion of malignancy for each segmented nodule. Research only, no diagnosis."""
