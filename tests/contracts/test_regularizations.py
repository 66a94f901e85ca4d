"""What every regularization must keep."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ipseity.core import registry
from ipseity.core.penalty import Penalty
from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Example, Photo, Request, Subject
from ipseity.data.grammar import CLOSE_UP, says
from ipseity.data.phrases import phrases_for
from ipseity.training.penalized import Frozen
from tests.fixtures.bad_images import photo
from tests.training.toy import HeldLearner

NAMES = registry.names("regularizations")


def make_subject(class_noun: str = "mug", *, token: str = "sks", name: str = "mug", living: bool = False) -> Subject:
    slots = ({"background": "on a desk"}, {"background": "on a shelf"}, {})
    photos = tuple(Photo(Path(f"{n}.png"), photo(n), str(n), slots=slots[n]) for n in range(3))
    return Subject(name, photos, class_noun, token, living)


def options_for(name: str, **wanted) -> Any:
    """Options of a regularization, as many of those wanted as it has."""
    kind = registry.find("regularizations", name).Options
    return kind(**{key: value for key, value in wanted.items() if key in kind.model_fields})


def captioned(subject: Subject) -> tuple[Example, ...]:
    captions = registry.find("captions", "structured")
    return captions.examples(subject, captions.Options())


def plan(name: str, subject: Subject, **options) -> tuple[Request, ...]:
    regularization = registry.find("regularizations", name)
    return regularization.plan(subject, captioned(subject), options_for(name, **options), Rng(0))


DRAWING = [name for name in NAMES if plan(name, make_subject(), images=4)]
PENALTIES = [name for name in NAMES if isinstance(registry.find("regularizations", name), Penalty)]


@pytest.mark.parametrize("name", NAMES)
def test_the_token_is_never_asked_for_and_never_shown(name: str):
    """What preserves the class must not teach the token."""
    regularization = registry.find("regularizations", name)
    requests = plan(name, make_subject(), images=24)
    assert requests == plan(name, make_subject(), images=24)
    assert not any(says(request.prompt, "sks") for request in requests)
    options = options_for(name, images=24)
    shown = regularization.gather([(request, photo(0)) for request in requests], options)
    assert len(shown) == len(requests) and not any(example.is_subject for example in shown)
    for request, example in zip(requests, shown, strict=True):
        assert example.captions[0] == request.prompt and example.name
        texts = [*example.captions, *(text for worded in example.crop_words.values() for text in worded)]
        assert not any(says(text, "sks") for text in texts)


@pytest.mark.parametrize("name", DRAWING)
def test_as_many_different_pictures_as_asked_for_and_more_keep_the_fewer(name: str):
    few, many = plan(name, make_subject(), images=20), plan(name, make_subject(), images=60)
    assert len(set(few)) == 20 and len(set(many)) == 60 and set(few) < set(many)


@pytest.mark.parametrize("name", DRAWING)
def test_subjects_of_a_class_share_pictures(name: str):
    one, other = plan(name, make_subject(), images=40), plan(name, make_subject(token="<cup>", name="other"), images=40)
    assert len(set(one) & set(other)) >= 32


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DRAWING])
def test_what_asks_for_no_pictures_shows_nothing(name: str):
    assert plan(name, make_subject()) == registry.find("regularizations", name).gather([], options_for(name)) == ()


@pytest.mark.parametrize("name", PENALTIES)
def test_a_loss_of_its_own_is_asked_without_the_token(name: str):
    regularization, subject = registry.find("regularizations", name), make_subject()
    asked = [regularization.captions(subject, captioned(subject), options_for(name)) for _ in range(2)]
    assert asked[0] == asked[1]
    assert not any(says(text, "sks") for both in asked[0] for text in both)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_loss_of_its_own_is_finite_per_sample_and_named_and_follows_its_chance(name: str):
    regularization, learner = registry.find("regularizations", name), HeldLearner()
    frozen, options = Frozen(learner), options_for(name)
    rows = Batch(Rng(0).normal((3, 4, 4, 4)), ("a mug", "a cup", ""), torch.zeros(3) > 0)
    batch = Batch(Rng(1).normal((3, 4, 4, 4)), ("sks mug",) * 3, torch.ones(3) > 0, tokenless=rows)
    learner.up.weight.data += 0.1
    told = [regularization.loss(learner, frozen, batch=batch, rng=Rng(n), options=options) for n in (0, 0)]
    assert told[0] and all(values.shape == (3,) and (values > 0).all() for values in told[0].values())
    assert all(torch.equal(values, told[1][key]) and values.isfinite().all() for key, values in told[0].items())
    torch.stack([values.sum() for values in told[0].values()]).sum().backward()
    assert learner.up.weight.grad.abs().sum() > 0


def test_class_images_say_the_same_of_all():
    assert {request.prompt for request in plan("class_images", make_subject("owl"), images=5)} == {"a photo of an owl"}
    assert {
        request.prompt for request in plan("class_images", make_subject("owl"), images=5, prompt="{class_noun}, wild")
    } == {"owl, wild"}
    with pytest.raises(ValueError, match="braces"):
        registry.find("regularizations", "class_images").Options(prompt="a {place}")


def test_part_a_mirrors_the_training_captions():
    requests = plan("structured", make_subject(), images=10, share_a=1.0)
    prompts = [request.prompt for request in requests]
    assert prompts[:3] == [
        "a high quality photo of a mug on a desk",
        "a high quality photo of a mug on a shelf",
        "a high quality photo of a mug",
    ]
    assert "a photo of a mug" in prompts


@settings(max_examples=20, deadline=None)
@given(images=st.integers(1, 300), share=st.floats(0, 1))
def test_the_share_of_part_a_is_kept(images: int, share: float):
    subject = make_subject()
    requests = plan("structured", subject, images=images, share_a=share)
    mirrored = set(plan("structured", subject, images=images, share_a=1.0))
    assert len(requests) == images and sum(request in mirrored for request in requests) == round(images * share)


def test_part_b_is_varied_and_stays_in_the_class():
    requests = plan("structured", make_subject(), images=300, share_a=0.0)
    prompts = {request.prompt for request in requests}
    assert len(prompts) >= 295 and all(says(prompt, "mug") for prompt in prompts)
    styles = phrases_for("mug", living=False).style
    assert 0.22 <= sum(any(f"{style} of" in prompt for style in styles) for prompt in prompts) / 300 <= 0.38
    assert sum(any(word in prompt for word in (" on ", " in ", " under ")) for prompt in prompts) > 100


def test_living_things_move_among_their_kind():
    requests = plan("structured", make_subject("dog", living=True), images=300, share_a=0.0)
    dogs = sum(says(request.prompt, "dog") for request in requests)
    assert 90 <= dogs <= 230, "about half are other breeds"
    assert (
        sum(
            any(says(request.prompt, word) for word in ("running", "sleeping", "jumping", "sitting"))
            for request in requests
        )
        >= 8
    )
    assert not any(says(request.prompt, "cube-shaped") for request in requests)


def test_another_seed_makes_another_set():
    assert not set(plan("structured", make_subject(), images=30, seed=0)) & set(
        plan("structured", make_subject(), images=30, seed=1)
    )


def test_tight_crops_are_said_to_be():
    regularization = registry.find("regularizations", "structured")
    shown = regularization.gather([(Request("a photo of a mug", 1), photo(0))], regularization.Options())
    assert shown[0].crop_words == {CLOSE_UP: ("a photo of a mug, close-up",)}
    assert not regularization.gather(
        [(Request("a photo of a mug", 1), photo(0))], regularization.Options(crop_words=False)
    )[0].crop_words
