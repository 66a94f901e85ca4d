"""One file for each way of putting an identity into a base."""
