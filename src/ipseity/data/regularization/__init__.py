"""Ways of preserving what the base already knows, one file each."""
