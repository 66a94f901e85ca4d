"""Figures: rigged figurines, soft creatures and props in three dimensions, seen from all sides, moving and dressed.

A figure is described first (`describe_figure`, then `doing`, `wearing`, `made`) and drawn afterwards (`draw_figure`);
everything follows from the description. `python -m toybox.world.figures` draws a sheet to look at.
"""

from toybox.world.figures.drawing import Drawn, draw_figure, lift
from toybox.world.figures.dress import GARMENTS, Garment
from toybox.world.figures.motions import MOTIONS, Motion
from toybox.world.figures.registry import (
    FIGURES,
    MATERIALS,
    Figure,
    describe_figure,
    doing,
    made,
    phrases,
    varied,
    vocabulary,
    wearing,
)

__all__ = [
    "FIGURES",
    "GARMENTS",
    "MATERIALS",
    "MOTIONS",
    "Drawn",
    "Figure",
    "Garment",
    "Motion",
    "describe_figure",
    "doing",
    "draw_figure",
    "lift",
    "made",
    "phrases",
    "varied",
    "vocabulary",
    "wearing",
]
