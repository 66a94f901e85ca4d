"""Stands in for the few transforms that diffusers' training script takes from torchvision, through Pillow.

Only `benchmarks/against_diffusers.py` puts this folder on the path, and only for that script.
"""

__version__ = "0.0.0"
