"""Training again with what a first network has found: context, self-training, adaptation."""
