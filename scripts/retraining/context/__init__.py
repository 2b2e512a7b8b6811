"""Auto-context: probability maps of an earlier network, out of fold, as further input."""
