"""Surfaces to put a thing on: fabrics, rugs, floors, milk, a mirror."""

from toybox.world.places import tiles
from toybox.world.places.brushes import Canvas, cover, floor, foliage, gradient, mottle
from toybox.world.places.landscapes import trunks
from toybox.world.places.place import Place


def _fabric(c: Canvas) -> None:
    floor(c, "fabric", tiles.pink_fabric, horizon=-0.6, top=0.0, scale=1.1, turn=c.uniform(-20, 20))
    mottle(c, (214, 100, 146), cells=3, strength=0.45)
    mottle(c, (255, 206, 224), cells=4, strength=0.55)
    c.blur(5)


def _wall(c: Canvas, foot: float, fill) -> None:
    """Paints a plain wall with a skirting board."""
    tone = c.tone(fill, 0.06)
    gradient(c, [(0, tone), (1, tuple(int(v * 0.9) for v in tone))], 0, foot)
    c.box(0, foot - 0.035, 1, foot, fill=(240, 236, 228))


def _wood(c: Canvas) -> None:
    foot = c.uniform(0.28, 0.42)
    walls = ((226, 220, 206), (190, 206, 204), (222, 200, 186), (200, 200, 214))
    _wall(c, foot, walls[int(c.rng.integers(4))])
    floor(c, "wood", tiles.wood, horizon=foot - 0.22, top=foot, scale=0.55, turn=c.uniform(-25, 25))
    c.blur(3)


def _milk(c: Canvas) -> None:
    horizon = c.uniform(0.2, 0.3)
    gradient(c, [(0, c.tone((250, 214, 220))), (1, (252, 244, 236))], 0, horizon + 0.01)
    floor(c, "milk", tiles.milk, horizon=horizon, scale=0.4, haze=(252, 246, 238))
    for _ in range(4):
        c.disc(
            c.uniform(0, 1),
            c.uniform(horizon + 0.1, 0.95),
            c.uniform(0.01, 0.03),
            c.uniform(0.005, 0.012),
            fill=(255, 255, 252),
        )
    c.blur(4)


def _mirror(c: Canvas) -> None:
    foot = c.uniform(0.22, 0.32)
    gradient(c, [(0, c.pick((206, 200, 220), (196, 214, 222), (226, 208, 200))), (1, (236, 236, 242))], 0, foot)
    gradient(c, [(0, (214, 224, 236)), (0.5, (176, 192, 212)), (1, (206, 218, 232))], foot, 1)
    x = c.uniform(0, 0.5)
    for shift in (0, 0.16):
        c.shape(
            [(x + shift, 1), (x + shift + 0.09, 1), (x + shift + 0.42, foot), (x + shift + 0.36, foot)],
            fill=(224, 232, 242),
        )
    c.box(0, foot - 0.016, 1, foot + 0.012, fill=c.pick((196, 156, 84), (150, 150, 160)))
    c.blur(5)


def _white_rug(c: Canvas) -> None:
    foot = c.uniform(0.26, 0.36)
    _wall(c, foot, (196, 180, 168))
    floor(c, "wood", tiles.wood, horizon=foot - 0.2, top=foot, scale=0.6)
    c.blur(3)
    _lay(c, tiles.white_rug, "white rug", foot)


def _lay(c: Canvas, tile, name: str, foot: float) -> None:
    """Lays an oval rug that fills most of the floor."""
    below = c.image.copy()
    floor(c, name, tile, horizon=foot - 0.2, top=foot, scale=0.9)
    s, top = c.side, foot + c.uniform(0.1, 0.16)
    cover(c, below, lambda pen: pen.ellipse((-0.08 * s, top * s, 1.08 * s, 1.1 * s), fill=255))
    c.blur(2)


def _purple_rug(c: Canvas) -> None:
    gradient(c, [(0, c.tone((168, 208, 160))), (1, c.tone((70, 110, 72)))], 0, 0.6)
    trunks(c, 12, 0.55, width=0.02, fill=(98, 80, 60))
    foliage(c, 40, x=(0, 1), y=(0, 0.2), radius=(0.04, 0.09), fills=[c.tone((56, 120, 62), 0.12) for _ in range(5)])
    c.blur(6)
    floor(c, "forest", tiles.forest_ground, horizon=0.4, top=0.52, scale=0.8)
    _lay(c, tiles.purple_rug, "purple rug", 0.5)


def _studio(c: Canvas) -> None:
    fills = (
        (244, 240, 232),
        (206, 226, 240),
        (246, 214, 208),
        (214, 236, 214),
        (250, 232, 180),
        (222, 212, 240),
        (190, 196, 204),
    )
    tone = c.tone(fills[int(c.rng.integers(len(fills)))], 0.04)
    low = tuple(int(v * 0.93) for v in tone)
    gradient(c, [(0, tuple(int(v * 0.9) for v in tone)), (0.55, tone), (0.68, low), (1, tone)])
    mottle(c, (255, 255, 255), cells=2, strength=0.25)


PLACES = (
    Place(
        "pink fabric",
        ("on top of pink fabric", "on pink fabric", "lying on pink cloth"),
        "pink fabric",
        _fabric,
        feet=(0.74, 0.86),
        tint=(1.04, 0.98, 1.0),
        shadow=(130, 40, 80),
    ),
    Place(
        "wooden floor",
        ("on top of a wooden floor", "on a wooden floor", "on the parquet"),
        "wooden floor",
        _wood,
        shadow=(60, 32, 16),
    ),
    Place(
        "milk",
        ("floating in an ocean of milk", "floating in milk", "in a sea of milk"),
        "milk",
        _milk,
        ground="milk",
        feet=(0.74, 0.86),
        shadow=(150, 130, 120),
    ),
    Place(
        "mirror",
        ("on top of a mirror", "on a mirror", "on a shiny mirror"),
        "mirror",
        _mirror,
        ground="mirror",
        feet=(0.68, 0.76),
        shadow=(70, 80, 110),
    ),
    Place(
        "white rug",
        ("on top of a white rug", "on a white rug", "on a fluffy white carpet"),
        "white rug",
        _white_rug,
        shadow=(110, 100, 96),
    ),
    Place(
        "purple rug",
        ("on top of a purple rug in a forest", "on a purple rug in the woods", "on a purple carpet in a forest"),
        "purple rug in a forest",
        _purple_rug,
        shadow=(40, 14, 60),
        tint=(0.99, 0.99, 0.98),
    ),
    Place(
        "studio",
        ("in a studio", "on a plain background", "in front of a plain backdrop"),
        "studio",
        _studio,
        feet=(0.78, 0.86),
    ),
)
