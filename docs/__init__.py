"""Derived pages."""
