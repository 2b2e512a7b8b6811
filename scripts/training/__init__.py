"""Ignite handlers: stages, checkpoints, randomness, reports."""
