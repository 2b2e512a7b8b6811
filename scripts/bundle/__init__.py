"""What a config becomes: composition, ids, the record of a run."""
