"""Preparation of any data set: slices, samples, partitions, the report."""
