"""What configs name and people call: reading, preparation, training handlers, metrics, reports."""
