"""What the loop runs on, one file each."""
