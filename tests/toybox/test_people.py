"""People: seeded, named by their looks, drawn with truth that agrees with the pixels, and said in known words."""

import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from toybox.world import is_heldout, wordlist
from toybox.world.description import Light
from toybox.world.people import (
    Drawn,
    PeopleScene,
    Person,
    Portrait,
    attributes,
    called,
    caption_people,
    describe_in_words,
    describe_people,
    describe_person,
    describe_portrait,
    draw_person,
    figure,
    render_people,
    together,
    vocabulary,
)
from toybox.world.people.hair import SHELLS
from toybox.world.people.person import CLOTHES, EXPRESSIONS, FRAMES, POSES, STYLES
from toybox.world.people.stage import JOINTS, Stage
from toybox.world.people.wear import GLASSES, HATS, NECKS

DAY = Light(-30.0, 35.0, 1.0)
SIZE = 128


@lru_cache(maxsize=8)
def _plain(seed: int = 3) -> Person:
    """Gives a bare-faced person whose face nothing hides."""
    return replace(describe_person(seed), hair="a bald head", glasses=None, hat=None, beard=None, lipstick=None)


def _draw(person: Person, **view: object) -> Drawn:
    return draw_person(person, replace(Portrait(frame="close-up"), **view), DAY, SIZE)


def _changed(one: Drawn, other: Drawn) -> np.ndarray:
    """Gives x and y of the pixels that differ clearly, (n, 2)."""
    gap = np.abs(one.image.astype(int) - other.image.astype(int)).max(-1)
    rows, columns = np.nonzero(gap > 24)
    return np.stack([columns + 0.5, rows + 0.5], 1)


def test_a_seed_is_one_person_and_many_seeds_are_many_people() -> None:
    people = [describe_person(seed) for seed in range(500)]
    assert len({person.member_id for person in people}) == len(people)
    again = describe_person(7)
    assert again == people[7] and again.to_json() == people[7].to_json()
    assert {person.hair for person in people} == set(STYLES)
    assert {person.hat for person in people} == {None, *HATS}
    assert {person.glasses for person in people} == {None, *GLASSES}
    assert {person.clothes for person in people} == set(NECKS)


def test_descriptions_survive_json() -> None:
    for seed in range(20):
        person, view = describe_person(seed), describe_portrait(seed)
        assert Person.from_json(person.to_json()) == person
        assert Portrait.from_json(view.to_json()) == view


def test_the_name_follows_from_the_looks() -> None:
    person = describe_person(1)
    assert called(replace(person, member_id="")).member_id == person.member_id
    other = next(word for word in CLOTHES if word != person.clothes_colour)
    assert called(replace(person, clothes_colour=other)).member_id != person.member_id


def test_captions_speak_known_words_and_attributes_say_the_same() -> None:
    known, rng = vocabulary(), np.random.default_rng(0)
    for seed in range(120):
        person, view = describe_person(seed), describe_portrait(seed)
        said = describe_in_words(person, view, rng)
        assert {word.strip(",") for word in said.split()} <= known, said
        truth = attributes(person, view)
        assert truth["sex"] in said.split()
        assert ("glasses" not in said) or truth["glasses"]
        assert ("freckles" not in said) or truth["freckles"]
        assert ("smiling" not in said) or truth["expression"] == "smiling"


@pytest.mark.usefixtures("driver")
def test_the_same_description_is_the_same_picture() -> None:
    person, view = describe_person(11), describe_portrait(11)
    one, two = (draw_person(person, view, DAY, 64) for _ in range(2))
    assert one.image.shape == (64, 64, 4) and one.image.dtype == np.uint8
    assert np.array_equal(one.image, two.image) and np.array_equal(one.points, two.points)
    assert np.array_equal(one.mask > 0, one.image[..., 3] >= 128)
    assert 0.15 < (one.mask > 0).mean() < 0.9


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize("yaw", [-30.0, 0.0, 30.0])
def test_eye_points_lie_on_the_eyes(yaw: float) -> None:
    """Only the color of the eyes changes, so every changed pixel belongs to an iris."""
    person, view = _plain(), {"yaw": yaw, "expression": "surprised", "gaze": (0.0, 0.0)}
    brown, blue = (_draw(replace(person, eyes=eyes), **view) for eyes in ("brown", "blue"))
    found = _changed(brown, blue)
    near = np.linalg.norm(found[:, None] - brown.points[None, :2], axis=-1)
    assert len(found) >= 8
    assert near.min(1).max() < 5, "a changed pixel lies away from both eye points"
    for eye in range(2):
        own = found[near.argmin(1) == eye]
        assert np.abs(own.mean(0) - brown.points[eye]).max() < 1.6


@pytest.mark.usefixtures("driver")
def test_mouth_points_lie_at_the_corners_of_the_lips() -> None:
    person = _plain()
    bare, red = _draw(person), _draw(replace(person, lipstick="red"))
    found = _changed(bare, red)
    left, right = bare.points[3], bare.points[4]
    assert abs(found[:, 0].min() - left[0]) < 3 and abs(found[:, 0].max() - right[0]) < 3
    assert abs(found[:, 1].mean() - (left[1] + right[1]) / 2) < 4


@pytest.mark.usefixtures("driver")
def test_points_come_in_the_order_of_insightface_and_follow_the_head() -> None:
    person = _plain()
    eye_left, eye_right, nose, mouth_left, mouth_right = _draw(person).points
    assert eye_left[0] < nose[0] < eye_right[0] and mouth_left[0] < nose[0] < mouth_right[0]
    assert max(eye_left[1], eye_right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
    turned = {yaw: _draw(person, yaw=yaw).points for yaw in (-25.0, 25.0)}
    off = {yaw: points[2, 0] - points[:2, 0].mean() for yaw, points in turned.items()}
    assert off[-25.0] < -2 < 2 < off[25.0], "a positive yaw turns the nose to the picture's right"
    leaned = _draw(person, roll=10.0).points
    assert leaned[0, 1] > leaned[1, 1], "a positive roll leans to the picture's left"


@pytest.mark.usefixtures("driver")
def test_a_shift_moves_picture_and_truth_alike() -> None:
    here, there = _draw(_plain()), _draw(_plain(), x=0.125)
    moved = np.zeros_like(here.mask)
    moved[:, 16:] = here.mask[:, :-16]
    assert np.allclose(there.points - here.points, [16, 0], atol=0.02)
    assert (moved[:, 16:] != there.mask[:, 16:]).mean() < 0.002


@pytest.mark.usefixtures("driver")
def test_a_wink_closes_the_persons_left_eye_only() -> None:
    person = replace(_plain(), eyes="blue")
    open_, wink = _draw(person, expression="smiling"), _draw(person, expression="winking")
    gap = np.abs(open_.image.astype(int) - wink.image.astype(int)).max(-1)

    def near(point: np.ndarray) -> float:
        x, y = point.astype(int)
        return float(gap[y - 2 : y + 3, x - 2 : x + 3].mean())

    assert near(open_.points[1]) > 2.5 * near(open_.points[0])


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize("index", range(8))
def test_everything_worn_shows_in_its_color(index: int) -> None:
    """A garment, hat or frame changes color and nothing else moves."""
    style, neck = list(STYLES)[index], list(NECKS)[index % len(NECKS)]
    person = replace(
        describe_person(40 + index),
        hair=style,
        clothes=neck,
        pattern=None,
        hat=HATS[index % 3],
        glasses=GLASSES[index % 4],
        clothes_colour="red",
        hat_colour="red",
        glasses_colour="red",
    )
    view = replace(describe_portrait(index), frame=FRAMES[index % 3], expression=EXPRESSIONS[index % 7])
    first = draw_person(person, view, DAY, 64)
    for name in ("clothes_colour", "hat_colour", "glasses_colour"):
        other = draw_person(replace(person, **{name: "green"}), view, DAY, 64)
        assert len(_changed(first, other)) >= 4, name
        assert np.array_equal(first.mask, other.mask)


@pytest.mark.usefixtures("driver")
def test_a_full_figure_has_a_skeleton_that_poses() -> None:
    person = replace(_plain(), hat=None)
    names = list(JOINTS)
    shown = {pose: _draw(person, frame="full body", pose=pose) for pose in POSES}
    wrist, shoulder = names.index("right wrist"), names.index("right shoulder")
    assert shown["standing"].joints[wrist, 1] > shown["standing"].joints[shoulder, 1]
    assert shown["waving"].joints[wrist, 1] < shown["waving"].joints[shoulder, 1]
    for drawn in shown.values():
        x, y = drawn.joints.astype(int).T
        assert (drawn.mask[y, x] > 0).mean() >= 0.9, "joints lie inside the figure"
        assert (drawn.mask[[0, -1]] == 0).all() and (drawn.mask[:, [0, -1]] == 0).all(), "the whole figure is shown"


@pytest.mark.usefixtures("driver")
def test_two_people_share_a_picture() -> None:
    people = [draw_person(describe_person(seed), Portrait(), DAY, 64) for seed in (1, 2)]
    group = together(people, [-14, 14])
    assert group.image.shape == (64, 64, 4) and group.masks.shape == (2, 64, 64)
    assert not ((group.masks[0] > 0) & (group.masks[1] > 0)).any()
    assert (group.masks[1] > 0).sum() > 0.6 * (people[1].mask > 0).sum()
    assert np.allclose(group.points[1], people[1].points + [14, 0])
    with pytest.raises(ValueError, match="a group needs at least one person"):
        together([], [])


def _far_from(mask: np.ndarray) -> np.ndarray:
    """Marks pixels with no person within two pixels."""
    wide = np.pad(mask > 0, 2)
    near = [wide[y : y + len(mask), x : x + len(mask)] for y in range(5) for x in range(5)]
    return ~np.any(near, axis=0)


def test_scenes_are_seeded_split_clean_and_captioned() -> None:
    rng, known = np.random.default_rng(1), set(wordlist()) | vocabulary()
    for split in ("train", "heldout"):
        scenes = [describe_people(seed, split) for seed in range(40)]
        for scene in scenes:
            first = scene.people[0].person
            assert is_heldout("person", first.hair_colour, scene.place.name) == (split == "heldout")
            words = {word.strip(",") for word in caption_people(scene, rng).split()}
            assert {word for word in words if word not in known and word.lower() not in known} == set()
    assert PeopleScene.from_json(scenes[0].to_json()) == scenes[0] == describe_people(0, "heldout")
    sizes = {(len(scene.people), scene.second is None) for scene in map(describe_people, range(40))}
    assert sizes == {(1, True), (2, False)}
    with pytest.raises(ValueError, match="unknown split"):
        describe_people(0, "all")  # type: ignore[arg-type]


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize("count", [1, 2])
def test_a_scene_shows_its_people_in_its_place(count: int) -> None:
    scene = next(scene for seed in range(60) if len((scene := describe_people(seed, "fresh")).people) == count)
    drawn = render_people(scene, 64)
    assert drawn.image.shape == (64, 64, 3) and drawn.masks.shape == (count, 64, 64)
    assert drawn.points.shape == (count, 5, 2) and np.array_equal(drawn.mask, drawn.masks[0])
    empty = drawn.masks.max(0) == 0
    dressed = replace(
        scene.people[0].person, clothes_colour="red" if scene.people[0].person.clothes_colour != "red" else "blue"
    )
    other = render_people(replace(scene, people=(replace(scene.people[0], person=dressed), *scene.people[1:])), 64)
    away = _far_from(drawn.masks.max(0))
    assert empty.any() and np.array_equal(drawn.image[away], other.image[away]), (
        "the place does not change with who stands in it"
    )
    for seen, mask, points in zip(scene.people, drawn.masks, drawn.points, strict=True):
        x, y = points[2].astype(int)
        assert mask[y, x] == 255, f"the nose of {seen.person.member_id} shows"


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize("kind", list(SHELLS))
def test_curls_leave_the_face_free(kind: str) -> None:
    style = next(name for name, style in STYLES.items() if style.mesh == kind)
    person = replace(_plain(), hair=style, hair_colour="blue")
    bald, curly = _draw(_plain()), _draw(person)
    gap = np.abs(bald.image.astype(int) - curly.image.astype(int)).max(-1)
    assert (gap > 60).mean() > 0.04
    for x, y in bald.points.astype(int):
        assert gap[y, x] < 40


def test_identity_changes_the_shape_and_expression_moves_only_the_face() -> None:
    body = figure.body()
    one, two = (Stage(describe_person(seed), Portrait()) for seed in (1, 2))
    assert np.abs(one.points - two.points).max() > 0.3
    calm, glad = (Stage(_plain(), Portrait(expression=name)).points for name in ("neutral", "laughing"))
    moved = np.linalg.norm(calm - glad, axis=1) > 1e-4
    assert moved.any() and body.points[moved, 1].min() > 5.7


def test_a_missing_file_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(figure, "FILE", tmp_path / "people.npz")
    with pytest.raises(FileNotFoundError, match="restore toybox/assets/makehuman"):
        figure.body.__wrapped__()


def test_the_world_needs_neither_the_body_package_nor_its_file() -> None:
    assert figure.FILE.stat().st_size <= 4e6
    assert (figure.FILE.parent / "LICENSE.txt").is_file()
    code = (
        "import sys, toybox.world, toybox.world.people as people\n"
        "people.describe_person(1)\n"
        "assert not {'anny', 'moderngl', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
