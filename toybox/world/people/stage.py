"""Puts one person on stage in one pose: skin, eyes, clothes, hair, hat and glasses as parts for the studio."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from toybox.world.people import wear
from toybox.world.people.build import built, marks
from toybox.world.people.figure import body, moved, normals, rotation
from toybox.world.people.light import linear
from toybox.world.people.names import BONES
from toybox.world.people.person import CLOTHES, DYES, EYES, HAIRS, LIPSTICKS, STYLES, Person, Portrait
from toybox.world.people.studio import Camera, Part

_SPANS = {"close-up": 1.52, "portrait": 1.95, "upper body": 2.8}  # height of the picture in heads
_RISE = {
    "close-up": 0.07,
    "portrait": -0.08,
    "upper body": -0.46,
}  # middle of the picture above the eyes, in heads
_FOOT = {
    "close-up": 2.9,
    "portrait": 1.9,
    "upper body": 0.4,
    "full body": -99.0,
}  # what lies lower on the plain body is left out
# Turns of limbs in degrees: yaw, pitch (negative lifts to the front), roll (in the picture, counter-clockwise).
_LIMBS: dict[str, dict[str, tuple[float, float, float]]] = {
    "standing": {"arm.l": (0, 0, -30), "arm.r": (0, 0, 30)},
    "waving": {"arm.r": (0, 0, -62), "forearm.r": (0, -20, -48)},
    "walking": {
        "thigh.l": (0, -24, 0),
        "thigh.r": (0, 20, 0),
        "shin.l": (0, 8, 0),
        "shin.r": (0, 30, 0),
        "arm.l": (0, 24, -32),
        "arm.r": (0, -22, 32),
    },
    "arms raised": {"arm.l": (0, 0, 96), "arm.r": (0, 0, -96)},
    "hands clasped": {
        "arm.l": (0, 14, -10),
        "arm.r": (0, 14, 10),
        "forearm.l": (-64, 0, -58),
        "forearm.r": (64, 0, 58),
    },
}
_PAIRED = {"shoulder": "arm", "elbow": "forearm", "wrist": "hand", "hip": "thigh", "knee": "shin", "ankle": "foot"}
# Joints of the skeleton: bone and its end; left and right are the person's own.
JOINTS: dict[str, tuple[str, int]] = {"head": ("head", 1), "neck": ("neck", 0), "pelvis": ("hips", 0)} | {
    f"{side} {name}": (f"{bone}.{side[0]}", 0) for side in ("left", "right") for name, bone in _PAIRED.items()
}
_IRIS = 0.54  # half angle of the iris seen from the middle of the eyeball, radians
_ACTIONS: dict[str, dict[str, float]] = {
    "neutral": {"mouthSmileLeft": 0.16, "mouthSmileRight": 0.16},
    "smiling": {"mouthSmile": 0.85, "cheekSquint": 0.45, "eyeSquint": 0.15, "mouthDimple": 0.2},
    "laughing": {"mouthSmile": 1.0, "jawOpen": 0.36, "cheekSquint": 0.7, "eyeSquint": 0.4, "mouthUpperUp": 0.35},
    "surprised": {"browInnerUp": 0.8, "browOuterUp": 0.8, "eyeWide": 0.7, "jawOpen": 0.42, "mouthFunnel": 0.25},
    "sad": {"browInnerUp": 0.95, "mouthFrown": 0.8, "mouthShrugLower": 0.4, "eyeBlink": 0.12},
    "angry": {"browDown": 0.95, "noseSneer": 0.55, "mouthPress": 0.6, "mouthFrown": 0.4, "eyeSquint": 0.3},
    "winking": {"eyeBlinkLeft": 0.98, "cheekSquintLeft": 0.6, "mouthSmile": 0.8, "browOuterUpRight": 0.3},
}


@dataclass(frozen=True)
class Cut:
    """Some triangles of the body and the vertices they need: `rows` of the body, and `faces` that count in them."""

    rows: np.ndarray
    faces: np.ndarray


def _cut(faces: np.ndarray) -> Cut:
    """Keeps the vertices that triangles need."""
    rows, numbers = np.unique(faces, return_inverse=True)
    return Cut(rows, numbers.reshape(-1, 3))


@lru_cache(maxsize=32)
def _piece(name: str) -> Cut:
    """Cuts out a part of the body."""
    return _cut(body().faces[name])


# Where cloth begins: height over the pit of the neck, and its fall towards the front.
_OPENINGS = {"turtleneck": (6.10, 0.0), "shirt": (5.98, 0.34), "hoodie": (5.95, 0.30), "sweater": (5.95, 0.34)}


@lru_cache(maxsize=32)
def _garment(kind: str, frame: str) -> tuple[Cut, np.ndarray]:
    """Cuts a garment out of the body's close-fitting hull; with it how far each vertex is below the opening."""
    whole = body()
    faces, rest = whole.faces["tights"], whole.points
    level = _level(kind)
    shown = (rest[faces][:, :, 1] > _FOOT[frame]).any(1) & (level[faces] > 0).any(1)
    cut = _cut(faces[shown])
    return cut, level[cut.rows].astype(np.float32)


@lru_cache(maxsize=8)
def _bare(kind: str, hands: bool) -> Cut:
    """Cuts out the skin that a garment leaves bare, and a little more below its edge."""
    faces = body().faces["body"]
    shown = (_level(kind)[faces] < 0.35).any(1)
    if hands:
        shown |= (np.abs(body().points[faces][:, :, 0]) > 3.95).any(1)
    return _cut(faces[shown])


@lru_cache(maxsize=16)
def _scalp(kind: str, hands: bool) -> np.ndarray:
    """Marks, in 0..1, the vertices of the bare skin that lie well inside the hair."""
    x, y, z = body().points[_bare(kind, hands).rows].T
    line = np.where(z > 0.3, 8.02 - 0.5 * np.clip(np.abs(x) - 0.35, 0, 0.35), 7.45)
    return np.clip((y - line) / 0.12, 0, 1) * (np.abs(x) < 0.80)


def _level(kind: str) -> np.ndarray:
    """Measures how far each vertex of the body lies below the opening of a garment, (V,) decimetres."""
    rest = body().points
    height, fall = _OPENINGS.get(kind, (5.93, 0.38))
    level = height - fall * np.clip(rest[:, 2] + 0.1, -0.6, 1.2) - rest[:, 1]
    return level + 1.6 * np.maximum(np.abs(rest[:, 0]) - 0.62, 0)  # shoulders are always covered


def _table(points: np.ndarray, faces: np.ndarray, rest: np.ndarray, extra: np.ndarray) -> np.ndarray:
    """Lays out vertices for the studio."""
    return np.concatenate([points, normals(points, faces), rest, extra], 1, dtype=np.float32)


class Stage:
    """One person in one pose, gathered part by part."""

    def __init__(self, person: Person, view: Portrait) -> None:
        """Poses the person."""
        self.person, self.view, self.whole, self.built = person, view, body(), built(person)
        face = self.whole.shaped(_actions(view), self.built.points)
        turned = rotation(view.yaw, view.pitch, view.roll)
        rel = view.yaw - view.body
        turns = {"hips": rotation(view.body), "neck": rotation(0.4 * rel, 0.4 * view.pitch, 0.4 * view.roll)}
        turns |= {bone: rotation(*degrees) for bone, degrees in (_LIMBS["standing"] | _LIMBS[view.pose]).items()}
        turns["head"] = (turns["hips"] @ turns["neck"]).T @ turned
        self.rest = face
        self.points, self.moves = self.whole.turned(face, turns)
        self.turn = turned
        self.eyes = [self._eye(name) for name in ("r-eye", "l-eye")]
        self.parts: list[Part] = []

    def _eye(self, name: str) -> tuple[np.ndarray, float]:
        """Gives an eyeball's middle in the world and its radius."""
        ball = self.rest[_piece(name).rows]
        low, high = ball.min(0), ball.max(0)
        return self.on_head((low + high)[None] / 2)[0], float(high[0] - low[0]) / 2

    def on_head(self, points: np.ndarray) -> np.ndarray:
        """Turns points with the head."""
        move = self.moves[list(BONES).index("head")]
        return points @ move[:, :3].T + move[:, 3]

    def skin(self) -> None:
        """Adds the skin."""
        person, whole = self.person, self.whole
        hands = self.view.frame == "full body" or self.view.pose != "standing"
        cut = _bare(person.clothes, hands)
        style = STYLES[person.hair]
        open_ = whole.open[style.mesh if style.mesh in whole.open else "none"]
        extra = np.concatenate([whole.masks[:, :1], open_[:, None], whole.masks[:, 2:]], 1)[cut.rows]
        tone, (deep, lit) = (
            np.array(linear(person.skin_rgb)),
            (np.array(linear(rgb)) for rgb in HAIRS[person.hair_colour]),
        )
        lips = (
            linear(LIPSTICKS[person.lipstick]) if person.lipstick else tone * [0.74, 0.40, 0.42] + [0.03, 0.008, 0.01]
        )
        own = HAIRS["dark brown" if person.hair_colour in DYES else person.hair_colour]
        dark = 0.6 * np.array(linear(own[0])) + 0.25 * np.array(linear(own[1]))
        if person.hair_colour in ("blond", "white", "gray"):
            dark = 0.55 * dark + 0.45 * tone * [0.30, 0.22, 0.16]
        beard = 0.5 if person.beard == "stubble" else 1.0
        values = {
            "tone": (*tone, 1),
            "tone2": (0, 0, 0, beard),
            "tone3": (0, 0, 0, 1.0),
            "lip": (*lips, 1),
            "brow": (*dark * 0.8, 0),
            "scalp": (*(0.6 * deep + 0.4 * lit), style.cover),
            "seed": person.seed % 97 / 97,
        }
        table = _table(self.points[cut.rows], cut.faces, whole.points[cut.rows], extra)
        if style.mesh is not None:  # the scalp keeps out of the hair's way
            table[:, :3] -= (0.07 * _scalp(person.clothes, hands))[:, None] * table[:, 3:6]
        self.parts.append(Part("skin", table, cut.faces, values, self.built.paint))

    def eyeballs(self) -> None:
        """Adds eyes that look where the view says, and lashes and teeth."""
        right, up = self.view.gaze
        gaze = self.turn @ rotation(right, -up)
        iris = np.array(linear(EYES[self.person.eyes]))
        values = {"tone": (*iris * 1.25, _IRIS), "tone2": (*iris * [0.7, 0.5, 0.4], 0.43), "tone3": (0, 0, 0, 0.95)}
        local, faces = _ball()
        for middle, radius in self.eyes:
            out = local @ gaze.T
            head = out @ self.turn
            extra = np.concatenate([head, np.zeros((len(head), 1))], 1)
            table = np.concatenate([middle + out * radius, out, local, extra], 1)
            self.parts.append(Part("eye", table, faces, values | {"seed": self.person.seed % 31 / 31}, casts=False))
        for name, tone, opacity in _HARD:
            cut, lash = _piece(name), "lash" in name
            shown = min(opacity * (1.25 if self.person.sex == "woman" else 0.75), 1.0) if lash else opacity
            fade = _fade(name) if lash else None
            self.hard(
                self.points[cut.rows], cut.faces, rgb=tone, gloss=0.0 if lash else 0.25, opacity=shown, extra=fade
            )

    def hard(
        self,
        points: np.ndarray,
        faces: np.ndarray,
        *,
        rgb: tuple[float, float, float],
        gloss: float,
        opacity: float = 1.0,
        extra: np.ndarray | None = None,
    ) -> None:
        """Adds something of one color (linear light)."""
        numbers = np.zeros((len(points), 4), np.float32) if extra is None else extra
        values = {"tone": (*rgb, gloss), "tone2": (0.35, 0, 0, opacity), "tone3": (0, 0, 0, 0.8)}
        casts = opacity == 1.0 and extra is None
        self.parts.append(Part("hard", _table(points, faces, points, numbers), faces, values, casts=casts))

    def clothes(self) -> None:
        """Adds a garment and the edge of its opening."""
        person, kind = self.person, self.person.clothes
        cut, level = _garment(kind, self.view.frame)
        at = self.points[cut.rows]
        thick = {"t-shirt": 0.05, "shirt": 0.06, "turtleneck": 0.07}.get(kind, 0.11)
        swell = thick * np.clip(level / 0.25 + 0.35, 0.2, 1)
        points = at + normals(at, cut.faces) * swell[:, None]
        ring = wear.opening(points, cut.faces, level=level)
        extra = np.concatenate([level[:, None], np.zeros((len(level), 3), np.float32)], 1)
        first, second = linear(CLOTHES[person.clothes_colour]), linear(CLOTHES[person.second_colour])
        ribbed = float(kind in ("sweater", "turtleneck"))
        values = {
            "tone": (*first, 0.02),
            "tone2": (*second, {"striped": 1.0, "checked": 2.0}.get(person.pattern or "", 0.0)),
            "tone3": (ribbed, 0, 0, 0.85),
            "legs": (*linear(CLOTHES[person.legs_colour]), 1),
            "shoes": (*linear(CLOTHES[person.shoes_colour]), 1),
        }
        table = _table(points, cut.faces, self.whole.points[cut.rows], extra)
        self.parts.append(Part("cloth", table, cut.faces, values))
        piece = wear.joined(wear.collar(kind, ring))
        plain = values | {
            "tone": (*second, 0.02) if person.pattern else values["tone"],
            "tone2": (*second, 0.0),
            "legs": (0, 0, 0, 0),
        }
        edge = np.concatenate([np.ones((len(piece.points), 1)), np.zeros((len(piece.points), 3))], 1)
        self.parts.append(Part("cloth", _table(piece.points, piece.faces, piece.points, edge), piece.faces, plain))

    def hair(self) -> None:
        """Adds the hair."""
        if self.built.hair is None:
            return
        points, rest, extra, faces, shares = self.built.hair
        style, (deep, lit) = STYLES[self.person.hair], HAIRS[self.person.hair_colour]
        tied = style.mesh == "ponytail01"
        values = {
            "tone": (*linear(deep), 0),
            "tone2": (*linear(lit), 0),
            "tone3": (0.8, 0, 0, 0.95),
            "crown": (0.0, 8.2, -0.1, style.waves),
            "axis": ((0, 0.25, -0.97, 0.10) if tied else (0, 1, 0, 0.12)),
            "seed": self.person.seed % 53 / 53,
        }
        out = moved(points, shares, self.moves)
        self.parts.append(Part("hair", _table(out, faces, rest, extra), faces, values))

    def worn(self) -> None:
        """Adds hat and glasses."""
        person = self.person
        if person.hat is not None:
            piece = wear.joined(wear.hat(person.hat, self.built.dome))
            out = self.on_head(piece.points)
            values = {
                "tone": (*linear(CLOTHES[person.hat_colour]), 0.01),
                "tone2": (0, 0, 0, 0),
                "legs": (0, 0, 0, 0),
                "tone3": (float(person.hat == "beanie"), 0, 0, 0.9),
            }
            extra = np.concatenate([np.ones((len(out), 1)), np.zeros((len(out), 3))], 1)
            self.parts.append(Part("cloth", _table(out, piece.faces, piece.points, extra), piece.faces, values))
        if person.glasses is None:
            return
        spot, back = marks(), np.linalg.inv(self.turn)
        move = self.moves[list(BONES).index("head")]
        eyes = np.stack([(middle - move[:, 3]) @ back.T + [0, 0, radius] for middle, radius in self.eyes])
        pieces = wear.glasses(person.glasses, eyes, bridge=self.rest[spot.ridge], ears=self.rest[list(spot.ears)])
        rgb = linear(CLOTHES[person.glasses_colour])
        for clear in (False, True):
            piece = wear.joined([one for one in pieces if one.clear == clear])
            tone = (0.7, 0.8, 0.9) if clear else rgb
            self.hard(self.on_head(piece.points), piece.faces, rgb=tone, gloss=0.5, opacity=0.07 if clear else 1.0)

    def truth(self) -> np.ndarray:
        """Returns: the five points in the world, (5, 3)."""
        spot = marks()
        eyes = [middle + self.turn @ np.array([0, 0, radius]) for middle, radius in self.eyes]
        return np.stack([*eyes, self.points[spot.nose], *self.points[list(spot.corners)]])

    def joints(self) -> np.ndarray:
        """Returns: the joints of `JOINTS` in the world, (15, 3)."""
        names = list(BONES)
        found = []
        for bone, end in JOINTS.values():
            move = self.moves[names.index(bone)]
            found.append(move[:, :3] @ self.whole.joint(self.rest, bone, end) + move[:, 3])
        return np.stack(found)

    def camera(self) -> Camera:
        """Returns: a camera that frames the head as the view asks."""
        spot, frame = marks(), self.view.frame
        head = float(np.linalg.norm(self.rest[spot.crown] - self.rest[spot.chin]))
        eyes = (self.eyes[0][0] + self.eyes[1][0]) / 2
        if frame == "full body":
            low = float(self.points[_piece("tights").rows, 1].min())
            top = float(self.points[spot.crown, 1]) + 0.25 * head
            span = 1.1 * (max(top, float(self.points[:, 1].max())) - low)
            x, _, z = self.moves[0, :, 3]
            return Camera((float(x), low + 0.46 * span, float(z)), span, distance=5.0 * span, shift=self.view.x)
        centre = self.on_head((self.rest[spot.crown] + self.rest[spot.chin])[None] / 2)[0]
        target = (float(eyes[0] + centre[0]) / 2, float(eyes[1] + _RISE[frame] * head), float(centre[2]))
        return Camera(target, _SPANS[frame] * head, distance=7.5 * head, shift=self.view.x)


_HARD = (
    ("upper-teeth", (0.95, 0.91, 0.82), 1.0),
    ("lower-teeth", (0.66, 0.62, 0.55), 1.0),
    ("tongue", (0.32, 0.09, 0.08), 1.0),
    ("l-eyelashes-1", (0.012, 0.009, 0.008), 0.8),
    ("r-eyelashes-1", (0.012, 0.009, 0.008), 0.8),
    ("l-eyelashes-2", (0.02, 0.014, 0.012), 0.28),
    ("r-eyelashes-2", (0.02, 0.014, 0.012), 0.28),
)


@lru_cache(maxsize=8)
def _fade(name: str) -> np.ndarray:
    """Measures how far out on its lash each vertex lies, (n, 4): 0 at the lid, 1 at the tip, in the first column."""
    rest = body().points
    eye, rows = rest[_piece(f"{name[0]}-eye").rows], _piece(name).rows
    far = np.linalg.norm(rest[rows] - (eye.min(0) + eye.max(0)) / 2, axis=1)
    out = np.zeros((len(rows), 4), np.float32)
    out[:, 0] = (far - far.min()) / (far.max() - far.min())
    return out


@lru_cache(maxsize=1)
def _ball() -> tuple[np.ndarray, np.ndarray]:
    """Makes the front of an eyeball around +z: (n, 3) unit vectors and (k, 3) triangles."""
    tilt = np.linspace(0, np.pi / 1.6, 16)[:, None]
    around = np.linspace(0, 2 * np.pi, 29)[None]
    points = np.stack([np.sin(tilt) * np.cos(around), np.sin(tilt) * np.sin(around), np.cos(tilt) + 0 * around], -1)
    piece = wear.grid(points[:, ::-1])
    return piece.points, piece.faces


def _actions(view: Portrait) -> dict[str, float]:
    """Gives the facial actions of a view: its expression, and lids that follow the gaze."""
    out: dict[str, float] = {}
    for name, value in _ACTIONS[view.expression].items():
        whole = body().shapes
        names = [name] if f"action/{name}" in whole else [f"{name}Left", f"{name}Right"]
        for one in names:
            out[f"action/{one}"] = out.get(f"action/{one}", 0.0) + value * view.strength
    up = view.gaze[1] / 30
    for side in ("Left", "Right"):
        out[f"action/eyeLook{'Up' if up > 0 else 'Down'}{side}"] = min(abs(up), 1.0)
    return out
