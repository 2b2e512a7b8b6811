"""Several trained networks, and flips, as members whose agreement tells where they may fail."""
