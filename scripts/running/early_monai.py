"""MONAI, imported without what few processes use: first in the process that workers come from."""

from scripts.running.late_imports import late_imports

with late_imports():
    import monai  # noqa: F401
