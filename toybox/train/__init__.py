"""How the shipped toybox weights are made: shards, VAE, text encoders and UNet, judges, checker, packaging, figures.

Every stage is one command, `python -m toybox.train <stage>`, and resumes when it is repeated.
"""
