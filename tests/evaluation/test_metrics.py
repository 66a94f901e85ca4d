"""Positive controls: each metric meets the case that it was made for, and its opposite."""

from dataclasses import replace

import torch
from PIL import ImageOps

from ipseity.core.registry import find
from ipseity.core.types import Gallery, References
from ipseity.evaluation.flags import leaking, memorized
from ipseity.evaluation.metrics.identity_masked import foreground
from ipseity.evaluation.suite import ceiling, means, score
from tests.conftest import draw_photo
from tests.evaluation.parts import ColorEncoder, LayoutEncoder, mask_of, scene

SPOTS = ((4, 4), (36, 10), (20, 38), (40, 40), (10, 30), (30, 20))
PHOTOS = tuple(
    scene("red", place, at=spot, seed=i)
    for i, (place, spot) in enumerate(zip(("gray", "green", "blue") * 2, SPOTS, strict=True))
)
HELD = References(PHOTOS[4:], tuple(mask_of(spot) for spot in SPOTS[4:]), PHOTOS[:4])
LOOK = {"layout": LayoutEncoder()}


def gallery(images, prompts=None, before=()) -> Gallery:
    return Gallery(tuple(images), tuple(prompts or ("red",) * len(images)), tuple(range(len(images))), tuple(before))


def test_identity_is_one_for_the_photo_itself_and_less_for_another() -> None:
    metric, encoder = find("metrics", "identity"), LayoutEncoder()
    one = References(PHOTOS[:1], (None,))
    scores = metric.score(gallery([PHOTOS[0], scene("yellow", "gray", at=SPOTS[0])]), one, encoder)
    assert scores[0] > 0.9999 > 0.95 > scores[1]


def test_identity_takes_photos_of_any_size() -> None:
    tall = PHOTOS[0].resize((700, 1100))
    score_of = find("metrics", "identity").score
    assert (
        score_of(gallery([PHOTOS[0], tall]), References((tall, PHOTOS[1]), (None, None)), ColorEncoder())
        .isfinite()
        .all()
    )


def test_masked_identity_ignores_the_background_that_identity_rewards() -> None:
    reference = References((scene("red", "green", at=(24, 24)),), (mask_of((24, 24)),))
    right_thing, same_background = (
        scene("red", "blue", at=(24, 24), seed=1),
        scene("yellow", "green", at=(24, 24), seed=2),
    )
    shown = gallery([right_thing, same_background])
    whole = find("metrics", "identity").score(shown, reference, LayoutEncoder())
    masked = find("metrics", "identity_masked").score(shown, reference, ColorEncoder())
    assert whole[0] < whole[1] and masked[0] > masked[1] + 0.1


def test_masked_identity_finds_the_subject_wherever_it_stands() -> None:
    reference = References((scene("red", "green", at=(0, 0), side=24),), (mask_of((0, 0), side=24),))
    moved = gallery([scene("red", "blue", at=(40, 40), side=24)])
    assert find("metrics", "identity_masked").score(moved, reference, ColorEncoder()) > 0.98


def test_masked_identity_needs_a_mask_that_shows_something() -> None:
    metric = find("metrics", "identity_masked")
    assert metric.score(gallery(PHOTOS), References(PHOTOS[:1], (None,)), ColorEncoder()) is None
    assert (
        metric.score(gallery(PHOTOS), References(PHOTOS[:1], (mask_of().point(lambda _: 0),)), ColorEncoder()) is None
    )


def test_the_foreground_follows_the_mask_through_padding() -> None:
    wide = mask_of((0, 0), side=16).resize(
        (128, 64)
    )  # padded to 128 x 128 the thing covers rows 32 to 48, columns 0 to 32
    inside = foreground(wide, (8, 8))
    assert inside.nonzero().tolist() == [[2, 0], [2, 1]]
    speck = mask_of().point(lambda _: 0)
    speck.putpixel((1, 1), 255)
    assert foreground(speck, (8, 8)).sum() == 1


def test_prompt_fidelity_tells_right_from_wrong_words() -> None:
    metric = find("metrics", "prompt_fidelity")
    image = scene("red", "green")
    right, wrong = metric.score(gallery([image, image], ["red on green", "yellow on blue"]), HELD, ColorEncoder())
    assert right > 0.7 > 0.1 > wrong


def test_diversity_is_zero_for_repeats_and_unknown_for_a_picture_alone() -> None:
    metric, encoder = find("metrics", "diversity"), LayoutEncoder()
    scores = metric.score(
        gallery([PHOTOS[0], PHOTOS[0], PHOTOS[1], PHOTOS[2], PHOTOS[3]], list("aabbc")), HELD, encoder
    )
    assert scores[:2].abs().max() < 1e-5 < 0.05 < scores[2:4].min()
    assert scores[4].isnan()
    assert metric.score(gallery(PHOTOS[:2], ["a", "b"]), HELD, encoder) is None
    assert means({"diversity/layout": scores})["diversity/layout"] > 0


def test_copies_of_training_photos_are_flagged_and_new_pictures_are_not() -> None:
    trained = tuple(draw_photo(number) for number in range(6))
    references = References((draw_photo(6), draw_photo(7)), (None, None), trained)
    copies = [photo.rotate(1).resize((150, 150)) for photo in trained]
    fresh = [draw_photo(number) for number in range(20, 32)]
    assert memorized(score(gallery(copies), references, LOOK, ["memorization"])).raised
    assert not memorized(score(gallery(fresh), references, LOOK, ["memorization"])).raised


def test_a_base_that_distorts_is_held_against_photos_distorted_alike() -> None:
    trained = tuple(draw_photo(number) for number in range(6))
    held = (draw_photo(6), draw_photo(7))
    decoded = tuple(ImageOps.invert(photo) for photo in (*trained, *held))
    copies, crisp = decoded[:6], References(held, (None, None), trained)
    alike = References(held, (None, None), trained, decoded)
    fresh = [ImageOps.invert(draw_photo(number)) for number in range(20, 32)]
    assert not memorized(score(gallery(copies), crisp, LOOK, ["memorization"])).raised, "the distortion hides the copy"
    assert memorized(score(gallery(copies), alike, LOOK, ["memorization"])).raised
    assert not memorized(score(gallery(fresh), alike, LOOK, ["memorization"])).raised


def test_a_copy_counts_only_where_all_evaluators_agree() -> None:
    near, far = torch.tensor([0.1, 0.1, 0.1]), torch.tensor([-0.1, -0.1, 0.1])
    assert memorized({"memorization/a": near}).raised
    told = memorized({"memorization/a": near, "memorization/b": far})
    assert not told.raised and "1 of 3" in told.message and "a and b" in told.message
    assert memorized({"identity/a": near}) is None


def test_memorization_needs_something_to_compare_with() -> None:
    metric, encoder = find("metrics", "memorization"), LayoutEncoder()
    assert metric.score(gallery(PHOTOS), References(PHOTOS, (None,) * 6), encoder) is None
    assert metric.score(gallery(PHOTOS), References(PHOTOS[:1], (None,), PHOTOS[:1]), encoder) is None
    # two training photos can be compared with each other, and a repeated one is no second photo
    two = References(PHOTOS[:2], (None, None), (PHOTOS[0], PHOTOS[1], PHOTOS[0].copy()))
    assert metric.score(gallery(PHOTOS[:1]), two, encoder) > 0.01


def test_the_class_that_turns_into_the_subject_is_flagged_and_the_same_class_is_not() -> None:
    class_before = [scene("yellow", "gray", at=spot, seed=9) for spot in SPOTS]
    class_after = [scene("red", "gray", at=spot, seed=9) for spot in SPOTS]
    looking = {"colors": ColorEncoder()}
    untrained = means(score(gallery(class_before), HELD, looking, ["identity"]))
    real = means(ceiling(HELD, looking, ["identity"]))
    drifted = score(gallery(class_after, before=class_before), HELD, looking, ["leakage"])
    same = score(gallery(class_before, before=class_before), HELD, looking, ["leakage"])
    assert leaking(drifted, untrained, real).raised
    told = leaking(same, untrained, real)
    assert not told.raised and same["leakage/colors"].abs().max() == 0
    assert leaking({}, untrained, real) is None
    assert leaking(drifted, real, real) is None, "an evaluator that does not tell subject from class is not asked"


def test_leakage_needs_the_bare_base() -> None:
    assert find("metrics", "leakage").score(gallery(PHOTOS), HELD, ColorEncoder()) is None
    assert (
        find("metrics", "leakage").score(
            gallery(PHOTOS, before=PHOTOS), replace(HELD, images=(), masks=()), ColorEncoder()
        )
        is None
    )
