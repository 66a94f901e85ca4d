"""Modules that methods bring along; not plug-ins."""
