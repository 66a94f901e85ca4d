"""The props of KayKit as things: which files show them, what they are called, what is recoloured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Prop:
    """One class of things.

    Attributes:
        noun: Its noun, as in prompts.
        files: `pack.file` of each variant.
        words: Other words for it.
        turn: Farthest azimuth to either side that shows it well; 180 is all around.
        colours: Whether another colour is believable.
        size: How big it is beside others (1 is usual).
        gloss: Strength of the highlight.
    """

    noun: str
    files: tuple[str, ...]
    words: tuple[str, ...] = ()
    turn: float = 180.0
    colours: bool = True
    size: float = 1.0
    gloss: float = 0.3


def _from(pack: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{pack}.{name}" for name in names)


_FURNITURE = (
    Prop(
        "chair",
        (*_from("furniture", "chair_A", "chair_B", "chair_C", "chair_A_wood", "chair_B_wood"), "restaurant.chair_A"),
    ),
    Prop("stool", _from("furniture", "chair_stool", "chair_stool_wood"), size=0.8),
    Prop("table", _from("furniture", "table_small", "table_medium", "table_medium_long", "table_low"), size=1.1),
    Prop("sofa", _from("furniture", "couch", "couch_pillows"), ("couch",), turn=75, size=1.2),
    Prop("armchair", _from("furniture", "armchair", "armchair_pillows"), turn=75),
    Prop("bed", _from("furniture", "bed_single_A", "bed_single_B", "bed_double_A", "bed_double_B"), turn=80, size=1.2),
    Prop("bookshelf", _from("furniture", "shelf_B_large_decorated", "shelf_B_small_decorated"), ("shelf",), turn=60),
    Prop(
        "cabinet",
        _from("furniture", "cabinet_medium", "cabinet_small", "cabinet_medium_decorated"),
        ("cupboard",),
        turn=60,
    ),
    Prop("floor lamp", _from("furniture", "lamp_standing"), ("standing lamp",)),
    Prop("table lamp", _from("furniture", "lamp_table"), ("desk lamp",), size=0.9),
    Prop("pillow", _from("furniture", "pillow_A", "pillow_B"), ("cushion",), size=0.8),
    Prop("picture frame", _from("furniture", "pictureframe_standing_A", "pictureframe_standing_B"), turn=45, size=0.8),
    Prop(
        "potted cactus",
        _from("furniture", "cactus_small_A", "cactus_small_B", "cactus_medium_A", "cactus_medium_B"),
        size=0.9,
    ),
    Prop("row of books", _from("furniture", "book_set"), ("books",), size=0.8),
)
_CITY = (
    Prop("taxi", _from("city", "car_taxi"), ("cab",), colours=False, size=1.15, gloss=0.6),
    Prop("police car", _from("city", "car_police"), colours=False, size=1.15, gloss=0.6),
    Prop("sedan", _from("city", "car_sedan"), ("saloon car",), size=1.15, gloss=0.6),
    Prop("hatchback", _from("city", "car_hatchback"), ("small car",), size=1.15, gloss=0.6),
    Prop("station wagon", _from("city", "car_stationwagon"), ("estate car",), size=1.15, gloss=0.6),
    Prop(
        "building",
        _from("city", *(f"building_{letter}_withoutBase" for letter in "ABCDEFGH")),
        ("town house", "apartment building"),
        size=1.4,
    ),
    Prop("water tower", _from("city", "watertower"), size=1.3),
    Prop("bench", _from("city", "bench"), ("park bench",), turn=70),
    Prop("fire hydrant", _from("city", "firehydrant"), ("hydrant",)),
    Prop("streetlight", _from("city", "streetlight"), ("street lamp",), size=1.2),
    Prop("traffic light", _from("city", "trafficlight_A", "trafficlight_C"), turn=60, size=1.1),
    Prop("dumpster", _from("city", "dumpster"), ("trash container",), turn=75),
    Prop("potted tree", _from("city", "bush"), ("topiary", "tree in a pot")),
    Prop("cardboard box", _from("city", "box_A", "box_B"), ("box",), size=0.9),
)
_HALLOWEEN = (
    Prop(
        "pumpkin lantern",
        _from("halloween", "pumpkin_orange_jackolantern", "pumpkin_yellow_jackolantern"),
        ("carved pumpkin",),
        turn=55,
    ),
    Prop("squash", _from("halloween", "pumpkin_orange", "pumpkin_yellow"), ("gourd",)),
    Prop("gravestone", _from("halloween", "gravestone"), ("tombstone",), turn=60),
    Prop("coffin", _from("halloween", "coffin", "coffin_decorated"), ("casket",)),
    Prop("skull", _from("halloween", "skull"), turn=60, size=0.8),
    Prop("bone", _from("halloween", "bone_A", "bone_B", "bone_C"), size=0.7),
    Prop("standing lantern", _from("halloween", "lantern_standing"), ("oil lantern",)),
    Prop(
        "bare tree",
        _from("halloween", "tree_dead_large", "tree_dead_medium", "tree_dead_small"),
        ("dead tree",),
        size=1.3,
    ),
    Prop(
        "pine tree",
        _from("halloween", "tree_pine_orange_large", "tree_pine_yellow_large", "tree_pine_orange_medium"),
        ("fir tree",),
        size=1.3,
    ),
    Prop("shrine", _from("halloween", "shrine", "shrine_candles"), ("stone shrine",), turn=60),
    Prop("crypt", _from("halloween", "crypt"), ("mausoleum",), turn=60, size=1.3),
    Prop("fence", _from("halloween", "fence", "fence_gate"), ("iron fence",), turn=60),
)
_KITCHEN = (
    Prop(
        "burger",
        _from("restaurant", "food_burger", "food_vegetableburger"),
        ("hamburger", "sandwich"),
        colours=False,
        size=0.8,
    ),
    Prop("dinner plate", _from("restaurant", "food_dinner"), ("plate of food",), colours=False, size=0.9),
    Prop("pot of stew", _from("restaurant", "pot_A_stew", "pot_B_stew"), ("stew", "pot of soup"), size=0.9, gloss=0.6),
    Prop("tomato", _from("restaurant", "food_ingredient_tomato"), size=0.7, gloss=0.5),
    Prop("carrot", _from("restaurant", "food_ingredient_carrot"), size=0.8),
    Prop("potato", _from("restaurant", "food_ingredient_potato"), size=0.7),
    Prop("onion", _from("restaurant", "food_ingredient_onion"), size=0.7),
    Prop("lettuce", _from("restaurant", "food_ingredient_lettuce"), ("salad head",), size=0.8),
    Prop("cheese", _from("restaurant", "food_ingredient_cheese"), ("piece of cheese",), size=0.8),
    Prop("ham", _from("restaurant", "food_ingredient_ham_cooked", "food_ingredient_ham"), size=0.8),
    Prop("steak", _from("restaurant", "food_ingredient_steak"), ("meat",), size=0.8),
    Prop("bread roll", _from("restaurant", "food_ingredient_bun"), ("bun",), size=0.75),
    Prop("crate", _from("restaurant", "crate"), ("wooden box",)),
    Prop("crate of tomatoes", _from("restaurant", "crate_tomatoes")),
    Prop("crate of carrots", _from("restaurant", "crate_carrots")),
    Prop(
        "jar",
        _from("restaurant", "jar_A_large", "jar_B_large", "jar_C_large", "jar_D_large"),
        ("storage jar",),
        size=0.8,
        gloss=0.6,
    ),
    Prop("cooking pot", _from("restaurant", "pot_A", "pot_B", "pot_large"), ("saucepan",), size=0.9, gloss=0.6),
    Prop("frying pan", _from("restaurant", "pan_A", "pan_B"), ("pan",), size=0.9, gloss=0.6),
    Prop("ketchup bottle", _from("restaurant", "ketchup"), ("ketchup",), size=0.8, gloss=0.6),
    Prop("mustard bottle", _from("restaurant", "mustard"), ("mustard",), size=0.8, gloss=0.6),
    Prop(
        "fridge",
        _from("restaurant", "fridge_A", "fridge_B", "fridge_A_decorated"),
        ("refrigerator",),
        turn=60,
        size=1.2,
        gloss=0.5,
    ),
    Prop("oven", _from("restaurant", "oven", "stove_single", "stove_multi"), ("stove",), turn=60, size=1.1, gloss=0.5),
    Prop("sink", _from("restaurant", "kitchencounter_sink", "kitchentable_sink"), ("kitchen sink",), turn=60, size=1.1),
    Prop("round table", _from("restaurant", "table_round_A", "table_round_B", "table_round_A_decorated"), size=1.1),
    Prop("menu", _from("restaurant", "menu"), ("menu card",), turn=50, size=0.8),
)
PROPS: dict[str, Prop] = {prop.noun: prop for prop in _FURNITURE + _CITY + _HALLOWEEN + _KITCHEN}
