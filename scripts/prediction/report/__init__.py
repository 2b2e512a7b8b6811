"""Overview picture and page of a result."""
