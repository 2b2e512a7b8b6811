"""Networks whose encoders are ImageNet classifiers, and what transferring them needs."""
