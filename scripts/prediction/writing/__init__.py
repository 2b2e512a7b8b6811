"""Writing of a result: a study's folder with its products and manifest, whole or not at all."""
