"""The toybox world: exact, split-clean, fully worded, with true masks."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from toybox.world import (
    CALM,
    FULL,
    Scene,
    caption,
    classes,
    colours,
    describe,
    describe_member,
    is_heldout,
    places,
    render,
    scene_of,
    wordlist,
)
from toybox.world import subjects as drawn_subjects
from toybox.world.cutouts import FOLDER, cutout
from toybox.world.grammar import words_of
from toybox.world.kinds import KINDS
from toybox.world.makers import MAKERS
from toybox.world.reserved import RESERVED, signature, subjects

SPLITS = ("train", "heldout", "fresh")


def _combination(scene: Scene) -> tuple[str, str | None, str]:
    return scene.thing.class_noun, scene.thing.colour, scene.place.name


def test_counts_are_those_asked_for() -> None:
    assert 60 <= len(classes()) <= 75
    assert len(places()) >= 24
    assert {"mug", "backpack", "can", "sneaker", "toy", "bowl"} <= set(MAKERS)
    nouns = {"backpack", "stuffed animal", "bowl", "can", "candle", "cat", "clock"}
    nouns |= {"sneaker", "dog", "toy", "boot", "glasses", "teapot", "vase"}
    assert nouns <= set(classes())


@pytest.mark.parametrize("split", SPLITS)
def test_same_seed_same_bytes(split: str) -> None:
    for seed in range(40):
        assert describe(seed, split).to_json() == describe(seed, split).to_json()
    assert len({describe(seed, split).to_json() for seed in range(40)}) == 40


def test_descriptions_have_not_changed() -> None:
    text = "\n".join(describe(seed, split).to_json() for split in SPLITS for seed in range(100))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "2a072934e2135af6"


def test_calm_scenes_differ_less() -> None:
    full, calm = ([describe(seed, "train", variety) for seed in range(300)] for variety in (FULL, CALM))
    assert not any(is_heldout(*_combination(scene)) for scene in calm)
    assert not any(scene.pose.flip for scene in calm) and any(scene.pose.flip for scene in full)
    for spread in (lambda s: s.pose.x, lambda s: s.pose.scale, lambda s: s.pose.azimuth):
        assert np.std([spread(scene) for scene in calm]) < 0.75 * np.std([spread(scene) for scene in full])
    pairs = [sum(scene.second is not None for scene in scenes) for scenes in (calm, full)]
    assert 0 < pairs[0] < pairs[1]


def test_json_round_trip() -> None:
    for seed in range(120):
        scene = describe(seed, "fresh")
        assert Scene.from_json(scene.to_json()) == scene


def test_splits_do_not_share_combinations() -> None:
    assert not any(is_heldout(*_combination(describe(seed, "train"))) for seed in range(600))
    assert all(is_heldout(*_combination(describe(seed, "heldout"))) for seed in range(200))


def test_about_one_in_twenty_combinations_is_held_out() -> None:
    kept = [
        is_heldout(noun, colour, place) for noun in classes() for colour in (None, *colours()) for place in places()
    ]
    assert 0.045 < np.mean(kept) < 0.055


def test_members_are_the_same_individual_in_every_scene() -> None:
    thing = describe_member("mug", 7)
    assert describe_member("mug", 7) == thing
    assert describe_member("mug", 8).member_id != thing.member_id
    scenes = [scene_of(thing, seed) for seed in range(20)]
    assert {scene.thing for scene in scenes} == {thing}
    assert len({scene.place for scene in scenes}) == 20
    assert not any(is_heldout(*_combination(scene)) for scene in scenes)


def test_no_scene_draws_a_held_back_subject() -> None:
    drawn = {signature(describe_member(noun, seed)) for noun in MAKERS for seed in range(1500)}
    assert not drawn & RESERVED
    assert len(RESERVED) == 12


def test_every_word_of_every_caption_is_in_the_list() -> None:
    known, rng = set(wordlist()), np.random.default_rng(0)
    for seed in range(1500):
        text = caption(describe(seed, "fresh"), rng)
        assert set(words_of(text)) <= known, text


def test_captions_say_what_is_there() -> None:
    rng = np.random.default_rng(1)
    for seed in range(300):
        scene = describe(seed, "fresh")
        short = caption(scene, rng, "short")
        names = (scene.thing.class_noun, *KINDS[scene.thing.class_noun].words)
        assert any(name in short for name in names), short
        if scene.thing.colour in ("red", "blue", "green") and scene.style != "pencil":
            assert scene.thing.colour in short, short


def test_captions_are_exact_and_refuse_an_unknown_form() -> None:
    scene = describe(5)
    assert caption(scene, np.random.default_rng(3)) == caption(scene, np.random.default_rng(3))
    with pytest.raises(ValueError, match="structured, casual, short"):
        caption(scene, np.random.default_rng(3), "poem")
    with pytest.raises(ValueError, match="train, heldout, fresh"):
        describe(1, "test")


def test_a_recolored_cutout_shows_its_color() -> None:
    for word, channel in (("red", 0), ("green", 1), ("blue", 2)):
        pixels = np.asarray(cutout("1f418", word), float)
        shown = pixels[pixels[..., 3] > 200][:, :3].mean(0)
        assert shown.argmax() == channel and shown[channel] > 1.3 * np.delete(shown, channel).max()


def test_each_cutout_is_there_and_under_its_licence() -> None:
    used = {drawing for kind in KINDS.values() for drawing in kind.drawings}
    assert used == {path.stem for path in FOLDER.glob("*.webp")}
    assert "MIT License" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 4e6


def test_pictures_and_masks(driver: None) -> None:
    for seed in range(24):
        scene = describe(seed)
        first, second = render(scene, 64), render(scene, 64)
        assert first.image.shape == (64, 64, 3) and first.image.dtype == np.uint8
        assert set(np.unique(first.mask)) == {0, 255}
        assert np.array_equal(first.image, second.image) and np.array_equal(first.mask, second.mask)
        assert first.image.std() > 5


def test_a_turn_changes_the_picture_of_a_member(driver: None) -> None:
    front, *_, side = drawn_subjects.views("comet_mug")
    assert front.thing == side.thing and front.pose.azimuth != side.pose.azimuth
    assert np.abs(render(front, 64).image.astype(int) - render(side, 64).image).mean() > 5


def test_subjects_are_written_whole(driver: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn_subjects, "SIDE", 48)
    drawn_subjects.write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(subjects())
    for folder in tmp_path.iterdir():
        assert len(list(folder.glob("*.jpg"))) == len(list(folder.glob("masks/*.png"))) == 6
        assert "CC0" in (folder / "subject.json").read_text(encoding="utf-8")
