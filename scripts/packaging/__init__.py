"""From a bundle and a trained network to one file that runs where this project is not."""
