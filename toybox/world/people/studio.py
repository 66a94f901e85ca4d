"""A photographer's studio on OpenGL: parts and light in, antialiased RGBA and the mask of each part out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from toybox.world.context import open_context
from toybox.world.people.shaders import FRAGMENTS, SHADOW_FRAGMENT, SHADOW_VERTEX, VERTEX

_SHADE = 384  # side of the shadow map in pixels
_GRAIN = 256
Values = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Part:
    """One thing to draw.

    Attributes:
        material: "skin", "eye", "hair", "cloth" or "hard".
        table: (n, 13) float32: position, normal, place on the undeformed body, and four numbers of the material.
        faces: (k, 3) triangles.
        values: The material's colors (linear light) and options.
        face: (h, w, 4) uint8 painting of the face, for skin.
        casts: Whether it throws a shadow.
    """

    material: str
    table: np.ndarray
    faces: np.ndarray
    values: Values = field(default_factory=dict)
    face: np.ndarray | None = None
    casts: bool = True


@dataclass(frozen=True)
class Lamp:
    """The light of a picture, in linear light; directions point to where it comes from.

    Attributes:
        key: Direction of the main light.
        key_rgb: Its color and strength.
        sky: Light from above.
        ground: Light from below.
        rim: Direction of the light from behind.
        rim_rgb: Its color and strength.
    """

    key: tuple[float, float, float]
    key_rgb: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]
    rim: tuple[float, float, float]
    rim_rgb: tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """Where the camera stands: it looks along -z at a point from a distance, `span` decimetres high there.

    `shift` moves the whole picture to the right, as a share of its width, without a change of view.
    """

    target: tuple[float, float, float]
    span: float
    distance: float = 16.0
    shift: float = 0.0

    def place(self) -> np.ndarray:
        """Returns: where the camera is, (3,)."""
        return np.array(self.target, np.float32) + [0, 0, self.distance]

    def matrix(self) -> np.ndarray:
        """Returns: (4, 4) projection of decimetres onto the picture."""
        scale, d = 2 / self.span, self.distance
        near, far = 0.5 * d, 1.7 * d
        move = np.eye(4)
        move[:3, 3] = -self.place()
        flat = np.zeros((4, 4))
        flat[0, 0] = flat[1, 1] = scale * d
        flat[2, 2], flat[2, 3] = -(far + near) / (far - near), -2 * far * near / (far - near)
        flat[3, 2] = -1
        flat[0] += 2 * self.shift * flat[3]
        return flat @ move

    def pixels(self, points: np.ndarray, size: int) -> np.ndarray:
        """Says where points of the world fall in the picture.

        Args:
            points: (n, 3) decimetres.
            size: Side of the picture.

        Returns:
            (n, 2) x to the right and y down, in pixels; the middle of the first pixel is (0.5, 0.5).
        """
        seen = np.concatenate([points, np.ones((len(points), 1))], 1) @ self.matrix().T
        flat = seen[:, :2] / seen[:, 3:]
        return np.stack([(flat[:, 0] + 1) * size / 2, (1 - flat[:, 1]) * size / 2], 1)


class Studio:
    """One OpenGL context with its programs and frames, kept for the life of the process."""

    def __init__(self) -> None:
        """Opens the context.

        Raises:
            RuntimeError: No EGL driver is there, or moderngl is not installed.
        """
        self.gl = open_context("people are")
        self.programs = {
            name: self.gl.program(vertex_shader=VERTEX, fragment_shader=text) for name, text in FRAGMENTS.items()
        }
        self.shadow = self.gl.program(vertex_shader=SHADOW_VERTEX, fragment_shader=SHADOW_FRAGMENT)
        self.shade = self.gl.depth_texture((_SHADE, _SHADE))
        self.shade.compare_func = "<="
        self.shade.repeat_x = self.shade.repeat_y = False
        self.shade_frame = self.gl.framebuffer([], self.shade)
        self.grain = self.gl.texture((_GRAIN, _GRAIN), 2, _grain().tobytes())
        self.grain.build_mipmaps()
        self._frames: dict[int, Any] = {}

    def frame(self, side: int) -> Any:
        """Gives a frame of a size; sampling each pixel several times here costs more than drawing larger."""
        if side not in self._frames:
            depth = self.gl.depth_renderbuffer((side, side))
            self._frames[side] = self.gl.framebuffer([self.gl.renderbuffer((side, side))], depth)
        return self._frames[side]

    def shoot(self, parts: Sequence[Part], camera: Camera, *, lamp: Lamp, side: int) -> Image.Image:
        """Draws parts.

        Args:
            parts: What to draw; see-through parts come last.
            camera: From where.
            lamp: In what light.
            side: Side of the square picture in pixels.

        Returns:
            RGBA with premultiplied alpha ("RGBa").
        """
        gl = self.gl
        frame = self.frame(side)
        throw = _throw(lamp, camera)
        loaded = [self._load(part) for part in parts]
        self.shade_frame.use()
        self.shade_frame.clear(depth=1.0)
        gl.enable_only(gl.DEPTH_TEST)
        self.shadow["lamp"].write(throw.T.astype(np.float32).tobytes())
        for (_, shadow, _), part in zip(loaded, parts, strict=True):
            if part.casts:
                shadow.render()
        frame.use()
        frame.clear(0, 0, 0, 0)
        gl.enable_only(gl.DEPTH_TEST | gl.BLEND)
        gl.blend_func = gl.ONE, gl.ONE_MINUS_SRC_ALPHA
        for (array, _, _), part in zip(loaded, parts, strict=True):
            self._set(part, camera, lamp, throw)
            array.render()
        for array, shadow, buffers in loaded:
            for item in (array, shadow, *buffers):
                item.release()
        return Image.frombuffer("RGBa", (side, side), frame.read(components=4), "raw", "RGBa", 0, -1)

    def _load(self, part: Part) -> tuple:
        """Sends a part's vertices; gives its drawing, its shadow's drawing and its buffers."""
        gl, program = self.gl, self.programs[part.material]
        vertices = gl.buffer(np.ascontiguousarray(part.table, np.float32))
        index = gl.buffer(np.ascontiguousarray(part.faces, np.int32))
        names = [name if name in program else None for name in ("position", "normal", "rest", "extra")]
        sizes = [3, 3, 3, 4]
        layout = " ".join(f"{n}f" if name else f"{4 * n}x" for n, name in zip(sizes, names, strict=True))
        array = gl.vertex_array(program, [(vertices, layout, *[name for name in names if name])], index)
        shadow = gl.vertex_array(self.shadow, [(vertices, "3f 40x", "position")], index)
        return array, shadow, (vertices, index)

    def _set(self, part: Part, camera: Camera, lamp: Lamp, throw: np.ndarray) -> None:
        """Hands view, light and material to the part's program."""
        program = self.programs[part.material]
        given = {"eye": camera.place(), **vars(lamp), **part.values}
        for name, value in given.items():
            if name in program:
                member = program[name]
                member.value = tuple(float(v) for v in value) if np.size(value) > 1 else float(np.ravel(value)[0])
        for name, matrix in (("camera", camera.matrix()), ("lamp", throw)):
            if name in program:
                program[name].write(matrix.T.astype(np.float32).tobytes())
        for slot, name in enumerate(("face", "grain", "shade")):
            if name in program:
                program[name].value = slot
        if part.face is not None:
            self._paint(part.face).use(0)
        self.grain.use(1)
        self.shade.use(2)

    def _paint(self, face: np.ndarray) -> Any:
        """Sends the painting of a face; the latest is kept."""
        if getattr(self, "_face_of", None) is not face:
            if getattr(self, "_face", None) is not None:
                self._face.release()
            self._face = self.gl.texture(face.shape[1::-1], 4, np.ascontiguousarray(face[::-1]).tobytes())
            self._face.repeat_x = self._face.repeat_y = False
            self._face.build_mipmaps()
            self._face_of = face
        return self._face


def _throw(lamp: Lamp, camera: Camera) -> np.ndarray:
    """Makes the (4, 4) projection along the key light that covers what the camera sees."""
    z = np.array(lamp.key) / np.linalg.norm(lamp.key)
    x = np.cross([0, 1, 0], z)
    x /= np.linalg.norm(x)
    turn = np.stack([x, np.cross(z, x), z])
    half = 0.72 * camera.span + 0.6
    move = np.eye(4)
    move[:3, :3] = np.diag([1 / half, 1 / half, -1 / (2.2 * half)]) @ turn
    move[:3, 3] = -move[:3, :3] @ np.array(camera.target)
    return move


def _grain() -> np.ndarray:
    """Makes tileable noise: fine in the first channel, broad in the second."""
    rng = np.random.default_rng(5)
    out = np.empty((_GRAIN, _GRAIN, 2), np.uint8)
    for channel, width in enumerate((1.0, 3.0)):
        waves = np.fft.fft2(rng.normal(size=(_GRAIN, _GRAIN)))
        f = np.fft.fftfreq(_GRAIN) * _GRAIN
        soft = np.exp(-(f[:, None] ** 2 + f[None] ** 2) * (width / _GRAIN * 2.2) ** 2)
        noise = np.fft.ifft2(waves * soft).real
        out[..., channel] = np.clip(128 + 52 * noise / noise.std(), 0, 255).astype(np.uint8)
    return out


@lru_cache(maxsize=1)
def studio() -> Studio:
    """Returns: the one studio of this process, opened at first use."""
    return Studio()
