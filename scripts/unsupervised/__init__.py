"""Learning without labels: layers trained one at a time, clusters of learned features."""
