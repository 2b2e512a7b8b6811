"""Data sets: what a source folder holds, and the datalist that preparation writes."""
