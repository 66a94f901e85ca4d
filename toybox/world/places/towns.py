"""Places in towns."""

import numpy as np

from toybox.world.places import tiles
from toybox.world.places.brushes import Canvas, floor, foliage, gradient
from toybox.world.places.landscapes import sky
from toybox.world.places.place import Place


def _block(c: Canvas, x: float, width: float, top: float, foot: float, fill) -> None:
    """Draws one building with rows of windows."""
    tone = c.tone(fill, 0.06)
    c.box(x, top, x + width, foot, fill=tone)
    c.box(x + width * 0.86, top, x + width, foot, fill=tuple(int(v * 0.82) for v in tone))
    pane = c.pick((252, 236, 170), (190, 216, 236), (90, 110, 140))
    for row in np.arange(top + 0.025, foot - 0.03, 0.055):
        for column in np.linspace(x + width * 0.12, x + width * 0.66, max(2, round(width / 0.05))):
            c.box(column, row, column + width * 0.12, row + 0.028, fill=pane)


def _row(c: Canvas, foot: float, heights: tuple[float, float], fills) -> None:
    """Draws a row of buildings from edge to edge."""
    x = -0.05
    while x < 1:
        width = c.uniform(0.1, 0.2)
        _block(c, x, width, foot - c.uniform(*heights), foot, fills[int(c.rng.integers(len(fills)))])
        x += width + c.uniform(-0.01, 0.012)


def _city(c: Canvas) -> None:
    foot = c.uniform(0.6, 0.68)
    sky(c, foot, ((0.0, (110, 168, 232)), (1.0, (244, 232, 220))), clouds=0.6)
    _row(c, foot, (0.32, 0.56), ((150, 166, 190), (166, 176, 196)))
    _row(c, foot, (0.16, 0.38), ((92, 110, 146), (120, 128, 152), (146, 120, 116)))
    c.blur(5)
    floor(c, "slabs", tiles.slabs, horizon=0.46, top=foot, scale=0.7)
    c.blur(2)


def _house(c: Canvas) -> None:
    foot = c.uniform(0.62, 0.68)
    sky(c, foot)
    x, wide, tall = c.uniform(0.16, 0.4), c.uniform(0.42, 0.52), c.uniform(0.28, 0.34)
    wall = c.tone((66, 132, 214), 0.06)
    foliage(
        c,
        26,
        x=(0, 1),
        y=(foot - 0.16, foot - 0.02),
        radius=(0.04, 0.08),
        fills=[c.tone((80, 146, 76), 0.1) for _ in range(4)],
    )
    c.box(x, foot - tall, x + wide, foot, fill=wall)
    for y in np.arange(foot - tall + 0.03, foot, 0.032):
        c.stroke([(x, y), (x + wide, y)], 0.004, fill=tuple(int(v * 0.88) for v in wall))
    c.shape(
        [(x - 0.05, foot - tall), (x + wide / 2, foot - tall - 0.22), (x + wide + 0.05, foot - tall)],
        fill=c.pick((176, 78, 62), (96, 84, 96)),
    )
    c.box(x + wide * 0.42, foot - 0.18, x + wide * 0.6, foot, fill=c.tone((250, 246, 236)))
    for spot in (0.1, 0.7):
        c.box(x + wide * spot, foot - tall + 0.06, x + wide * (spot + 0.2), foot - tall + 0.17, fill=(252, 250, 240))
        c.box(
            x + wide * (spot + 0.02),
            foot - tall + 0.07,
            x + wide * (spot + 0.18),
            foot - tall + 0.16,
            fill=(252, 232, 160),
        )
    c.blur(5)
    floor(c, "grass", tiles.grass, horizon=0.5, top=foot, scale=0.8)
    c.blur(2)


def _eiffel(c: Canvas) -> None:
    foot = c.uniform(0.62, 0.68)
    sky(c, foot, ((0.0, (126, 178, 236)), (1.0, (250, 226, 206))), clouds=0.6)
    x, tall, tone = c.uniform(0.24, 0.76), c.uniform(0.54, 0.6), c.tone((116, 88, 70), 0.05)
    top = foot - tall
    for way in (-1, 1):
        curve = [(0.012, 0.0), (0.022, 0.35), (0.045, 0.62), (0.085, 0.84), (0.15, 1.0)]
        inner = [(0.085, 1.0), (0.045, 0.86), (0.02, 0.7), (0.0, 0.66), (0.0, 0.0)]
        c.shape([(x + way * w, top + tall * h) for w, h in curve + inner], fill=tone)
    for level, half in ((0.6, 0.05), (0.83, 0.095)):
        c.box(x - half, top + tall * level, x + half, top + tall * level + 0.022, fill=tone)
    c.stroke([(x, top), (x, top - 0.06)], 0.01, fill=tone)
    for level in np.linspace(0.1, 0.55, 7):
        c.stroke(
            [(x - 0.02, top + tall * level), (x + 0.02, top + tall * (level + 0.05))],
            0.004,
            fill=tuple(int(v * 1.4) for v in tone),
        )
    foliage(
        c,
        44,
        x=(0, 1),
        y=(foot - 0.05, foot + 0.01),
        radius=(0.02, 0.05),
        fills=[c.tone((88, 138, 76), 0.1) for _ in range(4)],
    )
    c.blur(3)
    floor(c, "grass", tiles.grass, horizon=0.46, top=foot, scale=0.9)
    c.blur(2)


def _facades(c: Canvas, foot: float, horizon: float) -> None:
    """Draws house fronts on both sides of a street that runs away from us."""
    for way in (0, 1):
        edges = np.sort(np.append(c.rng.uniform(0.06, 0.4, 2), (-0.02, 0.43)))
        for near, far in zip(edges, edges[1:], strict=False):
            tone = c.pick((214, 160, 120), (222, 196, 150), (176, 120, 104), (190, 190, 184), (150, 168, 176))

            def at(t: float, height: float, *, way: int = way) -> tuple[float, float]:
                share = 1 - t / 0.5
                return (1 - t if way else t), horizon + height * share

            c.shape([at(near, -0.75), at(far, -0.75), at(far, 0.42), at(near, 0.42)], fill=tone)
            for row in (-0.5, -0.22, 0.06):
                a, b = near + 0.25 * (far - near), near + 0.72 * (far - near)
                c.shape(
                    [at(a, row), at(b, row), at(b, row + 0.13), at(a, row + 0.13)],
                    fill=c.pick((96, 108, 130), (250, 230, 170)),
                )


def _cobbles(c: Canvas) -> None:
    horizon = c.uniform(0.4, 0.48)
    sky(c, 0.7, ((0.0, (160, 196, 232)), (1.0, (246, 236, 222))), clouds=0.4)
    _facades(c, 0.7, horizon)
    c.blur(7)
    floor(c, "cobbles", tiles.cobbles, horizon=horizon, top=horizon + 0.13, scale=0.8)
    c.blur(2)


def _crowd(c: Canvas) -> None:
    foot = c.uniform(0.6, 0.66)
    sky(c, 0.3, clouds=0.4)
    c.box(0, foot - 0.02, 1, foot + 0.08, fill=(176, 172, 168))
    _row(c, foot, (0.44, 0.66), ((190, 160, 140), (158, 164, 176), (206, 190, 160), (140, 120, 116)))
    for y in np.sort(c.rng.uniform(foot - 0.02, foot + 0.06, 17)):
        _walker(c, c.uniform(0, 1), y, c.uniform(0.22, 0.3))
    c.blur(8)
    floor(c, "slabs", tiles.slabs, horizon=0.42, top=foot + 0.05, scale=0.6)
    c.blur(2)


def _walker(c: Canvas, x: float, foot: float, tall: float) -> None:
    """Draws a person far away: head, coat, legs."""
    coat = c.pick((196, 60, 60), (60, 100, 180), (70, 130, 90), (228, 190, 70), (90, 80, 100), (160, 90, 160))
    c.box(x - 0.022, foot - 0.45 * tall, x - 0.004, foot, fill=(52, 54, 72))
    c.box(x + 0.004, foot - 0.45 * tall, x + 0.022, foot, fill=(52, 54, 72))
    c.disc(x, foot - 0.6 * tall, 0.034, 0.25 * tall, fill=coat)
    c.disc(x, foot - 0.9 * tall, 0.021, fill=c.pick((238, 196, 160), (176, 124, 90), (110, 76, 58)))


def _rainy(c: Canvas) -> None:
    foot = 0.6
    gradient(c, [(0, (36, 40, 66)), (1, (88, 84, 116))], 0, foot)
    _row(c, foot, (0.3, 0.52), ((50, 54, 80), (62, 58, 84)))
    for _ in range(16):
        c.disc(
            c.uniform(0, 1),
            c.uniform(0.2, 0.58),
            c.uniform(0.012, 0.03),
            fill=c.pick((255, 196, 90), (255, 110, 120), (120, 220, 255), (255, 240, 190)),
        )
    c.blur(10)
    floor(c, "asphalt", tiles.asphalt, horizon=0.44, top=foot, scale=0.7)
    for x in c.rng.uniform(0, 1, 7):
        c.box(
            x - 0.012,
            foot,
            x + 0.012,
            foot + c.uniform(0.1, 0.3),
            fill=c.pick((220, 170, 90), (190, 90, 110), (110, 170, 200)),
        )
    c.blur(7)


PLACES = (
    Place("city", ("with a city in the background", "in the city", "in front of tall buildings"), "city", _city),
    Place(
        "blue house",
        ("with a blue house in the background", "in front of a blue house", "in the garden of a blue house"),
        "blue house",
        _house,
    ),
    Place(
        "eiffel tower",
        ("with the Eiffel Tower in the background", "in front of the Eiffel Tower", "in Paris"),
        "Eiffel Tower",
        _eiffel,
        tint=(1.02, 1.0, 0.97),
    ),
    Place(
        "cobblestone",
        ("on a cobblestone street", "on a cobbled street", "on the cobblestones of an old town"),
        "cobblestone street",
        _cobbles,
    ),
    Place(
        "crowded street",
        ("on top of the sidewalk in a crowded street", "on a crowded sidewalk", "on a busy street full of people"),
        "crowded street",
        _crowd,
    ),
    Place(
        "city night",
        ("on a city street at night", "in a city at night with neon lights", "in front of city lights"),
        "city at night",
        _rainy,
        tint=(0.96, 0.92, 1.06),
        dim=0.82,
        shadow=(8, 6, 20),
    ),
)
