"""Draws a person, and says exactly what was drawn."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from toybox.world.description import Light
from toybox.world.people.build import marks
from toybox.world.people.light import lamp
from toybox.world.people.person import Person, Portrait
from toybox.world.people.stage import Stage
from toybox.world.people.studio import studio

SUPERSAMPLING = 2


@dataclass(frozen=True)
class Drawn:
    """A drawn person.

    Attributes:
        image: uint8 (H, W, 4) RGBA, not premultiplied; transparent where the person is not.
        mask: uint8 (H, W): 255 where the person shows.
        points: float32 (5, 2): x and y in pixels of the picture's left eye, its right eye, the tip of the nose, the
            picture's left and its right corner of the mouth (InsightFace's order); a pixel's middle is at .5.
        box: float32 (4,): x0, y0, x1, y1 of the face without hair, in pixels.
        joints: float32 (15, 2): the joints of the body in the order of `stage.JOINTS`, in pixels; outside the picture
            where the frame is narrower.
    """

    image: np.ndarray
    mask: np.ndarray
    points: np.ndarray
    box: np.ndarray
    joints: np.ndarray


def draw_person(
    person: Person, view: Portrait, light: Light, size: int = 128, *, tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> Drawn:
    """Draws a person on nothing.

    Args:
        person: Who.
        view: How they are seen.
        light: Where the light comes from.
        size: Side of the square picture in pixels.
        tint: Red, green and blue of the place's light; (1, 1, 1) is plain daylight.

    Returns:
        The picture and its truth.

    Raises:
        RuntimeError: No OpenGL context could be opened; the message names the packages.
        FileNotFoundError: The baked shapes are missing.
    """
    stage = Stage(person, view)
    stage.skin()
    stage.eyeballs()
    stage.clothes()
    stage.hair()
    stage.worn()
    camera = stage.camera()
    side = size * SUPERSAMPLING
    picture = studio().shoot(stage.parts, camera, lamp=lamp(light, tint), side=side)
    picture = picture.resize((size, size), Image.Resampling.BOX).convert("RGBA")
    image = np.array(picture)
    face = camera.pixels(stage.points[marks().face], size)
    return Drawn(
        image=image,
        mask=np.where(image[..., 3] >= 128, 255, 0).astype(np.uint8),
        points=camera.pixels(stage.truth(), size).astype(np.float32),
        box=np.concatenate([face.min(0), face.max(0)]).astype(np.float32),
        joints=camera.pixels(stage.joints(), size).astype(np.float32),
    )
