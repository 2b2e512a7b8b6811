"""Fine-tuning in stages: which blocks train when, at which rates, and what that gave."""
