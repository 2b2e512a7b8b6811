"""What a person looks at: overview picture and page."""
