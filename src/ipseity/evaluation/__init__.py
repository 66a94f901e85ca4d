"""Scores of images, and the report."""
