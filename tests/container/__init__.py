"""The Containerfile's steps, read and run where no container engine is."""
