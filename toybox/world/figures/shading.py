"""Draws surfaces with OpenGL: soft light with a cast shadow, markings, and natural, shiny or wet finishes."""

from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from toybox.world.description import Light
from toybox.world.figures.programs import DRAW_VERTEX, SHADOW_FRAGMENT, SHADOW_VERTEX, draw_fragment
from toybox.world.figures.surface import FINISHES, MARKS, Finish, Surface
from toybox.world.makers.shading import lathe

_DISTANCE = 4.6  # of the camera, in units of the thing's reach
_SHADOW_SIDE = 160
_LAYOUT = "3f 3f 2f 3f 1f 3f 1f"
_NAMES = ("position", "normal", "uv", "rgb", "finish", "rest", "open_")


class Desk:
    """The programs and the shadow frame, kept for the life of the process."""

    def __init__(self) -> None:
        """Builds them in the one OpenGL context of the makers.

        Raises:
            RuntimeError: No OpenGL context could be opened; the message names the packages.
        """
        self.gl = lathe().gl
        self._programs: dict[tuple[int, bool, bool, bool], Any] = {}
        self.shade = self.gl.program(vertex_shader=SHADOW_VERTEX, fragment_shader=SHADOW_FRAGMENT)
        self.depth = self.gl.depth_texture((_SHADOW_SIDE, _SHADOW_SIDE))
        self.depth.compare_func = ""
        self.depth.repeat_x = self.depth.repeat_y = False
        self.cast = self.gl.framebuffer(depth_attachment=self.depth)
        self.blank = self.gl.texture((1, 1), 3, b"\xff\xff\xff")

    def program(self, surface: Surface, finish: Finish, textured: bool) -> Any:
        """Gives the program that a surface needs, compiled at first use."""
        banded = surface.stripes.share > 0
        key = (FINISHES.index(finish), banded or bool(surface.marks), banded, textured)
        if key not in self._programs:
            source = draw_fragment(key[0], marked=key[1], banded=key[2], textured=key[3])
            self._programs[key] = self.gl.program(vertex_shader=DRAW_VERTEX, fragment_shader=source)
        return self._programs[key]

    def texture(self, image: np.ndarray) -> Any:
        """Sends a palette; the latest are kept."""
        return self._texture(image.shape[1::-1], image.tobytes())

    @lru_cache(maxsize=64)  # noqa: B019 - there is one desk, and it lives as long as the process
    def _texture(self, size: tuple[int, int], data: bytes) -> Any:
        return self.gl.texture(size, 3, data)


@lru_cache(maxsize=1)
def desk() -> Desk:
    """Returns: the one desk of this process, opened at first use."""
    return Desk()


def towards(light: Light) -> np.ndarray:
    """Returns: the direction towards the light, (3,), as the camera sees it."""
    a, e = np.deg2rad([light.azimuth, light.elevation])
    return np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)], np.float32)


def draw(
    surface: Surface, texture: np.ndarray | None, *, turn: np.ndarray, light: Light, pixels: int, finish: Finish
) -> Image.Image:
    """Draws a surface so that it fills a picture exactly.

    Args:
        surface: What to draw.
        texture: uint8 (h, w, 3) for textured parts, or None.
        turn: (3, 3) matrix from the thing's axes (y up, front to +z) to the camera's.
        light: Where the light comes from, as the camera sees it.
        pixels: Longer side of the drawing, at least 4.
        finish: "natural", "shiny" or "wet".

    Returns:
        RGBA, cropped to the thing.

    Raises:
        ValueError: The finish is unknown.
        RuntimeError: No OpenGL context could be opened.
    """
    if finish not in FINISHES:
        raise ValueError(f"unknown finish {finish!r}: one of {', '.join(FINISHES)} is needed; pass one of them")
    bench, frames = desk(), lathe().frame(pixels)
    seen = surface.table[:, :3] @ turn.T.astype(np.float32)
    middle = (seen.min(0) + seen.max(0)) / 2
    seen = seen - middle
    reach = float(np.linalg.norm(seen, axis=1).max())
    distance = _DISTANCE * reach
    view = np.eye(4, dtype=np.float32)
    view[:3, :3], view[:3, 3] = turn, -middle
    lamp = towards(light)
    cast = _lamp_view(lamp, reach) @ view
    program = bench.program(surface, finish, texture is not None)
    _tell(
        program,
        view=view.T.tobytes(),
        projection=_projection(seen, distance, pixels).T.tobytes(),
        from_lamp=cast.T.astype(np.float32).tobytes(),
        light=lamp.tobytes(),
        distance_=distance,
        reach=reach,
        gloss=surface.gloss,
        paint=0,
        depth=1,
        **_markings(surface),
    )
    _render(bench, program, surface, texture, cast=cast, frames=frames)
    plain = frames[1]
    image = Image.frombuffer("RGBa", (pixels, pixels), plain.read(components=4), "raw", "RGBa", 0, -1).convert("RGBA")
    return image.crop(image.getbbox())


def _render(
    bench: Desk,
    program: Any,
    surface: Surface,
    texture: np.ndarray | None,
    *,
    cast: np.ndarray,
    frames: tuple[Any, Any],
) -> None:
    """Sends the triangles, draws the shadow's depth and then the picture, and lets them go."""
    gl = bench.gl
    gl.enable_only(gl.DEPTH_TEST)
    vertices, index = gl.buffer(np.ascontiguousarray(surface.table)), gl.buffer(np.ascontiguousarray(surface.faces))
    below = gl.vertex_array(bench.shade, [(vertices, "3f 52x", "position")], index)
    above = gl.vertex_array(program, [(vertices, _LAYOUT, *_NAMES)], index, skip_errors=True)
    bench.shade["from_lamp"].write(cast.T.astype(np.float32).tobytes())
    bench.cast.use()
    bench.cast.clear(depth=1.0)
    below.render()
    many, plain = frames
    many.use()
    many.clear(0, 0, 0, 0)
    (bench.blank if texture is None else bench.texture(texture)).use(0)
    bench.depth.use(1)
    above.render()
    gl.copy_framebuffer(plain, many)
    for item in (below, above, vertices, index):
        item.release()


def _tell(program: Any, **values: Any) -> None:
    """Hands values to a program; what its source does not use is left out."""
    for name, value in values.items():
        if name not in program:
            continue
        uniform: Any = program[name]
        if isinstance(value, bytes):
            uniform.write(value)
        else:
            uniform.value = value


def _markings(surface: Surface) -> dict[str, Any]:
    """Packs patches and stripes for a program."""
    marks, stripes = surface.marks[:MARKS], surface.stripes
    table = np.zeros((3, MARKS, 4), np.float32)
    for row, mark in enumerate(marks):
        table[0, row] = (*mark.centre, mark.soft)
        table[1, row] = (*(1 / radius for radius in mark.radii), mark.ragged)
        table[2, row] = (*mark.rgb, float(mark.boxy))
    packed = dict(zip(("centres", "stretches", "tints"), (values.tobytes() for values in table), strict=True))
    bands = {"band": (*stripes.direction, stripes.share), "band_tint": (*stripes.rgb, stripes.above)}
    return {**packed, **bands, "band_front": stripes.behind, "count": len(marks)}


def _projection(seen: np.ndarray, distance: float, pixels: int) -> np.ndarray:
    """Makes the projection that fits all points into the picture but for a pixel's rim."""
    flat = seen[:, :2] / (distance - seen[:, 2:])
    low, high = flat.min(0), flat.max(0)
    scale = 2 * (1 - 2 / pixels) / float((high - low).max())
    middle = (low + high) / 2 * scale
    near, far = 0.4 * distance, 1.8 * distance
    squeeze = (far + near) / (far - near)
    matrix = np.zeros((4, 4), np.float32)
    matrix[0] = scale, 0, middle[0], -middle[0] * distance
    matrix[1] = 0, scale, middle[1], -middle[1] * distance
    matrix[2] = 0, 0, -squeeze, squeeze * distance - 2 * far * near / (far - near)
    matrix[3] = 0, 0, -1, distance
    return matrix


def _lamp_view(lamp: np.ndarray, reach: float) -> np.ndarray:
    """Makes the view from the lamp, without perspective, from camera space to the cube of -1..1."""
    side = np.cross([0.0, 1.0, 0.0], lamp)
    side /= np.linalg.norm(side)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([side, np.cross(lamp, side), -lamp]) / (reach * 1.02)
    return matrix
