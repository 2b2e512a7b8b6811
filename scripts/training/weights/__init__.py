"""Handlers that load the initial weights of a training, and save its results."""
