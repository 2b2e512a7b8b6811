"""Demonstrations: the whole path of a bundle on phantoms, by the commands a user would type."""
