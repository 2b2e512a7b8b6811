"""Demonstrations: all workflows of a bundle on phantoms, with the commands that a user types."""
