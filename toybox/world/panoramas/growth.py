"""What stands or grows in a real view: a blue house, autumn, wheat, sunflowers, a jungle, a crowd, a tower.

Each function takes the canvas that shows the view and the shot it shows; chance comes from the canvas.
"""

import numpy as np
from PIL import Image, ImageFilter

from toybox.world.colours import RGB
from toybox.world.panoramas.overlays import LUMA, Cover, below, floats, lay, relief, show
from toybox.world.panoramas.site import Shot
from toybox.world.places import tiles
from toybox.world.places.brushes import Canvas, cloud, ridge


def lighter(tone: RGB, share: float) -> RGB:
    """Scales a shade."""
    red, green, blue = (min(255, int(channel * share)) for channel in tone)
    return red, green, blue


def blue_house(canvas: Canvas, shot: Shot) -> None:
    """Paints the red walls behind blue."""
    pixels = floats(canvas)
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    reddish = np.clip((red - np.maximum(green, blue * 0.94) - 4) / 9, 0, 1)
    weight = reddish[..., None] * (1 - below(canvas, shot.camera.horizon + 0.05))
    wall = (pixels @ LUMA)[..., None] * np.array([0.56, 1.0, 1.72], np.float32) * 1.12
    show(canvas, pixels + weight * (wall - pixels))


def leaves(canvas: Canvas, shot: Shot) -> None:
    """Turns trees orange and covers the ground with fallen leaves."""
    side, horizon = canvas.side, shot.camera.horizon
    pixels = floats(canvas)
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    leafy = np.clip((np.maximum(red, green) - blue - 12) / 30, 0, 1)[..., None]
    luma = (pixels @ LUMA)[..., None]
    orange = luma * np.array([1.62, 0.92, 0.28], np.float32)
    show(canvas, pixels + leafy * 0.72 * (orange - pixels))
    bare = canvas.image.copy()
    patches = cloud(canvas.rng, (side, side), 7, 3).point([min(255, max(0, (level - 92) * 5)) for level in range(256)])
    ground = Image.fromarray(
        np.broadcast_to(np.rint(below(canvas, horizon + 0.1, 0.12)[..., 0] * 255), (side, side)).astype(np.uint8)
    )
    lay(canvas, shot, Cover(tiles.autumn_ground, 1.1), lambda pen: pen.rectangle((0, 0, side, side), fill=255))
    mask = np.asarray(patches, np.float32) * np.asarray(ground, np.float32) / 255 * 0.88
    bare.paste(canvas.image, (0, 0), Image.fromarray(mask.astype(np.uint8)))
    canvas.put(bare)
    for x, y in canvas.rng.uniform(0, 1, (12, 2)):
        canvas.disc(x, y * 0.8, 0.011, 0.007, fill=canvas.pick((226, 120, 30), (200, 60, 30), (240, 176, 50)))
    canvas.blur(1)


def wheat(canvas: Canvas, shot: Shot) -> None:
    """Turns the field behind golden and lets wheat grow on it."""
    horizon, pixels = shot.camera.horizon, floats(canvas)
    band = below(canvas, horizon + 0.02, 0.04)
    gold = (pixels @ LUMA)[..., None] * np.array([1.5, 1.16, 0.5], np.float32)
    show(canvas, pixels + 0.85 * band * (gold - pixels))
    bottom = min(0.8, horizon + 0.36)
    for y in np.sort(canvas.rng.uniform(horizon + 0.06, bottom, 210)):
        near = (y - horizon) / (bottom - horizon)
        x, lean, tall = canvas.uniform(0, 1), canvas.uniform(-0.02, 0.02), 0.03 + 0.11 * near
        tone = canvas.pick((222, 178, 84), (198, 150, 62), (236, 198, 110))
        canvas.stroke([(x, y), (x + lean, y - tall)], 0.002 + 0.003 * near, fill=tone)
        canvas.disc(x + lean, y - tall, 0.003 + 0.006 * near, 0.008 + 0.018 * near, fill=tone)
    canvas.blur(1.5)


def sunflowers(canvas: Canvas, shot: Shot) -> None:
    """Plants sunflowers on both sides, far ones first."""
    horizon = shot.camera.horizon
    for y in np.sort(canvas.rng.uniform(horizon + 0.06, 1.02, 34)):
        near = (y - horizon) / (1 - horizon)
        x = canvas.uniform(0, 1) if near < 0.3 else canvas.uniform(0, 0.26) + (0.74 if canvas.rng.random() < 0.5 else 0)
        _sunflower(canvas, (x, y - 0.1 * near), 0.008 + 0.066 * near)
    canvas.blur(1.2)


def _sunflower(canvas: Canvas, middle: tuple[float, float], r: float) -> None:
    """Draws one flower of radius r: stem, two leaves, two rings of petals, seeds."""
    x, y = middle
    green = canvas.tone((74, 124, 44), 0.12)
    canvas.stroke([(x, y), (x + canvas.uniform(-0.2, 0.2) * r, y + 2.4 * r)], 0.18 * r, fill=green)
    for way in (-1, 1):
        canvas.disc(x + way * 0.5 * r, y + 1.5 * r, 0.42 * r, 0.2 * r, fill=canvas.tone((86, 146, 50), 0.12))
    for ring, shade in ((1.0, (222, 148, 22)), (0.86, (250, 196, 40))):
        for angle in np.linspace(0, 2 * np.pi, 15)[:-1] + canvas.uniform(0, 1):
            tip = (x + ring * r * np.cos(angle), y + ring * r * np.sin(angle))
            side = 0.2 * r * np.array([-np.sin(angle), np.cos(angle)])
            half = ((x + tip[0]) / 2, (y + tip[1]) / 2)
            leaf = [(x, y), (half[0] + side[0], half[1] + side[1]), tip, (half[0] - side[0], half[1] - side[1])]
            canvas.shape(leaf, fill=canvas.tone(shade, 0.06))
    canvas.disc(x, y, 0.46 * r, fill=(70, 42, 22))
    canvas.disc(x, y - 0.04 * r, 0.3 * r, fill=(98, 62, 30))


def peaks(canvas: Canvas, shot: Shot) -> None:
    """Raises snowy mountains behind the trees."""
    side, foot = canvas.side, shot.camera.horizon + 0.01
    pixels = floats(canvas)
    sky = np.clip((pixels @ LUMA - 105) / 40, 0, 1) * np.clip((pixels[..., 2] - pixels[..., 0] + 30) / 20, 0, 1)
    low = slice(max(0, round((foot - 0.12) * side)), max(4, round((foot - 0.05) * side)))
    air = np.average(pixels[low].reshape(-1, 3), axis=0, weights=sky[low].ravel() + 1e-3)
    for height, far in ((0.2, 0.42), (0.32, 0.08)):
        line = ridge(canvas.rng, 0, 1, levels=6, rough=0.5)
        rise = np.interp((np.arange(side) + 0.5) / side, [x for x, _ in line], [-y for _, y in line])
        tops = foot - 0.05 - height * canvas.uniform(0.85, 1.1) * np.clip(rise, 0, None) / max(float(rise.max()), 0.1)
        face, inside = _mountain(canvas, tops[None], foot, (air, far))
        pixels = pixels + (inside * sky)[..., None] * (face - pixels)
    show(canvas, pixels)
    soft = canvas.image.filter(ImageFilter.GaussianBlur(0.004 * side))
    canvas.image.paste(soft.crop((0, 0, side, round(foot * side))), (0, 0))


def _mountain(
    canvas: Canvas, tops: np.ndarray, foot: float, air: tuple[np.ndarray, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Paints one range below its skyline (1, side): float32 colors (side, side, 3) and where it stands, 0..1."""
    side, grain = canvas.side, relief(canvas, 6, 5)
    rows = (np.arange(side, dtype=np.float32)[:, None] + 0.5) / side
    depth = (rows - tops) / np.maximum(foot - tops, 0.02)
    slope = np.gradient(0.5 * grain + 2.2 * relief(canvas, 5, 1), axis=1) * side / 13
    lit = np.clip(0.95 + slope, 0.55, 1.25)[..., None]
    white = np.clip((0.32 + 0.6 * grain - depth) / 0.34 + 0.5, 0, 1)[..., None]
    rock = (np.array([98, 106, 122], np.float32) + 40 * grain[..., None]) * lit
    cover = np.array([240, 244, 250], np.float32) * (0.5 + 0.5 * np.minimum(lit, 1.05))
    mist = np.clip(air[1] + 0.65 * np.clip(depth, 0, 1) ** 1.5, 0, 1)[..., None]
    face = (rock + white * (cover - rock)) * (1 - mist) + air[0] * mist
    return np.clip(face, 0, 255), np.clip((rows - tops) * side, 0, 1) * (rows < foot)


def tower(canvas: Canvas, shot: Shot) -> None:
    """Sets the Eiffel Tower on the horizon."""
    bare, foot = canvas.image.copy(), shot.camera.horizon + 0.03
    tall, x = min(0.5, foot - 0.04), canvas.uniform(0.24, 0.76)
    top, tone = foot - tall, canvas.tone((104, 82, 70), 0.05)
    heights = np.linspace(0, 1, 24)
    half = 0.012 + 0.17 * np.exp(4.2 * (heights - 1)) * (heights > 0.02)
    for way in (-1, 1):
        outer = [(x + way * float(w) * tall * 1.3, top + tall * float(h)) for h, w in zip(heights, half, strict=True)]
        inner = [
            (x + way * max(0.0, float(w) - 0.03 - 0.04 * float(h)) * tall * 1.3, top + tall * float(h))
            for h, w in zip(heights, half, strict=True)
        ]
        canvas.shape(outer + inner[::-1], fill=tone)
    for level, wide in ((0.58, 0.075), (0.82, 0.13)):
        canvas.box(x - wide * tall, top + tall * level, x + wide * tall, top + tall * level + 0.018, fill=tone)
    canvas.stroke([(x, top + 0.02), (x, top - 0.05)], 0.006, fill=tone)
    for level in np.linspace(0.06, 0.97, 22):  # the lattice: sky shows between crossed beams
        w = (0.012 + 0.17 * np.exp(4.2 * (level - 1))) * tall * 1.2
        y = top + tall * level
        canvas.stroke([(x - w, y), (x + w, y + 0.016)], 0.0026, fill=lighter(tone, 1.35))
    haze = Image.blend(bare, canvas.image, 0.86)
    canvas.put(haze)
    canvas.blur(2.4)
    canvas.image.paste(
        bare.crop((0, round(foot * canvas.side), canvas.side, canvas.side)), (0, round(foot * canvas.side))
    )


def jungle(canvas: Canvas, shot: Shot) -> None:
    """Makes a wood lush and green, hangs vines and lets big leaves reach in from the sides."""
    pixels = floats(canvas)
    luma = (pixels @ LUMA)[..., None]
    green = luma * np.array([0.56, 1.08, 0.4], np.float32) * 0.95
    share = 0.3 + 0.5 * (1 - below(canvas, shot.camera.horizon + 0.2, 0.3))
    show(canvas, pixels + share * (green - pixels))
    for _ in range(5):
        x, tilt = canvas.uniform(0, 1), canvas.uniform(-0.1, 0.1)
        points = [(x + tilt * t * t, t * 0.6) for t in np.linspace(0, canvas.uniform(0.4, 1), 8)]
        canvas.stroke(points, 0.006, fill=canvas.tone((40, 66, 30), 0.15))
    for _ in range(60):
        tone = canvas.pick((34, 92, 40), (66, 130, 54), (22, 70, 36))
        _leaf(canvas, (canvas.uniform(-0.05, 1.05), canvas.uniform(-0.05, 0.16)), canvas.uniform(0.05, 0.12), tone)
    canvas.blur(6)
    for side in (0, 1):
        for _ in range(9):
            tone = canvas.pick((38, 112, 50), (66, 148, 60), (20, 78, 42))
            start = (side + canvas.uniform(-0.05, 0.05), canvas.uniform(0.05, 1.0))
            _leaf(canvas, start, canvas.uniform(0.14, 0.27), tone, way=1 - 2 * side)
    canvas.blur(2.5)


def _leaf(
    canvas: Canvas, start: tuple[float, float], reach: float, tone: tuple[int, int, int], *, way: int = 0
) -> None:
    """Draws one pointed leaf with a lighter rib; way 1 grows to the right, -1 to the left, 0 hangs down."""
    angle = canvas.uniform(-0.6, 0.6) + (np.pi / 2 if way == 0 else 0 if way > 0 else np.pi)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    spine = [np.array(start) + along * reach * t for t in np.linspace(0, 1, 9)]
    width = [0.2 * reach * np.sin(np.pi * t**0.8) for t in np.linspace(0, 1, 9)]
    upper = [tuple(p + across * w) for p, w in zip(spine, width, strict=True)]
    lower = [tuple(p - across * w) for p, w in zip(spine, width, strict=True)]
    canvas.shape(upper + lower[::-1], fill=tone)
    canvas.stroke([tuple(p) for p in spine], 0.004, fill=lighter(tone, 1.4))


def crowd(canvas: Canvas, shot: Shot) -> None:
    """Fills the street behind with people, out of focus."""
    horizon = shot.camera.horizon
    for tall in np.sort(canvas.rng.uniform(0.12, 0.36, 26)):
        # All heads are near the height of the camera, so near people stand lower in the picture, not higher.
        _walker(canvas, canvas.uniform(-0.02, 1.02), horizon + 0.86 * tall, tall)
    canvas.blur(7)
    edge = horizon + 0.31
    street = canvas.image.copy()
    lay(
        canvas,
        shot,
        Cover(tiles.slabs, dapple=0.5),
        lambda pen: pen.rectangle((0, edge * canvas.side, canvas.side, canvas.side), fill=255),
    )
    canvas.image.paste(street.crop((0, 0, canvas.side, round((edge - 0.01) * canvas.side))), (0, 0))
    canvas.box(0, edge - 0.004, 1, edge + 0.012, fill=(150, 146, 142))
    canvas.blur(1)


def _walker(canvas: Canvas, x: float, foot: float, tall: float) -> None:
    """Draws a person from behind or from the front: legs in stride, coat, arms, head."""
    dark = canvas.pick((44, 46, 58), (60, 52, 48), (38, 44, 74))
    coat = canvas.pick((150, 52, 50), (52, 74, 128), (64, 96, 74), (188, 160, 90), (70, 66, 80), (196, 190, 182))
    skin, hair = canvas.pick((222, 178, 148), (150, 104, 78), (98, 68, 52)), canvas.pick((48, 34, 28), (120, 84, 50))
    stride = canvas.uniform(0.01, 0.05) * tall
    for way in (-1, 1):
        canvas.stroke([(x, foot - 0.48 * tall), (x + way * stride, foot)], 0.075 * tall, fill=dark)
        canvas.stroke(
            [(x + way * 0.09 * tall, foot - 0.78 * tall), (x + way * 0.13 * tall, foot - 0.46 * tall)],
            0.05 * tall,
            fill=coat,
        )
    canvas.disc(x, foot - 0.62 * tall, 0.105 * tall, 0.23 * tall, fill=coat)
    canvas.disc(x, foot - 0.91 * tall, 0.055 * tall, 0.07 * tall, fill=skin)
    canvas.disc(x, foot - 0.945 * tall, 0.057 * tall, 0.045 * tall, fill=hair)
