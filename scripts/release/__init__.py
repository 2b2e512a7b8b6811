"""What a trained model is worth: its figures on further scans, its model card, its release."""
