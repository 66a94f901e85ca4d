"""Figures: descriptions, motion, dress, properties, exact colours, and pictures that can be told apart."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from toybox.world.colours import SHADES
from toybox.world.description import Light, Pose, Thing
from toybox.world.figures import (
    FIGURES,
    GARMENTS,
    MATERIALS,
    MOTIONS,
    describe_figure,
    doing,
    draw_figure,
    figurines,
    made,
    phrases,
    store,
    varied,
    vocabulary,
    wearing,
)
from toybox.world.figures.gaits import GAITS
from toybox.world.figures.growth import body
from toybox.world.figures.props import PROPS
from toybox.world.figures.surface import Surface, cubed, normals, rows

LIGHT = Light(-35, 40, 1.0)
LIVING = [noun for noun, figure in FIGURES.items() if figure.living]


def view(azimuth: float = 30.0) -> Pose:
    return Pose(0.5, 0.9, 1.0, azimuth=azimuth, elevation=14)


def tile(thing: Thing, azimuth: float = 30.0, pixels: int = 56) -> np.ndarray:
    """Draws a figure in the middle of a gray square."""
    drawn = draw_figure(thing, view(azimuth), LIGHT, pixels)
    square = Image.new("RGB", (pixels, pixels), (128, 128, 128))
    corner = ((pixels - drawn.image.width) // 2, pixels - drawn.image.height)
    square.paste(drawn.image, corner, drawn.image)
    return np.asarray(square, np.float32) / 255


def test_there_are_enough_classes_and_props() -> None:
    assert len(LIVING) >= 8
    assert len(PROPS) >= 40
    assert {"knight", "wizard", "dog", "cat", "bear"} <= set(LIVING)


@pytest.mark.parametrize("noun", sorted(FIGURES))
def test_a_description_is_frozen_seeded_and_json(noun: str) -> None:
    thing = describe_figure(noun, 7)
    assert thing == describe_figure(noun, 7)
    raw = json.loads(json.dumps(asdict(thing)))
    raw["traits"] = tuple(tuple(pair) for pair in raw["traits"])
    assert Thing(**raw) == thing


@pytest.mark.parametrize("noun", LIVING)
def test_a_living_class_has_two_hundred_members(noun: str) -> None:
    assert len({describe_figure(noun, seed).member_id for seed in range(220)}) >= 200


def test_motion_dress_and_property_do_not_change_who_it_is() -> None:
    dog = describe_figure("dog", 3)
    changed = made(wearing(doing(dog, "running"), "hat", "red"), "wet")
    assert changed.member_id == dog.member_id
    assert changed != dog
    assert phrases(changed) == ("wearing a red hat", "running")
    assert phrases(wearing(dog, "hat", "orange")) == ("wearing an orange hat",)


def test_bad_words_are_refused_in_three_parts() -> None:
    dog, chair = describe_figure("dog", 1), describe_figure("chair", 1)
    for call in (
        lambda: describe_figure("unicorn", 0),
        lambda: doing(dog, "kicking"),
        lambda: doing(chair, "running"),
        lambda: wearing(dog, "toga"),
        lambda: wearing(dog, "hat"),
        lambda: wearing(dog, "crown", "red"),
        lambda: wearing(chair, "hat", "red"),
        lambda: made(dog, "invisible"),
    ):
        with pytest.raises(ValueError, match="needed.*pass"):
            call()


def test_every_motion_has_phrases_and_every_garment_says_its_colour() -> None:
    for noun in LIVING:
        assert set(FIGURES[noun].motions) <= set(MOTIONS)
    for garment in GARMENTS.values():
        assert ("{colour}" in garment.phrase) == garment.colours


def test_scenes_vary_what_figures_do_and_every_phrase_is_in_the_vocabulary() -> None:
    rng = np.random.default_rng(0)
    known = {word for phrase in vocabulary() for word in phrase.split()} | set(SHADES)
    seen = [varied(describe_figure(noun, 1), rng) for noun in ("dog", "thief") for _ in range(150)]
    for trait in ("motion", "worn", "material"):
        assert len({thing.trait(trait) for thing in seen}) > 3
    assert {word for thing in seen for phrase in phrases(thing) for word in phrase.split()} <= known
    assert len({thing.member_id for thing in seen}) == 2
    assert varied(describe_figure("chair", 1), rng).trait("motion") is None
    floating = {varied(describe_figure("cat", 1), rng, afloat=True).trait("motion") for _ in range(60)}
    assert floating == {None, "swimming"}
    assert "swimming" not in {thing.trait("motion") for thing in seen}


def test_archives_are_small_and_complete() -> None:
    assert sum(path.stat().st_size for path in store.FOLDER.iterdir()) < 5_000_000
    for prop in PROPS.values():
        for key in prop.files:
            assert store.part("props", key).faces.max() < len(store.part("props", key).table)


def test_a_missing_archive_says_how_to_make_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    store.archive.cache_clear()
    with pytest.raises(FileNotFoundError, match="are needed; restore .*convert FOLDER"):
        store.archive("props")


def test_skinning_keeps_bones_rigid_and_bends_the_figure() -> None:
    knight = describe_figure("knight", 1)
    standing, running = figurines.joints(doing(knight, "standing")), figurines.joints(doing(knight, "running"))
    for matrices in (standing, running):
        turns = matrices[:, :, :3]
        assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=2e-3)
    assert np.abs(standing - running).max() > 0.3


def test_a_palette_is_recoloured_exactly() -> None:
    plain = store.palette("figurines", "Knight")
    red = store.palette("figurines", "Knight", ((3, "red"),))
    tall, wide = plain.shape[0] // store.DOWN, plain.shape[1] // store.ACROSS
    cell = red[:tall, 3 * wide : 4 * wide]
    middle = np.median(cell.reshape(-1, 3), axis=0)
    assert np.abs(middle - SHADES["red"].base).max() < 30
    changed = (plain != red).any(-1)
    assert changed[:tall, 3 * wide : 4 * wide].all()
    changed[:tall, 3 * wide : 4 * wide] = False
    assert not changed.any()


def test_the_skin_lies_on_the_body_and_normals_point_outwards() -> None:
    pytest.importorskip("skimage", reason="creatures are grown with scikit-image: pip install 'ipseity[toybox]'")
    shape, rest = body(doing(describe_figure("dog", 5), "sitting"))
    table, faces = shape.skin(rest, steps=24)
    points, outwards = table[:, :3], table[:, 3:6]
    assert np.abs(shape.distance(points)).max() < 0.02
    assert shape.distance(points + 0.03 * outwards).min() > shape.distance(points - 0.03 * outwards).max()
    assert faces.max() < len(table)


def test_standing_marks_stay_in_place_when_a_creature_moves() -> None:
    pytest.importorskip("skimage", reason="creatures are grown with scikit-image: pip install 'ipseity[toybox]'")
    dog = describe_figure("dog", 5)
    for motion in ("running", "sleeping"):
        shape, rest = body(doing(dog, motion))
        table, _ = shape.skin(rest, steps=24)
        calm = body(doing(dog, "standing"))[0].skin(rest, steps=24)[0]
        low, high = calm[:, 12:15].min(0), calm[:, 12:15].max(0)
        inside = ((table[:, 12:15] > low - 0.2) & (table[:, 12:15] < high + 0.2)).all(1)
        assert inside.mean() > 0.97


@pytest.mark.parametrize("motion", list(GAITS))
def test_creatures_have_paws_below_their_backs(motion: str) -> None:
    shape, _ = body(doing(describe_figure("cat", 2), motion))
    paws = min(shape.bones[f"{leg}.{side}.low"][1, 3] for leg in ("front", "hind") for side in "lr")
    assert paws < shape.bones["head"][1, 3]


def test_a_ball_becomes_a_cube() -> None:
    angle = np.random.default_rng(0).normal(size=(400, 3))
    ball = angle / np.linalg.norm(angle, axis=1, keepdims=True)
    faces = np.zeros((0, 3), np.int32)
    pressed = cubed(Surface(rows(ball, ball), faces), strength=1.0).table[:, :3]
    assert np.allclose(np.abs(pressed).max(1), np.abs(pressed).max(), atol=0.06)


def test_normals_of_a_triangle_follow_the_hint() -> None:
    corners, face = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float), np.array([[0, 1, 2]])
    for way in (1.0, -1.0):
        assert np.allclose(normals(corners, face, np.array([[0, 0, way]] * 3)), [0, 0, way])


def test_a_drawing_fills_its_size_and_repeats(driver: None) -> None:
    for noun in ("knight", "dog", "chair"):
        thing = describe_figure(noun, 4)
        drawn = draw_figure(thing, view(), LIGHT, 64)
        assert 58 <= max(drawn.image.size) <= 64
        assert drawn.mask.shape == drawn.image.size[::-1]
        assert set(np.unique(drawn.mask)) == {0, 255}
        again = draw_figure(thing, view(), LIGHT, 64)
        assert np.array_equal(np.asarray(drawn.image), np.asarray(again.image))


@pytest.mark.parametrize("noun", ["knight", "dog"])
def test_motions_can_be_told_apart(driver: None, noun: str) -> None:
    thing = describe_figure(noun, 6)
    tiles = [tile(doing(thing, motion), 50) for motion in FIGURES[noun].motions]
    apart = [np.abs(a - b).mean() for i, a in enumerate(tiles) for b in tiles[:i]]
    assert min(apart) > 0.02
    assert np.median(apart) > 0.05


def test_sides_garments_and_properties_show(driver: None) -> None:
    dog = describe_figure("dog", 6)
    plain = tile(dog)
    assert np.abs(tile(dog, 150) - plain).mean() > 0.05
    for changed in (*(made(dog, material) for material in MATERIALS), wearing(dog, "santa hat")):
        assert np.abs(tile(changed) - plain).mean() > 0.015


@pytest.mark.parametrize("noun", ["wizard", "dog", "chair"])
@pytest.mark.parametrize("word", ["red", "blue", "green"])
def test_a_colour_word_shows(driver: None, noun: str, word: str) -> None:
    thing = describe_figure(noun, 8)
    traits = {**dict(thing.traits), "base": word, "marking": "plain"} if noun == "dog" else dict(thing.traits)
    traits.pop("trim", None)
    thing = replace(thing, colour=word, traits=tuple(sorted(traits.items())))
    drawn = draw_figure(thing, view(), LIGHT, 64)
    shown = np.asarray(drawn.image.convert("RGB"), float)[drawn.mask > 0]
    channel = ("red", "green", "blue").index(word)
    strongest = shown.argmax(1) == channel
    vivid = shown.max(1) - shown.min(1) > 40
    assert (strongest & vivid).mean() > 0.4


def test_a_scarf_of_the_rainbow_has_many_hues(driver: None) -> None:
    cat = describe_figure("cat", 11)
    bare, dressed = tile(cat, 10, 72), tile(wearing(cat, "rainbow scarf"), 10, 72)
    changed = dressed[np.abs(dressed - bare).max(-1) > 0.15]
    vivid = changed[changed.max(1) - changed.min(1) > 0.35]
    assert len(vivid) > 25
    assert set(vivid.argmax(1)) == {0, 1, 2}
