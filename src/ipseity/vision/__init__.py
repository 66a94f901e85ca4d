"""Frozen encoders that look at pictures (and some at text), one file each."""
