"""Kills, full disks, missing permissions and damaged files, drawn from a seed: `make torture`."""
