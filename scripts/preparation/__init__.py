"""Preparation of data sets for training: slices, samples, partitions and report."""
