"""ImageNet classifiers as encoders: one family a file, one contract."""
