"""Places out of doors, in nature."""

import numpy as np

from toybox.world.places import tiles
from toybox.world.places.brushes import Canvas, cover, floor, foliage, gradient, mottle, ridge
from toybox.world.places.place import Place

BLUE_SKY = ((0.0, (92, 168, 240)), (1.0, (206, 232, 252)))


def sky(c: Canvas, bottom: float, stops=BLUE_SKY, *, clouds: float = 0.85) -> None:
    """Paints a sky down to a line, with soft clouds."""
    gradient(c, [(place, c.tone(rgb, 0.04)) for place, rgb in stops], 0, bottom)
    if clouds:
        mottle(
            c,
            (255, 255, 255),
            cells=int(c.rng.integers(2, 5)),
            strength=clouds * c.uniform(0.3, 1),
            bottom=bottom * 0.9,
        )


def trunks(c: Canvas, count: int, foot: float, *, width: float, fill: tuple[int, int, int]) -> None:
    """Draws upright trunks behind the scene."""
    for x in c.rng.uniform(0, 1, count):
        w = width * c.uniform(0.6, 1.3)
        c.shape([(x - w, -0.05), (x + w, -0.05), (x + w * 1.4, foot), (x - w * 1.4, foot)], fill=c.tone(fill, 0.12))


def _snow(c: Canvas) -> None:
    horizon = c.uniform(0.42, 0.54)
    sky(c, horizon + 0.02, ((0.0, (150, 190, 230)), (1.0, (232, 240, 250))), clouds=0.7)
    c.shape([*ridge(c.rng, horizon + 0.02, c.uniform(0.1, 0.24)), (1, 1), (0, 1)], fill=c.tone((196, 214, 236), 0.03))
    for x in np.sort(c.rng.uniform(0, 1, int(c.rng.integers(4, 9)))):
        _fir(c, x, horizon + 0.03, c.uniform(0.12, 0.28), (52, 92, 88), snowy=True)
    c.blur(7)
    floor(c, "snow", tiles.snow, horizon=horizon, scale=0.5)
    c.blur(2)
    for x, y, r in c.rng.uniform(0, 1, (34, 3)):
        c.disc(x, y, 0.003 + 0.005 * r, fill=(255, 255, 255))


def _fir(c: Canvas, x: float, foot: float, height: float, fill, *, snowy: bool = False) -> None:
    """Draws a fir tree."""
    c.box(x - 0.012, foot - 0.1 * height, x + 0.012, foot, fill=(84, 60, 48))
    tone = c.tone(fill, 0.12)
    for level in range(3):
        top, low, wide = (
            foot - height * (1 - 0.22 * level),
            foot - height * (0.55 - 0.24 * level),
            height * (0.16 + 0.08 * level),
        )
        c.shape([(x, top), (x + wide, low), (x - wide, low)], fill=tone)
        if snowy:
            c.shape(
                [(x, top), (x + wide * 0.45, top + 0.45 * (low - top)), (x - wide * 0.45, top + 0.45 * (low - top))],
                fill=(240, 246, 252),
            )


def _jungle(c: Canvas) -> None:
    gradient(c, [(0, c.tone((150, 206, 120))), (0.5, c.tone((62, 140, 66))), (1, (24, 74, 40))], 0, 0.72)
    trunks(c, 5, 0.66, width=0.018, fill=(70, 70, 40))
    foliage(
        c,
        60,
        x=(0, 1),
        y=(0.0, 0.62),
        radius=(0.03, 0.09),
        fills=[c.pick((30, 104, 50), (58, 146, 62), (92, 178, 74)) for _ in range(6)],
    )
    for _ in range(9):
        x, tilt = c.uniform(0, 1), c.uniform(-0.2, 0.2)
        c.stroke(
            [(x, 0), (x + tilt / 3, 0.2), (x + tilt / 6, c.uniform(0.3, 0.5))], 0.008, fill=c.tone((44, 92, 40), 0.1)
        )
    c.blur(9)
    floor(c, "forest", tiles.forest_ground, horizon=0.5, top=0.66, scale=0.7)
    for side in (0, 1):
        for _ in range(7):
            _fan(c, side + c.uniform(-0.08, 0.08), c.uniform(0.1, 0.95), c.uniform(0.14, 0.3), left=bool(side))
    c.blur(3)


def _fan(c: Canvas, x: float, y: float, reach: float, *, left: bool) -> None:
    """Draws one big leaf that grows from the edge of the picture."""
    way, droop, tone = (-1 if left else 1), c.uniform(-0.12, 0.16), c.pick((36, 128, 58), (64, 160, 66), (22, 100, 56))
    tip = (x + way * reach, y + droop)
    c.shape(
        [
            (x, y - 0.02),
            (x + way * reach * 0.5, y + droop * 0.3 - 0.06),
            tip,
            (x + way * reach * 0.5, y + droop * 0.6 + 0.05),
        ],
        fill=tone,
    )


def _beach(c: Canvas) -> None:
    horizon = c.uniform(0.34, 0.46)
    sky(c, horizon)
    gradient(
        c, [(0, c.tone((22, 120, 190))), (0.7, c.tone((70, 190, 214))), (1, (214, 240, 240))], horizon, horizon + 0.17
    )
    for _ in range(8):
        y, x = horizon + c.uniform(0.01, 0.14), c.uniform(-0.1, 1)
        c.stroke([(x, y), (x + c.uniform(0.1, 0.4), y)], 0.005, fill=(206, 238, 246))
    c.blur(4)
    floor(c, "sand", tiles.sand, horizon=horizon, top=horizon + 0.16, scale=0.6)
    if c.rng.random() < 0.6:
        x = float(c.rng.choice([0.1, 0.9])) + c.uniform(-0.05, 0.05)
        _palm(c, x, horizon + 0.26, c.uniform(0.4, 0.58))
    c.blur(3)


def _palm(c: Canvas, x: float, foot: float, height: float) -> None:
    """Draws a palm tree."""
    bend = c.uniform(-0.06, 0.06)
    c.stroke(
        [(x, foot), (x + bend / 2, foot - height / 2), (x + bend, foot - height)], 0.026, fill=c.tone((150, 110, 70))
    )
    for angle in np.linspace(-2.9, -0.2, 7):
        dx, dy = 0.19 * np.cos(angle), 0.12 * np.sin(angle)
        top = (x + bend, foot - height)
        c.shape(
            [
                top,
                (top[0] + dx * 0.6, top[1] + dy - 0.015),
                (top[0] + dx, top[1] + dy + 0.06),
                (top[0] + dx * 0.5, top[1] + dy + 0.03),
            ],
            fill=c.tone((46, 140, 70), 0.12),
        )


def _peak(c: Canvas, top: tuple[float, float], size: tuple[float, float], tone: tuple[int, int, int]) -> None:
    """Draws one mountain: lit and shaded side, a cap of snow."""
    (x, y), (wide, tall) = top, size
    foot = y + tall + 0.01
    c.shape([top, (x + wide, foot), (x - wide, foot)], fill=tone)
    c.shape([top, (x + wide, foot), (x + 0.06, foot)], fill=tuple(int(v * 0.84) for v in tone))
    cap = ((0.0, 0.0), (1.0, 1.0), (0.4, 0.8), (0.0, 1.1), (-0.45, 0.75), (-1.0, 1.0))
    c.shape([(x + 0.3 * wide * across, y + 0.3 * tall * down) for across, down in cap], fill=(246, 250, 255))


def _mountain(c: Canvas) -> None:
    horizon = c.uniform(0.52, 0.6)
    sky(c, horizon + 0.04)
    peak, height, wide = c.uniform(0.25, 0.75), c.uniform(0.34, 0.46), c.uniform(0.38, 0.5)
    for x, share, tone in (
        (peak + c.uniform(0.25, 0.4), 0.62, (122, 138, 170)),
        (peak - c.uniform(0.25, 0.4), 0.7, (112, 130, 164)),
        (peak, 1.0, (92, 110, 148)),
    ):
        _peak(c, (x, horizon - height * share), (wide * share, height * share), c.tone(tone, 0.05))
    foliage(
        c,
        40,
        x=(0, 1),
        y=(horizon - 0.02, horizon + 0.03),
        radius=(0.015, 0.035),
        fills=[c.tone((58, 112, 70), 0.1) for _ in range(4)],
    )
    c.blur(5)
    floor(c, "grass", tiles.grass, horizon=horizon, top=horizon + 0.02, scale=0.8)
    c.blur(2)


def _wheat(c: Canvas) -> None:
    horizon = c.uniform(0.36, 0.44)
    sky(c, horizon + 0.02)
    gradient(c, [(0, c.tone((226, 186, 88))), (1, c.tone((206, 156, 60)))], horizon, 0.8)
    _stalks(c, 150, horizon + 0.02, 0.72, 0.10)
    c.blur(4)
    floor(c, "dirt", tiles.dirt, horizon=horizon - 0.1, top=0.74, scale=0.8)
    _stalks(c, 34, 0.74, 0.78, 0.13)
    c.blur(2)


def _stalks(c: Canvas, count: int, top: float, bottom: float, height: float) -> None:
    """Draws ears of wheat, far ones first."""
    for y in np.sort(c.rng.uniform(top, bottom, count)):
        x, lean = c.uniform(0, 1), c.uniform(-0.03, 0.03)
        tall = height * (0.5 + 0.5 * (y - top) / max(bottom - top, 0.01))
        tone = c.pick((238, 200, 96), (216, 168, 66), (248, 216, 124))
        c.stroke([(x, y), (x + lean, y - tall)], 0.006, fill=tone)
        c.disc(x + lean, y - tall, 0.011, 0.028, fill=tone)


def _autumn(c: Canvas) -> None:
    sky(c, 0.62, ((0.0, (176, 206, 232)), (1.0, (248, 232, 206))))
    x = float(c.rng.choice([0.2, 0.8])) + c.uniform(-0.08, 0.08)
    c.shape([(x - 0.04, 0.66), (x - 0.025, 0.2), (x + 0.025, 0.2), (x + 0.045, 0.66)], fill=c.tone((96, 62, 44)))
    fills = [c.pick((232, 122, 34), (206, 66, 34), (244, 180, 52), (190, 90, 40)) for _ in range(7)]
    foliage(c, 110, x=(x - 0.32, x + 0.32), y=(-0.02, 0.36), radius=(0.025, 0.06), fills=fills)
    foliage(c, 50, x=(0, 1), y=(0.52, 0.62), radius=(0.03, 0.06), fills=fills)
    c.blur(6)
    floor(c, "autumn", tiles.autumn_ground, horizon=0.48, top=0.6, scale=0.9)
    for x, y in c.rng.uniform(0, 1, (14, 2)):
        c.disc(x, y, 0.016, 0.009, fill=c.pick((232, 122, 34), (206, 66, 34), (244, 180, 52)))
    c.blur(2)


def _sunflowers(c: Canvas) -> None:
    horizon = c.uniform(0.28, 0.38)
    sky(c, horizon + 0.02)
    floor(c, "grass", tiles.grass, horizon=horizon, scale=0.7)
    c.blur(3)
    for y in np.sort(c.rng.uniform(horizon + 0.1, 0.98, 26)):
        x = c.uniform(0.0, 0.30) if c.rng.random() < 0.5 else c.uniform(0.70, 1.0)
        if y < horizon + 0.3:
            x = c.uniform(0, 1)
        _sunflower(c, x, y, 0.02 + 0.075 * (y - horizon))
    c.blur(2)


def _sunflower(c: Canvas, x: float, y: float, r: float) -> None:
    """Draws a sunflower of radius r on a short stem."""
    c.stroke([(x, y), (x, y + 2.2 * r)], 0.3 * r, fill=c.tone((60, 128, 48)))
    for angle in np.linspace(0, 2 * np.pi, 11)[:-1]:
        c.disc(x + 0.75 * r * np.cos(angle), y + 0.75 * r * np.sin(angle), 0.42 * r, fill=c.tone((252, 202, 40), 0.05))
    c.disc(x, y, 0.55 * r, fill=(96, 58, 30))


def _water(c: Canvas) -> None:
    horizon = c.uniform(0.2, 0.36)
    sky(c, horizon + 0.01)
    c.shape(
        [*ridge(c.rng, horizon + 0.01, 0.07), (1, horizon + 0.01), (0, horizon + 0.01)], fill=c.tone((118, 160, 168))
    )
    c.blur(5)
    floor(c, "water", tiles.water, horizon=horizon, scale=0.55, haze=(176, 216, 236))
    c.blur(2)


def _dirt_road(c: Canvas) -> None:
    horizon = c.uniform(0.36, 0.46)
    sky(c, horizon + 0.01)
    foliage(
        c,
        50,
        x=(0, 1),
        y=(horizon - 0.05, horizon + 0.02),
        radius=(0.02, 0.05),
        fills=[c.tone((84, 136, 70), 0.1) for _ in range(4)],
    )
    c.blur(5)
    floor(c, "grass", tiles.grass, horizon=horizon, top=horizon + 0.01, scale=0.8)
    field = c.image.copy()
    floor(c, "dirt", tiles.dirt, horizon=horizon, top=horizon + 0.01, scale=0.8)
    s, bend = c.side, c.uniform(0.42, 0.58)
    edge = [((bend - 0.02) * s, horizon * s), ((bend + 0.02) * s, horizon * s), (1.05 * s, s), (-0.05 * s, s)]
    cover(c, field, lambda pen: pen.polygon(edge, fill=255))
    c.blur(2)


def _forest(c: Canvas) -> None:
    gradient(c, [(0, c.tone((176, 214, 170))), (1, c.tone((70, 110, 72)))], 0, 0.7)
    trunks(c, 14, 0.62, width=0.016, fill=(104, 92, 74))
    trunks(c, 5, 0.68, width=0.032, fill=(82, 60, 44))
    foliage(c, 46, x=(0, 1), y=(0, 0.2), radius=(0.04, 0.09), fills=[c.tone((56, 120, 62), 0.12) for _ in range(5)])
    c.blur(6)
    floor(c, "forest", tiles.forest_ground, horizon=0.5, top=0.62, scale=0.8)
    c.blur(2)


def _desert(c: Canvas) -> None:
    horizon = c.uniform(0.42, 0.5)
    sky(c, horizon + 0.06, ((0.0, (86, 160, 226)), (1.0, (252, 226, 180))), clouds=0.0)
    c.disc(c.uniform(0.1, 0.9), c.uniform(0.08, 0.2), 0.055, fill=(255, 244, 200))
    for shade, lift in (((226, 160, 92), 0.14), ((236, 178, 108), 0.08)):
        c.shape([*ridge(c.rng, horizon + 0.03, lift, levels=2, rough=0.3), (1, 1), (0, 1)], fill=c.tone(shade, 0.04))
    c.blur(5)
    floor(c, "desert", tiles.desert_sand, horizon=horizon, top=horizon + 0.03, scale=0.7)
    c.blur(2)


def _night(c: Canvas) -> None:
    horizon = c.uniform(0.6, 0.68)
    gradient(c, [(0, (12, 16, 52)), (0.7, (36, 44, 108)), (1, (78, 74, 142))], 0, horizon + 0.02)
    mottle(c, (74, 60, 140), cells=3, strength=0.5, bottom=horizon)
    for x, y, r in c.rng.uniform(0, 1, (70, 3)):
        c.disc(x, y * horizon, 0.0025 + 0.004 * r * r, fill=(255, 250, 224))
    x, y = c.uniform(0.1, 0.9), c.uniform(0.1, 0.24)
    c.disc(x, y, 0.066, fill=(250, 244, 214))
    c.disc(x + 0.03, y - 0.014, 0.056, fill=(20, 24, 66))
    c.shape([*ridge(c.rng, horizon + 0.02, 0.08), (1, 1), (0, 1)], fill=(24, 28, 60))
    c.blur(2)
    floor(c, "grass", tiles.grass, horizon=horizon - 0.2, top=horizon + 0.01, scale=0.8)
    ground = c.image.crop((0, round((horizon + 0.01) * c.side), c.side, c.side)).point(lambda v: v * 0.36)
    c.image.paste(ground, (0, round((horizon + 0.01) * c.side)))
    c.blur(2)


def _moon(c: Canvas) -> None:
    horizon = c.uniform(0.42, 0.52)
    gradient(c, [(0, (6, 6, 16)), (1, (18, 18, 36))], 0, horizon)
    for x, y, r in c.rng.uniform(0, 1, (60, 3)):
        c.disc(x, y * horizon, 0.002 + 0.003 * r * r, fill=(255, 255, 255))
    x, y = c.uniform(0.12, 0.88), c.uniform(0.1, 0.2)
    c.disc(x, y, 0.075, fill=(56, 120, 214))
    c.disc(x - 0.02, y - 0.012, 0.03, 0.024, fill=(84, 168, 90))
    c.disc(x + 0.03, y + 0.02, 0.026, 0.018, fill=(84, 168, 90))
    c.blur(2)
    floor(c, "moon", tiles.moon_dust, horizon=horizon, scale=0.5)
    c.shape([*ridge(c.rng, horizon + 0.01, 0.05), (1, horizon + 0.015), (0, horizon + 0.015)], fill=(120, 120, 130))
    c.blur(2)


PLACES = (
    Place(
        "snow",
        ("in the snow", "covered in snow all around", "on a snowy field", "in a snowy landscape"),
        "snow",
        _snow,
        tint=(0.97, 1.0, 1.05),
        shadow=(70, 90, 140),
    ),
    Place(
        "jungle",
        ("in the jungle", "in a green jungle", "in the rainforest"),
        "jungle",
        _jungle,
        tint=(0.94, 1.03, 0.92),
        shadow=(10, 24, 10),
    ),
    Place(
        "beach",
        ("on the beach", "on a sandy beach by the sea", "at the seaside"),
        "beach",
        _beach,
        tint=(1.03, 1.01, 0.97),
        shadow=(120, 84, 50),
    ),
    Place(
        "mountain",
        ("with a mountain in the background", "in front of a mountain", "with snowy mountains behind it"),
        "mountain",
        _mountain,
    ),
    Place(
        "wheat field",
        ("with a wheat field in the background", "in front of a wheat field", "in a field of wheat"),
        "wheat field",
        _wheat,
        tint=(1.04, 1.0, 0.93),
        feet=(0.84, 0.92),
    ),
    Place(
        "autumn",
        ("with a tree and autumn leaves in the background", "among autumn leaves", "in an autumn park"),
        "autumn leaves",
        _autumn,
        tint=(1.04, 0.99, 0.94),
    ),
    Place(
        "sunflowers",
        ("on top of green grass with sunflowers around it", "in a sunflower meadow", "on the grass among sunflowers"),
        "sunflowers",
        _sunflowers,
    ),
    Place(
        "water",
        ("floating on top of water", "floating in the sea", "on the water"),
        "water",
        _water,
        ground="water",
        feet=(0.74, 0.86),
    ),
    Place("dirt road", ("on top of a dirt road", "on a dirt road", "on a dusty country road"), "dirt road", _dirt_road),
    Place(
        "forest",
        ("in the forest", "in the woods", "in a forest among trees"),
        "forest",
        _forest,
        tint=(0.97, 1.01, 0.94),
    ),
    Place(
        "desert",
        ("in the desert", "on desert sand", "among sand dunes"),
        "desert",
        _desert,
        tint=(1.05, 1.0, 0.92),
        shadow=(110, 60, 30),
    ),
    Place(
        "night",
        ("under the night sky", "at night under the stars", "outside at night"),
        "night sky",
        _night,
        tint=(0.86, 0.9, 1.12),
        dim=0.78,
        shadow=(4, 4, 16),
    ),
    Place(
        "moon",
        ("on the moon", "on the surface of the moon", "in space on the moon"),
        "moon",
        _moon,
        shadow=(20, 20, 28),
    ),
)
