"""What several encoders share; not plug-ins."""
