"""What several bases share; not plug-ins."""
