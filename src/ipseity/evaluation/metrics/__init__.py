"""Scores of a gallery of images, one file each."""
