"""Facts about the labels of LUNA16: agreement of readers, drawn balls, losses, ratings."""
