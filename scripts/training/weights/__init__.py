"""Weights that a training starts from, and those that it saves."""
