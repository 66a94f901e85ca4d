"""Ways of writing training captions, one file each."""
