"""How a command runs: its options, progress, worker processes, and the reason of a failure."""
