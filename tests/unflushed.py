"""Lets this process, and those forked from it, write files without waiting for the disk."""

import os

os.fsync = lambda descriptor: None
