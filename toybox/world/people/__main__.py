"""Draws a contact sheet of people to look at: `python -m toybox.world.people OUT.png [COUNT] [SIZE] [FIRST]`.

With `places` as the last word the people stand in the world's places.
"""

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from toybox.world.description import Light
from toybox.world.people.drawing import draw_person
from toybox.world.people.person import describe_person, describe_portrait
from toybox.world.people.scene import caption_people, describe_people, render_people


def backdrop(size: int, rng: np.random.Generator) -> Image.Image:
    """Paints a plain backdrop, lighter in the middle.

    Args:
        size: Its side in pixels.
        rng: Chance.

    Returns:
        An RGB image.
    """
    y, x = np.mgrid[0:size, 0:size] / size
    base = np.array(
        ((150, 170, 186), (190, 176, 160), (136, 156, 140), (176, 160, 180), (120, 132, 150))[rng.integers(5)]
    )
    glow = 1.14 - 0.5 * ((x - 0.5) ** 2 + (y - 0.42) ** 2)
    return Image.fromarray(np.clip(base * glow[..., None], 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))


def sheet(count: int, size: int, *, first: int = 0, places: bool = False, columns: int = 8) -> Image.Image:
    """Draws people side by side.

    Args:
        count: How many.
        size: Side of each picture in pixels.
        first: Seed of the first.
        places: Whether they stand in the world's places.
        columns: Pictures in a row.

    Returns:
        The sheet.
    """
    out = Image.new("RGB", (columns * size, -(-count // columns) * size), (255, 255, 255))
    for index in range(count):
        corner = (index % columns * size, index // columns * size)
        if places:
            scene = describe_people(first + index, "fresh")
            print(f"{first + index}: {caption_people(scene, np.random.default_rng(index))}")
            out.paste(Image.fromarray(render_people(scene, size).image), corner)
            continue
        rng = np.random.default_rng([first + index, 47])
        light = Light(float(rng.uniform(-55, 55)), float(rng.uniform(18, 48)), float(rng.uniform(0.92, 1.06)))
        drawn = draw_person(describe_person(first + index), describe_portrait(first + index), light, size)
        person = Image.fromarray(drawn.image)
        out.paste(backdrop(size, rng), corner)
        out.paste(person, corner, person)
    return out


def main(out: Path, count: int, size: int, *, first: int, places: bool) -> None:
    """Writes the sheet and says how long it took."""
    started = time.process_time()
    picture = sheet(count, size, first=first, places=places)
    print(f"{count} people at {size} px: {count / (time.process_time() - started):.1f} a second of processor time")
    picture.save(out)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[2:] if word.isdigit()]
    count, size, first = numbers + [48, 128, 0][len(numbers) :]
    main(Path(sys.argv[1]), count, size, first=first, places="places" in sys.argv)
