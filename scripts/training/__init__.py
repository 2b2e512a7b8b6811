"""Training: ignite handlers for stages, checkpoints and reports; losses and inferers."""
