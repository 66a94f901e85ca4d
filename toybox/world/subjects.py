"""Draws the held-back subjects: six views each, with real changes of viewpoint, light, size and place.

`python -m toybox.world.subjects OUT` writes a folder per subject: photos `00.jpg` to `05.jpg`, the true mask of each in
`masks/`, and `subject.json`.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from toybox.world.description import Light, Pose, Scene, Thing, Where
from toybox.world.kinds import KINDS
from toybox.world.painter import render
from toybox.world.places import PLACES
from toybox.world.reserved import subjects
from toybox.world.scenes import named

SIDE = 256
LICENCE = "CC0, drawn by ipseity's toybox world"
# Azimuth, elevation, scale, x, light azimuth, light elevation: from the front, both sides, above, near and far.
_VIEWS = (
    (0, 12, 0.62, 0.50, -30, 40),
    (-34, 16, 0.66, 0.52, 35, 45),
    (38, 10, 0.58, 0.47, -45, 30),
    (-14, 28, 0.74, 0.50, 15, 50),
    (56, 18, 0.50, 0.42, 50, 35),
    (-52, 14, 0.44, 0.60, -10, 25),
)
_PLACES = {
    "comet_mug": ("wooden floor", "snow", "kitchen table", "beach", "library", "mountain"),
    "breakfast_mug": ("kitchen table", "autumn", "tiled floor", "city", "white rug", "forest"),
    "meadow_backpack": ("mountain", "crowded street", "bedroom", "dirt road", "studio", "snow"),
    "arcade_backpack": ("city", "wooden floor", "beach", "living room", "cobblestone", "wheat field"),
    "thunder_can": ("kitchen table", "desert", "cobblestone", "wooden floor", "city night", "snow"),
    "harbor_can": ("beach", "studio", "library", "dirt road", "wooden floor", "mountain"),
    "meteor_sneaker": ("cobblestone", "tiled floor", "mountain", "white rug", "city", "autumn"),
    "picnic_sneaker": ("wooden floor", "crowded street", "bedroom", "sunflowers", "studio", "beach"),
    "sheriff_robot": ("desert", "living room", "moon", "snow", "kitchen table", "city"),
    "mossy_monster": ("forest", "white rug", "bedroom", "blue house", "beach", "library"),
    "berry_bowl": ("kitchen table", "wooden floor", "snow", "tiled floor", "mountain", "living room"),
    "lagoon_bowl": ("beach", "wooden floor", "white rug", "studio", "forest", "kitchen table"),
}


def views(name: str) -> list[Scene]:
    """Describes the six views of a subject.

    Args:
        name: One of `subjects()`.

    Returns:
        Six scenes of the same member.

    Raises:
        KeyError: The subject is unknown.
    """
    thing, number = named(subjects()[name]), list(_PLACES).index(name)
    # A bowl shows its picture from the front only.
    turn = 0.6 if thing.class_noun == "bowl" else 0.85 if thing.class_noun == "sneaker" else 1.0
    scenes = []
    for index, (azimuth, elevation, scale, x, *light) in enumerate(_VIEWS):
        place = _PLACES[name][index]
        low, high = PLACES[place].feet
        pose = Pose(
            x, round((low + high) / 2 + 0.1 * (scale - 0.5), 4), scale, azimuth=azimuth * turn, elevation=elevation
        )
        where = Where(place, 1000 * number + index)
        scenes.append(Scene(1000 * number + index, "fresh", thing, pose, where, Light(*light, 1.0)))
    return scenes


def write(out: Path) -> None:
    """Draws all subjects into a folder.

    Args:
        out: Where to; a folder per subject is made or refreshed.

    Raises:
        RuntimeError: No OpenGL context could be opened; the message names the packages.
    """
    for name in subjects():
        folder, scenes = out / name, views(name)
        (folder / "masks").mkdir(parents=True, exist_ok=True)
        for index, scene in enumerate(scenes):
            drawn = render(scene, SIDE)
            Image.fromarray(drawn.image).save(folder / f"{index:02}.jpg", quality=92, subsampling=0)
            Image.fromarray(np.where(drawn.mask > 0, 255, 0).astype(np.uint8)).convert("1").save(
                folder / "masks" / f"{index:02}.png", optimize=True
            )
        (folder / "subject.json").write_text(json.dumps(_card(name, scenes), indent=2) + "\n", encoding="utf-8")


def _card(name: str, scenes: list[Scene]) -> dict:
    """Collects what is true of a subject and its views."""
    thing: Thing = scenes[0].thing
    return {
        "name": name,
        "class_noun": thing.class_noun,
        "living": KINDS[thing.class_noun].living,
        "token": "sks",
        "attributes": {"color": thing.colour, **dict(thing.traits)},
        "member_id": thing.member_id,
        "seed": [scene.seed for scene in scenes],
        "views": [{"place": s.place.name, "pose": asdict(s.pose), "light": asdict(s.light)} for s in scenes],
        "licence": LICENCE,
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m toybox.world.subjects OUT")
    write(Path(sys.argv[1]))
