"""The published list is read as it is, and the three protocols are what they say."""

from pathlib import Path

import pytest

from ipseity.core.errors import RecipeError, SubjectError
from ipseity.evaluation.dreambench import (
    PROTOCOLS,
    SINGLE_IMAGE,
    check_protocol,
    choose_prompts,
    choose_subjects,
    fixed_photo,
    read_listing,
)
from tests.fixtures.dreambench import CLASSES, OBJECTS, write_list


def test_the_list_is_read_and_its_prompts_told_apart(tmp_path: Path) -> None:
    write_list(tmp_path)
    listing = read_listing(tmp_path)
    assert listing.classes == CLASSES
    assert [prompt.template for prompt in listing.objects] == list(OBJECTS)
    assert [prompt.kind for prompt in listing.objects] == ["recontextualization"] * 2 + ["property"]
    assert [prompt.kind for prompt in listing.live] == ["recontextualization", "accessory", "property"]
    assert listing.prompts(living=True) == listing.live and [prompt.index for prompt in listing.live] == [0, 1, 2]


def test_the_metric_s_prompt_has_the_class_noun_without_the_token(tmp_path: Path) -> None:
    write_list(tmp_path)
    scene, _, colored = read_listing(tmp_path).objects
    assert scene.words("sks", "stuffed animal") == "a sks stuffed animal in the jungle"
    assert scene.meaning("stuffed animal") == "a stuffed animal in the jungle"
    assert (colored.words("sks", "can"), colored.meaning("can")) == ("a red sks can", "a red can")
    assert "{0.__class__}" in scene.words("{0.__class__}", "can"), "words are put in, never evaluated"


@pytest.mark.parametrize(
    ("change", "needle"),
    [
        ({"classes": {}}, "lists no subjects"),
        ({"objects": ()}, "lists no object prompts"),
        ({"live": ("nothing to fill in",)}, "lists no live subject prompts"),
        ({"classes": {"../secret": "dog"}}, "lists no subjects"),
    ],
)
def test_another_list_is_refused(tmp_path: Path, change: dict, needle: str) -> None:
    write_list(tmp_path, **change)
    with pytest.raises(SubjectError, match=needle):
        read_listing(tmp_path)


def test_a_folder_without_the_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SubjectError, match="prompts_and_classes"):
        read_listing(tmp_path)


def test_subjects_are_those_with_a_folder(tmp_path: Path) -> None:
    write_list(tmp_path)
    listing = read_listing(tmp_path)
    with pytest.raises(SubjectError, match="no folder of a subject"):
        choose_subjects(listing, tmp_path)
    (tmp_path / "dog").mkdir()
    (tmp_path / "not-listed").mkdir()
    assert choose_subjects(listing, tmp_path) == ["dog"]
    with pytest.raises(SubjectError, match="Did you mean 'backpack'"):
        choose_subjects(listing, tmp_path, ["bagpack"])
    with pytest.raises(SubjectError, match="vase' is in the list, but"):
        choose_subjects(listing, tmp_path, ["dog", "vase"])


def test_places_of_the_list(tmp_path: Path) -> None:
    write_list(tmp_path)
    prompts = read_listing(tmp_path).objects
    assert [prompt.index for prompt in choose_prompts(prompts, "0, 2-2")] == [0, 2]
    assert choose_prompts(prompts, None) == prompts
    for wrong in ("3", "2-1", "first", "", "0,-1", "1-"):
        with pytest.raises(RecipeError, match="from 0 to 2"):
            choose_prompts(prompts, wrong)


def test_protocols() -> None:
    assert list(PROTOCOLS) == ["held-out", "original", "single-image"]
    assert check_protocol("original") == "original"
    with pytest.raises(RecipeError, match="Did you mean 'held-out'"):
        check_protocol("heldout")


def test_the_single_image_list_has_every_published_subject() -> None:
    """Facts of the list as its evaluation code has it: 30 subjects, each with one photo of six at most."""
    assert len(SINGLE_IMAGE) == 30 and "dog4" not in SINGLE_IMAGE
    assert set(SINGLE_IMAGE.values()) <= {f"{number:02d}" for number in range(6)}
    assert (SINGLE_IMAGE["can"], SINGLE_IMAGE["dog3"], SINGLE_IMAGE["dog5"]) == ("01", "05", "00")
    photos = [Path(f"{number:02d}.jpg") for number in range(5)]
    assert fixed_photo("can", photos) == photos[1]
    with pytest.raises(SubjectError, match="no photo named 05"):
        fixed_photo("dog3", photos)
    with pytest.raises(SubjectError, match="no single photo is fixed"):
        fixed_photo("my_own", photos)
