"""How four-legged creatures and birds bend their bones in each motion, as data: degrees about x, y and z of each bone.

A positive x turns the nose down and swings a leg back.
"""

from dataclasses import dataclass

Bends = dict[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Gait:
    """One moment of a creature.

    Attributes:
        bends: Turns of its bones.
        pitch: Turn of the whole body, nose up where negative.
        asleep: Whether its eyes are closed.
        happy: Whether its mouth is open.
    """

    bends: Bends
    pitch: float = 0.0
    asleep: bool = False
    happy: bool = False


def _legs(front: tuple[float, float], hind: tuple[float, float], knees: tuple[float, float, float, float]) -> Bends:
    """Makes the bends of four legs.

    Args:
        front: Swing of the left and the right front leg.
        hind: Swing of the left and the right hind leg.
        knees: Bend of the lower legs: front left, front right, hind left, hind right.
    """
    swings = (*front, *hind)
    names = ("front.l", "front.r", "hind.l", "hind.r")
    upper = {name: (swing, 0.0, 0.0) for name, swing in zip(names, swings, strict=True)}
    return upper | {f"{name}.low": (knee, 0.0, 0.0) for name, knee in zip(names, knees, strict=True)}


def _tail(x: float, y: float = 0.0, curl: float = 0.0) -> Bends:
    """Makes the bends of the tail: raised by `x`, aside by `y`, curled up by `curl` at each joint."""
    return {"tail": (x, y, 0.0), "tail.mid": (curl, y * 0.6, 0.0), "tail.tip": (curl, y * 0.6, 0.0)}


def _ears(back: float) -> Bends:
    return {"ear.l": (back, 0.0, 0.0), "ear.r": (back, 0.0, 0.0)}


GAITS: dict[str, tuple[Gait, ...]] = {
    "standing": (
        Gait(_tail(35, 0, 14)),
        Gait(_legs((-6, 4), (5, -4), (0, 0, 0, 0)) | _tail(50, 14, 16), happy=True),
    ),
    "walking": (
        Gait(_legs((-30, 24), (26, -24), (8, 6, 8, 4)) | _tail(40, 10, 12), happy=True),
        Gait(_legs((24, -30), (-24, 26), (6, 8, 4, 8)) | _tail(40, -10, 12)),
    ),
    "running": (
        Gait(
            _legs((-68, -52), (62, 48), (-6, -4, 14, 14)) | _tail(18, 0, 6) | _ears(28) | {"neck": (14, 0, 0)},
            -6,
            happy=True,
        ),
        Gait(
            _legs((48, 30), (-52, -38), (34, 44, 24, 20))
            | _tail(40, 0, 8)
            | _ears(22)
            | {"chest": (22, 0, 0), "neck": (-14, 0, 0)},
            -8,
            happy=True,
        ),
    ),
    "jumping": (
        Gait(
            _legs((-58, -70), (52, 64), (58, 64, 10, 8)) | _tail(30, 0, 12) | _ears(18) | {"neck": (10, 0, 0)},
            -32,
            happy=True,
        ),
        Gait(
            _legs((-80, -64), (58, 40), (20, 30, 14, 20)) | _tail(24, 0, 14) | _ears(24) | {"neck": (14, 0, 0)},
            -20,
            happy=True,
        ),
    ),
    "sitting": (
        Gait(
            _legs((50, 47), (-46, -46), (0, 0, 24, 24)) | _tail(-14, 28, 10) | {"neck": (26, 0, 0), "head": (24, 0, 0)},
            -50,
        ),
        Gait(
            _legs((46, 49), (-46, -46), (0, 0, 24, 24))
            | _tail(-10, -34, 16)
            | {"neck": (24, 0, 0), "head": (20, 0, 8)},
            -48,
            happy=True,
        ),
    ),
    "lying": (
        Gait(_legs((-84, -80), (-76, -76), (4, 2, 10, 10)) | _tail(-8, 34, 0) | {"head": (2, 0, 0)}),
        Gait(_legs((-80, -86), (-80, -72), (2, 6, 8, 10)) | _tail(-4, -38, 0) | {"head": (6, 0, -7)}),
    ),
    "sleeping": (
        Gait(
            _legs((-88, -84), (-84, -82), (6, 4, 6, 8))
            | _tail(-10, 52, 0)
            | {"neck": (52, 22, 0), "head": (-47, 8, 12), "chest": (4, 16, 0)}
            | _ears(10),
            asleep=True,
        ),
        Gait(
            _legs((-84, -88), (-82, -84), (4, 6, 8, 6))
            | _tail(-10, -52, 0)
            | {"neck": (52, -22, 0), "head": (-47, -8, -12), "chest": (4, -16, 0)}
            | _ears(10),
            asleep=True,
        ),
    ),
    "swimming": (
        Gait(
            _legs((-62, 10), (44, 8), (20, 50, 10, 30)) | _tail(14, 8, 4) | {"neck": (-8, 0, 0), "head": (4, 0, 0)},
            -8,
            happy=True,
        ),
        Gait(
            _legs((10, -62), (8, 44), (50, 20, 30, 10)) | _tail(14, -8, 4) | {"neck": (-8, 0, 0), "head": (4, 0, 0)}, -8
        ),
    ),
}
