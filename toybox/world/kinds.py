"""The classes of the world: adding one is one entry here (and its cut-out in the assets, or its maker)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One class.

    Attributes:
        noun: Its noun, as in prompts.
        drawings: Cut-outs that show it (code points of Fluent Emoji 3D); empty for makers.
        words: Other words for it; used in captions now and then.
        living: Whether it is alive.
        weight: How often it is drawn beside the others.
        size: How big it is beside others when two stand together (1 is usual).
        colours: False where another colour would not be believed or would not show.
    """

    noun: str
    drawings: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    living: bool = False
    weight: float = 1.0
    size: float = 1.0
    colours: bool = True


_ANIMALS = (
    Kind("cat", ("1f408", "1f408-200d-2b1b"), ("kitten", "kitty"), living=True, weight=2.0),
    Kind("dog", ("1f415", "1f429"), ("puppy", "doggy"), living=True, weight=2.0),
    Kind("elephant", ("1f418",), living=True, size=1.25),
    Kind("penguin", ("1f427",), living=True),
    Kind("turtle", ("1f422",), ("tortoise",), living=True, size=0.85),
    Kind("rabbit", ("1f407",), ("bunny",), living=True),
    Kind("fox", ("1f98a",), ("fox face",), living=True),
    Kind("horse", ("1f40e",), ("pony",), living=True, size=1.2),
    Kind("chicken", ("1f413",), ("rooster",), living=True),
    Kind("duck", ("1f986",), ("mallard",), living=True),
    Kind("fish", ("1f41f",), living=True, size=0.8),
    Kind("whale", ("1f433",), living=True, size=1.2),
    Kind("cow", ("1f404",), living=True, size=1.2),
    Kind("pig", ("1f416",), ("piglet",), living=True),
    Kind("sheep", ("1f411",), ("lamb",), living=True),
    Kind("owl", ("1f989",), living=True),
    Kind("parrot", ("1f99c",), living=True),
    Kind("snail", ("1f40c",), living=True, size=0.8),
    Kind("crab", ("1f980",), living=True, size=0.8),
    Kind("dinosaur", ("1f996", "1f995"), living=True, size=1.25),
    Kind("giraffe", ("1f992",), living=True, size=1.25),
    Kind("monkey", ("1f412",), living=True),
)
_VEHICLES = (
    Kind("car", ("1f697", "1f699"), ("automobile",), size=1.15),
    Kind("bus", ("1f68c",), size=1.25),
    Kind("truck", ("1f6fb", "1f69a"), ("lorry",), size=1.25),
    Kind("tractor", ("1f69c",), size=1.15),
    Kind("bicycle", ("1f6b2",), ("bike",)),
    Kind("train", ("1f682",), ("locomotive",), size=1.2),
    Kind("rocket", ("1f680",), ("spaceship",), size=1.2),
    Kind("airplane", ("2708",), ("plane",), size=1.2),
    Kind("balloon", ("1f388",)),
)
_THINGS = (
    Kind("stuffed animal", ("1f9f8",), ("teddy bear", "plush toy", "plushie"), weight=2.0),
    Kind("glasses", ("1f453", "1f576"), ("sunglasses", "eyeglasses"), weight=1.5),
    Kind("guitar", ("1f3b8",), ("electric guitar",)),
    Kind("drum", ("1f941",)),
    Kind("robot", ("1f916",), ("robot head",), colours=False),
    Kind("crown", ("1f451",)),
    Kind("hat", ("1f3a9",), ("top hat",)),
    Kind("umbrella", ("2602",), ("parasol",)),
    Kind("lantern", ("1f3ee",), ("lamp",)),
    Kind("key", ("1f511",), size=0.8),
    Kind("gift", ("1f381",), ("present", "gift box")),
    Kind("book", ("1f4d5",)),
    Kind("camera", ("1f4f7",)),
    Kind("chair", ("1fa91",), ("seat",)),
    Kind("bucket", ("1faa3",), ("pail",)),
    Kind("trophy", ("1f3c6",), ("cup trophy",)),
    Kind("snowman", ("26c4",), colours=False),
    Kind("ball", ("26bd", "1f3c0"), size=0.8),
    Kind("house", ("1f3e0",), ("cottage",), size=1.3),
)
_FOOD_AND_PLANTS = (
    Kind("apple", ("1f34e",), size=0.75),
    Kind("pear", ("1f350",), size=0.75),
    Kind("strawberry", ("1f353",), size=0.7),
    Kind("pineapple", ("1f34d",), size=0.9),
    Kind("cake", ("1f382",), ("birthday cake",)),
    Kind("cupcake", ("1f9c1",), ("muffin",), size=0.8),
    Kind("donut", ("1f369",), ("doughnut",), size=0.8),
    Kind("pumpkin", ("1f383",), ("jack-o'-lantern",)),
    Kind("mushroom", ("1f344",), ("toadstool",), size=0.85),
    Kind("cactus", ("1f335",)),
    Kind("tree", ("1f333",), size=1.3),
)
# Drawn by `makers`: endless members, real viewpoints.
_MADE = (
    Kind("mug", (), ("cup", "coffee mug"), weight=2.5),
    Kind("backpack", (), ("rucksack", "school bag"), weight=2.5),
    Kind("can", (), ("tin", "tin can"), weight=2.5),
    Kind("sneaker", (), ("running shoe", "trainer"), weight=2.5),
    Kind("toy", (), ("toy figure", "plaything"), weight=2.5),
    Kind("bowl", (), ("dish",), weight=2.5),
    Kind("vase", (), ("flower vase",), weight=1.5),
    Kind("teapot", (), ("tea kettle",), weight=1.5),
    Kind("candle", weight=1.5),
    Kind("clock", (), ("alarm clock",), weight=1.5),
    Kind("boot", (), ("rain boot",), weight=1.5),
)
KINDS: dict[str, Kind] = {kind.noun: kind for kind in _ANIMALS + _VEHICLES + _THINGS + _FOOD_AND_PLANTS + _MADE}


def classes() -> list[str]:
    """Returns: the class nouns in a fixed order."""
    return list(KINDS)
