"""Self-training: few labelled cases give labels to others, which are trained on in turn."""
