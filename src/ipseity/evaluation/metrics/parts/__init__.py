"""What several metrics stand on."""
