"""Draws meshes with OpenGL: one small shader, an EGL context without a screen, antialiased RGBA out."""

from functools import lru_cache

import numpy as np
from PIL import Image

from toybox.world.context import open_context
from toybox.world.description import Light, Pose
from toybox.world.makers.mesh import Solid

_DISTANCE = 5.5  # of the camera, in units of the thing's size: a long lens, as product photographs use

_VERTEX = """
#version 330
uniform mat4 projection; uniform mat3 turn;
in vec3 position; in vec3 normal; in vec2 uv; in vec3 rgb; in float finish;
out vec3 n; out vec3 p; out vec2 t; out vec3 plain; flat out float kind;
void main() {
  p = turn * position; n = turn * normal; t = uv; plain = rgb; kind = finish;
  gl_Position = projection * vec4(p, 1.0);
}
"""
_FRAGMENT = """
#version 330
uniform sampler2D paint; uniform vec3 light; uniform float gloss; uniform float distance_;
in vec3 n; in vec3 p; in vec2 t; in vec3 plain; flat in float kind;
out vec4 color;
void main() {
  vec3 base = abs(kind - 1.0) < 0.5 ? texture(paint, t).rgb : plain;
  vec3 eye = normalize(vec3(0.0, 0.0, distance_) - p), m = normalize(n);
  if (dot(m, eye) < 0.0) m = -m;
  float wrapped = clamp((dot(m, light) + 0.35) / 1.35, 0.0, 1.0);
  float above = 0.5 + 0.5 * m.y;
  vec3 lit = base * (mix(vec3(0.47, 0.44, 0.46), vec3(0.60, 0.61, 0.64), above) + vec3(0.54, 0.53, 0.50) * wrapped);
  float shine = pow(max(dot(m, normalize(light + eye)), 0.0), 38.0) * gloss;
  float rim = pow(1.0 - max(dot(m, eye), 0.0), 3.0) * (0.10 + 0.12 * above);
  lit += vec3(shine) + rim * mix(vec3(1.0), base, 0.4);
  color = vec4(kind > 1.5 ? plain : lit, 1.0);
}
"""


class Lathe:
    """One OpenGL context with its program and frames, kept for the life of the process."""

    def __init__(self) -> None:
        """Opens the context.

        Raises:
            RuntimeError: No EGL driver is there, or moderngl is not installed.
        """
        self.gl = open_context("makers are")
        self.program = self.gl.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        self._frames: dict[int, tuple] = {}

    def frame(self, side: int) -> tuple:
        """Gives the antialiased frame and the plain one it is resolved into."""
        if side not in self._frames:
            depth = self.gl.depth_renderbuffer((side, side), samples=4)
            many = self.gl.framebuffer([self.gl.renderbuffer((side, side), samples=4)], depth)
            plain = self.gl.framebuffer([self.gl.renderbuffer((side, side))])
            self._frames[side] = (many, plain)
        return self._frames[side]


@lru_cache(maxsize=1)
def lathe() -> Lathe:
    """Returns: the one context of this process, opened at first use."""
    return Lathe()


def rotation(azimuth: float, elevation: float, roll: float) -> np.ndarray:
    """Makes the matrix that turns a thing as the camera sees it, from degrees."""
    a, e, r = np.deg2rad([azimuth, elevation, roll])
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    tip = np.array([[1, 0, 0], [0, np.cos(e), -np.sin(e)], [0, np.sin(e), np.cos(e)]])
    tilt = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return tilt @ tip @ turn


def draw(mesh: Solid, texture: Image.Image, *, pose: Pose, light: Light, pixels: int, gloss: float) -> Image.Image:
    """Draws a mesh so that it fills a picture exactly.

    Args:
        mesh: What to draw.
        texture: What painted parts show.
        pose: Gives azimuth, elevation and roll.
        light: Where the light comes from.
        pixels: Longer side of the drawing.
        gloss: Strength of the highlight.

    Returns:
        RGBA, cropped to the thing.
    """
    turn = rotation(pose.azimuth, pose.elevation, pose.roll)
    distance = _DISTANCE * float(np.abs(mesh.table[:, :3]).max())
    seen = mesh.table[:, :3] @ turn.T.astype(np.float32)
    flat = seen[:, :2] / (distance - seen[:, 2:])
    bench = lathe()
    _send(bench, turn, _projection(flat, distance, pixels), light, gloss, distance)
    many, plain = bench.frame(pixels)
    many.use()
    many.clear(0, 0, 0, 0)
    _run(bench, mesh.table, mesh.facing(flat), texture)
    bench.gl.copy_framebuffer(plain, many)
    image = Image.frombuffer("RGBa", (pixels, pixels), plain.read(components=4), "raw", "RGBa", 0, -1).convert("RGBA")
    return image.crop(image.getbbox())


def _projection(flat: np.ndarray, distance: float, pixels: int) -> np.ndarray:
    """Makes the projection that fits all points, as seen from a distance, into the picture but for a pixel's rim."""
    low, high = flat.min(0), flat.max(0)
    scale = 2 * (1 - 2 / pixels) / float((high - low).max())
    middle = (low + high) / 2 * scale
    near, far = 0.4 * distance, 1.8 * distance
    squeeze = (far + near) / (far - near)
    return np.array(
        [
            [scale, 0, middle[0], -middle[0] * distance],
            [0, scale, middle[1], -middle[1] * distance],
            [0, 0, -squeeze, squeeze * distance - 2 * far * near / (far - near)],
            [0, 0, -1, distance],
        ],
        np.float32,
    )


def _run(bench: Lathe, table: np.ndarray, faces: np.ndarray, texture: Image.Image) -> None:
    """Sends triangles and texture, draws them into the frame in use, and lets them go."""
    gl = bench.gl
    gl.enable_only(gl.DEPTH_TEST)
    sheet = gl.texture(texture.size, 3, texture.tobytes())
    sheet.build_mipmaps()
    sheet.use(0)
    vertices, index = gl.buffer(table), gl.buffer(np.ascontiguousarray(faces))
    layout = [(vertices, "3f 3f 2f 3f 1f", "position", "normal", "uv", "rgb", "finish")]
    array = gl.vertex_array(bench.program, layout, index)
    array.render()
    for item in (array, vertices, index, sheet):
        item.release()


def _send(bench: Lathe, turn: np.ndarray, projection: np.ndarray, light: Light, gloss: float, distance: float) -> None:
    """Hands the view and the light to the shader."""
    a, e = np.deg2rad([light.azimuth, light.elevation])
    towards = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)], np.float32)
    program = bench.program
    program["projection"].write(projection.T.astype(np.float32).tobytes())
    program["turn"].write(turn.T.astype(np.float32).tobytes())
    program["light"].write(towards.tobytes())
    program["gloss"].value = gloss
    program["distance_"].value = distance
