"""Atomic writing of files, reading of archives, output folders, worker processes, options."""
