"""The drawing of five points: pixels as OpenCV fills them."""

import hashlib
import math

import numpy as np
import pytest
from PIL import Image

from ipseity.core.keypoints import COLORS, draw_keypoints, place

FRONT = ((40, 60), (88, 58), (65, 85), (45, 110), (84, 109))
KNOWN = {
    (FRONT, (160, 128)): "FRONT",
    (((300.7, 410.2), (512.9, 377.1), (460.4, 500.5), (350.3, 640.8), (533.6, 611.4)), (1024, 832)): "LARGE",
    (((30, 20), (20, 60), (50, 44), (72, 18), (66, 66)), (96, 96)): "ASIDE",
}


def test_the_written_rule_holds_where_it_can_be_read_off() -> None:
    pixels = np.asarray(draw_keypoints(FRONT, (160, 128)))
    assert pixels.shape == (160, 128, 3) and pixels.dtype == np.uint8
    for (x, y), color in zip(FRONT, COLORS, strict=True):
        assert tuple(pixels[y, x]) == color, "a disc lies on each point, at full color"
        assert tuple(pixels[y, x - 10]) == color and tuple(pixels[y - 10, x]) == color, "of radius 10"
        assert tuple(pixels[y - 11, x]) != color
    halfway = pixels[(60 + 85) // 2, (40 + 65) // 2]
    assert tuple(halfway) == (153, 0, 0), "limbs bear the color of their other end, dimmed to 0.6"
    limb = pixels[72:74].reshape(-1, 3)
    assert set(map(tuple, limb)) == {(0, 0, 0), (153, 0, 0), (0, 153, 0)}


@pytest.mark.parametrize(("points", "size"), KNOWN, ids=KNOWN.values())
def test_each_pixel_is_as_it_was_when_opencv_agreed(points, size) -> None:
    digest = hashlib.sha256(np.asarray(draw_keypoints(points, size)).tobytes()).hexdigest()
    assert digest[:16] == HASHES[KNOWN[points, size]]


def opencv_drawing(cv2, points, size):
    """The same rule, filled by OpenCV."""
    canvas, rows = np.zeros((*size, 3)), np.array(points, dtype=float)
    for end in (0, 1, 3, 4):
        (x0, y0), (x1, y1) = rows[end], rows[2]
        half, turn = int(math.hypot(x0 - x1, y0 - y1) / 2), int(math.degrees(math.atan2(y0 - y1, x0 - x1)))
        corners = cv2.ellipse2Poly((int((x0 + x1) / 2), int((y0 + y1) / 2)), (half, 4), turn, 0, 360, 1)
        canvas = cv2.fillConvexPoly(canvas, corners, COLORS[end])
    canvas = (canvas * 0.6).astype(np.uint8)
    for (x, y), color in zip(rows, COLORS, strict=True):
        canvas = cv2.circle(canvas, (int(x), int(y)), 10, color, -1)
    return canvas


def test_opencv_agrees_pixel_by_pixel() -> None:
    cv2 = pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    chance = np.random.default_rng(0)
    for points, size in KNOWN:
        assert np.array_equal(np.asarray(draw_keypoints(points, size)), opencv_drawing(cv2, points, size))
    for _ in range(30):
        height, width = (int(side) for side in chance.integers(64, 400, 2))
        points = chance.uniform(0, 1, (5, 2)) * [width, height]
        assert np.array_equal(
            np.asarray(draw_keypoints(points, (height, width))), opencv_drawing(cv2, points, (height, width))
        )


def test_points_outside_of_the_canvas_are_cut_off() -> None:
    far = np.array(FRONT) + 500
    assert not np.asarray(draw_keypoints(far, (64, 64))).any()
    edge = np.asarray(draw_keypoints(np.array(FRONT) - [40, 0], (160, 128)))
    assert tuple(edge[60, 0]) == COLORS[0] and isinstance(Image.fromarray(edge), Image.Image)


def test_a_photos_points_are_placed_whole_and_centred() -> None:
    assert place([[0, 0], [100, 200]], (200, 100), (64, 64)).tolist() == [[16, 0], [48, 64]]
    assert place([[10, 20]], (64, 64), (128, 128)).tolist() == [[20, 40]]


def test_a_face_has_five_points() -> None:
    with pytest.raises(AssertionError, match="five points"):
        draw_keypoints([[1, 2]], (8, 8))


HASHES = {"FRONT": "e6b286a82449b32b", "LARGE": "1a10043afd10b997", "ASIDE": "73a6de46cc6adb0b"}
