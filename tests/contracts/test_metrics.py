"""What every metric must do: say its facts, keep the order of images, and notice a failure in its own direction."""

from dataclasses import replace

import pytest
import torch

from ipseity.core.registry import find, names
from ipseity.core.types import Gallery, References
from tests.evaluation.parts import ColorEncoder, mask_of, scene

METRICS = names("metrics")
PLACES = ("green", "blue")
SPOTS = ((4, 4), (36, 10), (20, 38), (40, 40))

LAYOUT = [(place, spot, 12 + 4 * number) for place in PLACES for number, spot in enumerate(SPOTS)]


def drawn(thing: str) -> tuple:
    """Eight different pictures of a thing: four on each place."""
    return tuple(scene(thing, place, at=spot, side=side, seed=i) for i, (place, spot, side) in enumerate(LAYOUT))


GOOD = Gallery(
    images=drawn("red"),
    prompts=tuple(f"a red thing on {place}" for place, _, _ in LAYOUT),
    seeds=tuple(range(8)),
    before=drawn("red"),  # nothing changed: nothing leaked
)
TRAINED = tuple(
    scene("red", place, at=spot, seed=50 + i)
    for i, (place, spot) in enumerate(zip(("gray", "yellow", "gray"), SPOTS, strict=False))
)
REFERENCES = References(
    images=tuple(scene("red", "gray", at=spot, seed=90 + i) for i, spot in enumerate(SPOTS[:2])),
    masks=tuple(mask_of(spot) for spot in SPOTS[:2]),
    trained_on=TRAINED,
)
WORSE = {
    "another subject": replace(GOOD, images=drawn("yellow")),
    "deaf to the prompt": replace(GOOD, images=tuple(scene("gray", "yellow", at=s) for _ in PLACES for s in SPOTS)),
    "always the same": replace(GOOD, images=(GOOD.images[0],) * 8),
    "copies": replace(GOOD, images=(TRAINED * 3)[:8]),
    "drifted class": replace(GOOD, before=drawn("yellow")),
}


@pytest.fixture(params=METRICS)
def metric(request: pytest.FixtureRequest) -> object:
    return find("metrics", request.param)


def test_says_its_facts(metric) -> None:
    assert metric.title and metric.unit and metric.__doc__
    assert metric.better in ("higher", "lower")
    assert metric.needs <= {"image", "text", "patches", "face"}


def test_gives_one_finite_number_an_image_and_keeps_their_order(metric) -> None:
    encoder = ColorEncoder()
    scores = metric.score(GOOD, REFERENCES, encoder)
    assert scores.shape == (8,) and scores.isfinite().all()
    order = [5, 0, 7, 2, 1, 6, 3, 4]
    mixed = Gallery(*(tuple(part[i] for i in order) for part in (GOOD.images, GOOD.prompts, GOOD.seeds, GOOD.before)))
    torch.testing.assert_close(metric.score(mixed, REFERENCES, encoder), scores[order], atol=1e-5, rtol=0)


def test_the_order_of_photos_does_not_matter(metric) -> None:
    backwards = References(REFERENCES.images[::-1], REFERENCES.masks[::-1], REFERENCES.trained_on[::-1])
    encoder = ColorEncoder()
    torch.testing.assert_close(
        metric.score(GOOD, backwards, encoder), metric.score(GOOD, REFERENCES, encoder), atol=1e-5, rtol=0
    )


def test_notices_some_failure_in_its_own_direction(metric) -> None:
    encoder = ColorEncoder()
    good = metric.score(GOOD, REFERENCES, encoder).mean()
    sign = 1 if metric.better == "higher" else -1
    lost = {name: float(sign * (good - metric.score(bad, REFERENCES, encoder).mean())) for name, bad in WORSE.items()}
    assert max(lost.values()) > 0.01, f"sees none of these failures: {lost}"


def test_refuses_quietly_where_nothing_can_be_compared(metric) -> None:
    alone = Gallery(GOOD.images[:1], GOOD.prompts[:1], (0,))
    scores = metric.score(alone, References((), ()), ColorEncoder())
    assert scores is None or scores.shape == (1,)
