"""The twelve held-back subjects: members that no scene of any split draws."""

from toybox.world.description import Thing, Trait

_LOOKS: dict[str, tuple[str, str, dict[str, Trait]]] = {
    "comet_mug": (
        "mug",
        "blue",
        {
            "shape": "round",
            "second": "yellow",
            "badge": "star",
            "inside": 0.9,
            "filled": 0.8,
            "handle": 0.36,
            "height": 1.0,
        },
    ),
    "breakfast_mug": (
        "mug",
        "yellow",
        {
            "shape": "tall",
            "second": "red",
            "letters": "JAM",
            "pattern": "band",
            "grain": 6,
            "inside": 0.2,
            "filled": 0.3,
            "handle": 0.32,
            "height": 1.0,
        },
    ),
    "meadow_backpack": (
        "backpack",
        "green",
        {"shape": "round", "second": "orange", "badge": "flower", "inside": 0.8, "height": 1.0},
    ),
    "arcade_backpack": (
        "backpack",
        "purple",
        {
            "shape": "boxy",
            "second": "yellow",
            "letters": "PLAY",
            "pattern": "zigzag",
            "grain": 8,
            "inside": 0.7,
            "height": 1.02,
        },
    ),
    "thunder_can": ("can", "red", {"shape": "slim", "second": "white", "badge": "bolt", "height": 1.0}),
    "harbor_can": (
        "can",
        "teal",
        {"shape": "short", "second": "white", "badge": "fish", "pattern": "stripes", "grain": 7, "height": 1.05},
    ),
    "meteor_sneaker": (
        "sneaker",
        "orange",
        {"shape": "chunky", "second": "blue", "letters": "JET", "inside": 0.3, "filled": 0.7, "height": 1.0},
    ),
    "picnic_sneaker": (
        "sneaker",
        "pink",
        {
            "shape": "high",
            "second": "white",
            "badge": "heart",
            "pattern": "checks",
            "grain": 8,
            "inside": 0.3,
            "filled": 0.2,
            "height": 1.0,
        },
    ),
    "sheriff_robot": ("toy", "teal", {"shape": "robot", "second": "orange", "badge": "star", "inside": 0.5}),
    "mossy_monster": (
        "toy",
        "green",
        {"shape": "monster", "second": "purple", "pattern": "dots", "grain": 7, "inside": 0.2},
    ),
    "berry_bowl": (
        "bowl",
        "white",
        {
            "shape": "deep",
            "second": "blue",
            "pattern": "stripes",
            "grain": 5,
            "inside": 0.2,
            "filled": 0.71,
            "height": 1.05,
        },
    ),
    "lagoon_bowl": (
        "bowl",
        "blue",
        {"shape": "tapered", "second": "white", "letters": "FOX", "inside": 0.3, "filled": 0.2, "height": 1.1},
    ),
}


def subjects() -> dict[str, Thing]:
    """Returns: the subjects by name, without member names yet."""
    return {
        name: Thing(noun, "", noun, colour, tuple(sorted({"base": colour, **traits}.items())))
        for name, (noun, colour, traits) in _LOOKS.items()
    }


def signature(thing: Thing) -> tuple[str | None, ...]:
    """Gives what tells a member from others at a glance: class, color and marks, or pattern where there are none."""
    marks = (thing.trait("badge"), thing.trait("letters"))
    return (thing.class_noun, thing.colour, *marks, thing.trait("pattern") if marks == (None, None) else None)


RESERVED = frozenset(signature(thing) for thing in subjects().values())
