"""ipseity: diffusion models draw one particular subject, faithfully, anywhere."""

__version__ = "0.1.0"
