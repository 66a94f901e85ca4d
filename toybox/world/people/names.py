"""The names of MakeHuman's shapes, bones and hair that people are made of."""

RACES = ("african", "asian", "caucasian")
MACROS = tuple(
    [f"universal-{sex}-{age}-averagemuscle-averageweight" for sex in ("female", "male") for age in ("young", "old")]
    + [f"{race}-{sex}-{age}" for race in RACES for sex in ("female", "male") for age in ("young", "old")]
)
# Sliders with two directions: (name of the low end, name of the high end).
_SPANS: dict[str, dict[str, str]] = {
    "head": {
        "decr incr": "head-age head-fat head-scale-depth head-scale-horiz head-scale-vert head-back-scale-depth",
        "in out": "head-angle",
    },
    "forehead": {
        "decr incr": "forehead-nubian forehead-scale-vert forehead-temple",
        "backward forward": "forehead-trans",
    },
    "eyebrows": {"down up": "eyebrows-angle eyebrows-trans", "backward forward": "eyebrows-trans"},
    "eyes": {
        "decr incr": "l-eye-height1 l-eye-height2 l-eye-height3 l-eye-scale l-eye-bag",
        "in out": "l-eye-epicanthus l-eye-trans l-eye-push1 l-eye-push2",
        "down up": "l-eye-corner1 l-eye-corner2 l-eye-eyefold l-eye-eyefold-angle l-eye-trans",
        "concave convex": "l-eye-eyefold",
    },
    "nose": {
        "decr incr": "nose-flaring nose-greek nose-hump nose-nostrils-width nose-point-width nose-scale-depth "
        "nose-scale-horiz nose-scale-vert nose-septumangle nose-volume nose-width1 nose-width2 nose-width3",
        "down up": "nose-base nose-nostrils-angle nose-point nose-trans",
        "compress uncompress": "nose-compression",
        "concave convex": "nose-curve",
    },
    "mouth": {
        "decr incr": "mouth-cupidsbow mouth-cupidsbow-width mouth-lowerlip-height mouth-lowerlip-volume "
        "mouth-lowerlip-width mouth-philtrum-volume mouth-scale-depth mouth-scale-horiz mouth-scale-vert "
        "mouth-upperlip-height mouth-upperlip-volume mouth-upperlip-width",
        "down up": "mouth-angles mouth-lowerlip-middle mouth-trans mouth-upperlip-middle",
        "in out": "mouth-dimples mouth-laugh-lines",
        "backward forward": "mouth-trans",
    },
    "chin": {"decr incr": "chin-bones chin-cleft chin-height chin-jaw-drop chin-prognathism chin-prominent chin-width"},
    "cheek": {"decr incr": "l-cheek-bones l-cheek-inner l-cheek-volume", "down up": "l-cheek-trans"},
    "ears": {"decr incr": "l-ear-flap l-ear-lobe l-ear-scale l-ear-wing", "down up": "l-ear-trans"},
    "neck": {"decr incr": "neck-double neck-scale-horiz neck-scale-depth"},
    "torso": {"decr incr": "measure-shoulder-dist torso-scale-horiz torso-vshape"},
}
# By name of the slider: the files of its two ends.
PAIRS: dict[str, tuple[str, str]] = {
    f"{group}/{name}-{ends.split()[1]}": tuple(f"{group}/{name}-{end}" for end in ends.split())
    for group, kinds in _SPANS.items()
    for ends, names in kinds.items()
    for name in names.split()
}
LONE = (
    "head/head-oval",
    "head/head-round",
    "head/head-rectangular",
    "head/head-square",
    "head/head-triangular",
    "head/head-invertedtriangular",
    "head/head-diamond",
    "chin/chin-triangle",
    "ears/l-ear-shape-pointed",
    "asym/asym-brown-1-l",
    "asym/asym-eye-2-l",
    "asym/asym-jaw-1-l",
    "asym/asym-mouth-1-l",
    "asym/asym-nose-1-l",
)
_BOTH = (
    "browDown browOuterUp cheekSquint eyeBlink eyeSquint eyeWide mouthDimple mouthFrown mouthLowerDown "
    "mouthPress mouthSmile mouthStretch mouthUpperUp noseSneer eyeLookDown eyeLookUp"
)
ACTIONS = tuple(
    [
        "browInnerUp",
        "cheekPuff",
        "jawOpen",
        "mouthClose",
        "mouthFunnel",
        "mouthPucker",
        "mouthRollUpper",
        "mouthShrugLower",
    ]
    + [f"{name}{side}" for name in _BOTH.split() for side in ("Left", "Right")]
)
HAIR_MESHES = (
    "afro01", "bob01", "bob02", "braid01", "long01", "ponytail01", "short01", "short02", "short03", "short04",
)  # fmt: skip
# Few bones out of the default rig's many: parent, bones gathered (with all below them), joint at head and at tail.
BONES: dict[str, tuple[str | None, tuple[str, ...], str, str]] = {
    "hips": (None, ("root", "spine05", "spine04", "pelvis.L", "pelvis.R"), "pelvis", "spine-3"),
    "chest": ("hips", ("spine03", "spine02", "spine01"), "spine-3", "neck"),
    "neck": ("chest", ("neck01", "neck02"), "neck", "head"),
    "head": ("neck", ("neck03", "head"), "head", "head-2"),
}
for _side, _letter in (("l", "L"), ("r", "R")):
    BONES |= {
        f"clavicle.{_side}": (
            "chest",
            (f"clavicle.{_letter}", f"shoulder01.{_letter}"),
            f"{_side}-clavicle",
            f"{_side}-shoulder",
        ),
        f"arm.{_side}": (f"clavicle.{_side}", (f"upperarm01.{_letter}",), f"{_side}-shoulder", f"{_side}-elbow"),
        f"forearm.{_side}": (f"arm.{_side}", (f"lowerarm01.{_letter}",), f"{_side}-elbow", f"{_side}-hand"),
        f"hand.{_side}": (f"forearm.{_side}", (f"wrist.{_letter}",), f"{_side}-hand", f"{_side}-finger-3-1"),
        f"thigh.{_side}": ("hips", (f"upperleg01.{_letter}",), f"{_side}-upper-leg", f"{_side}-knee"),
        f"shin.{_side}": (f"thigh.{_side}", (f"lowerleg01.{_letter}",), f"{_side}-knee", f"{_side}-ankle"),
        f"foot.{_side}": (f"shin.{_side}", (f"foot.{_letter}",), f"{_side}-ankle", f"{_side}-foot-1"),
    }
