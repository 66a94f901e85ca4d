"""Real places for the toybox's world: views cut from eighteen CC0 panoramas, with the light that belongs to them.

`registry.PLACES` fits the world's registry of places; `python -m toybox.world.panoramas OUT.png` draws them all.
"""
