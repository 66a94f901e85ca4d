"""What a place is: how it is painted, how it is spoken of, and how it lights what stands in it."""

from collections.abc import Callable
from dataclasses import dataclass

from toybox.world.colours import RGB
from toybox.world.places.brushes import Canvas


@dataclass(frozen=True)
class Place:
    """One painted place.

    Attributes:
        name: Its name in descriptions and truth labels.
        phrases: Ways to say it after "a photo of a mug"; the first is the usual one.
        tag: The shortest way to say it ("snow").
        paint: Paints it, softly blurred behind and sharper in front.
        feet: Range for the foot of a middle-sized thing, as shares of the height.
        ground: "floor" (contact shadow), "mirror" (reflection), "water" or "milk" (the foot is under the surface),
            "air" (no contact).
        tint: Multiplied on the thing's colours, as red, green, blue around 1.
        shadow: Shade of the contact shadow.
        dim: Brightness of the thing, 1 by day.
    """

    name: str
    phrases: tuple[str, ...]
    tag: str
    paint: Callable[[Canvas], None]
    feet: tuple[float, float] = (0.80, 0.90)
    ground: str = "floor"
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shadow: RGB = (30, 24, 36)
    dim: float = 1.0
