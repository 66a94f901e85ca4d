"""What living things do: motion words, the phrases that captions use for them, and the frames that figurines take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Motion:
    """One thing that a living thing does.

    Attributes:
        word: Its word, as in prompts ("running").
        phrases: What captions say after the noun.
        lift: How high it is above the ground, as a share of its standing height (jumping).
        sideways: Whether it is seen best from the side.
    """

    word: str
    phrases: tuple[str, ...]
    lift: float = 0.0
    sideways: bool = False


MOTIONS: dict[str, Motion] = {
    motion.word: motion
    for motion in (
        Motion("standing", ("standing", "standing still")),
        Motion("walking", ("walking", "taking a walk"), sideways=True),
        Motion("running", ("running", "running fast"), sideways=True),
        Motion("jumping", ("jumping", "jumping in the air"), lift=0.3),
        Motion("sitting", ("sitting", "sitting on the ground")),
        Motion("sleeping", ("sleeping", "fast asleep"), sideways=True),
        Motion("lying", ("lying down", "lying on the ground"), sideways=True),
        Motion("swimming", ("swimming",), sideways=True),
        Motion("cheering", ("cheering", "cheering with both arms up")),
        Motion("waving", ("waving", "waving hello")),
        Motion("kicking", ("kicking",), sideways=True),
        Motion("casting", ("casting a spell",)),
        Motion("fighting", ("fighting", "swinging")),
        Motion("bending", ("bending down", "picking something up"), sideways=True),
    )
}


Bend = tuple[str, float, float, float]


@dataclass(frozen=True)
class Frame:
    """One moment of a figurine.

    Attributes:
        action: Name of a KayKit action.
        share: When, as a share of its length.
        parts: (joint, action, share): what another action gives, the joint and all below it.
        bends: (joint, x, y, z): further turns of a joint and all below it, in degrees about the figure's axes
            (x to its left, y up, z to its front).
        lean: Tilt forward in degrees.
    """

    action: str
    share: float
    parts: tuple[tuple[str, str, float], ...] = ()
    bends: tuple[Bend, ...] = ()
    lean: float = 0.0


def _stride(reach: float, lift: float) -> tuple[Bend, ...]:
    """Opens the legs: the left one forward where `reach` is positive."""
    back = "lowerleg.r" if reach > 0 else "lowerleg.l"
    return (("upperleg.l", -reach, 0, 0), ("upperleg.r", reach, 0, 0), (back, lift, 0, 0))


def _arms(left: float, right: float, forward: float = 0.0) -> tuple[Bend, ...]:
    """Raises the arms at the sides, and swings the left one forward and the right one back."""
    return (("upperarm.l", -forward, 0, left), ("upperarm.r", forward, 0, -right))


def _raised(left: float, right: float) -> tuple[Bend, ...]:
    """Raises the arms from the sides and a little to the front, so that the large head does not hide the hands."""
    return (("upperarm.l", 0, -32, left), ("upperarm.r", 0, 32, -right))


_UP = (("upperarm.l", "T-Pose", 0.0), ("upperarm.r", "T-Pose", 0.0))
FRAMES: dict[str, tuple[Frame, ...]] = {
    "standing": tuple(Frame("Idle", share) for share in (0.0, 0.35, 0.7)),
    "walking": (
        Frame("Walking_A", 0.05, bends=_stride(8, 10)),
        Frame("Walking_A", 0.3),
        Frame("Walking_A", 0.55, bends=_stride(-8, 10)),
        Frame("Walking_A", 0.8),
    ),
    "running": (
        Frame("Running_B", 0.9, bends=(*_stride(-26, 40), *_arms(10, 10, 20)), lean=12),
        Frame("Running_B", 0.45, bends=(*_stride(26, 40), *_arms(10, 10, -20)), lean=12),
        Frame("Running_A", 0.9, bends=(*_stride(-20, 30),), lean=8),
    ),
    "jumping": (
        Frame("Jump_Full_Long", 0.4, _UP, (*_stride(48, 50), *_arms(25, 25))),
        Frame("Jump_Full_Long", 0.5, _UP, (*_stride(-40, 60), *_arms(35, 10))),
        Frame("Jump_Idle", 0.5, _UP, (("upperleg.l", -30, 0, 28), ("upperleg.r", -30, 0, -28), *_arms(35, 35))),
    ),
    "sitting": (Frame("Sit_Floor_Idle", 0.0), Frame("Sit_Floor_Idle", 0.5)),
    "chair": (Frame("Sit_Chair_Idle", 0.0), Frame("Sit_Chair_Idle", 0.5)),
    "lying": (Frame("Lie_Idle", 0.0), Frame("Lie_Idle", 0.5)),
    "cheering": (
        Frame("Cheer", 0.4, _UP, _raised(46, 46)),
        Frame("Cheer", 0.5, _UP, _raised(56, 34)),
        Frame("Cheer", 0.7, _UP, (*_raised(52, 52), ("lowerarm.l", 0, 0, 16), ("lowerarm.r", 0, 0, -16))),
    ),
    "waving": (
        Frame("Idle", 0.2, _UP[1:], (("upperarm.r", 0, 28, -16), ("lowerarm.r", 0, 0, -46))),
        Frame("Idle", 0.6, _UP[1:], (("upperarm.r", 0, 24, -34), ("lowerarm.r", 0, 0, 8))),
    ),
    "kicking": (
        Frame("Unarmed_Melee_Attack_Kick", 0.45, bends=(("upperleg.r", 10, 0, 0), ("upperleg.l", 18, 0, 0))),
        Frame("Unarmed_Melee_Attack_Kick", 0.42, bends=(("upperleg.l", 25, 0, 0),)),
    ),
    "casting": (
        Frame("Throw", 0.4, bends=_arms(35, 35)),
        Frame("Throw", 0.38, bends=_arms(20, 60)),
    ),
    "fighting": (
        Frame("1H_Melee_Attack_Chop", 0.5, _UP[1:], (*_raised(-50, 56), *_stride(22, 10))),
        Frame("1H_Melee_Attack_Slice_Diagonal", 0.4, _UP[1:], (*_raised(-50, 30), *_stride(-22, 10))),
    ),
    "bending": (Frame("PickUp", 0.42, bends=(("head", -18, 0, 0),)),),
    "swimming": (
        Frame("T-Pose", 0.0, bends=(*_arms(70, -20), *_stride(24, 25), ("head", -58, 0, 0)), lean=76),
        Frame("T-Pose", 0.0, bends=(*_arms(-20, 70), *_stride(-24, 25), ("head", -58, 0, 0)), lean=76),
    ),
}
