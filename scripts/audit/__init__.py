"""What a shared config would do, found out without running any of it."""
