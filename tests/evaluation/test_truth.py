"""Checks that know the truth: each is held to what it says of the shipped subjects and of pictures made here."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy.stats import spearmanr
from torch.nn.functional import conv2d

from ipseity.core.errors import Refusal
from ipseity.evaluation.agreement import agree, spearman
from ipseity.evaluation.metrics.parts import marks, palette
from ipseity.evaluation.metrics.parts.sliding import NOWHERE, Templates, oklab
from ipseity.evaluation.plan import PICK_SCENES
from ipseity.evaluation.scoreboard import CLASS_WORD, REAL, Entry
from ipseity.evaluation.toybench import choose_toys, list_toys, read_toys, toys_folder
from ipseity.evaluation.truth import (
    CHECKS,
    COLOUR,
    COUNT,
    MARK,
    TRUSTED,
    Proof,
    Truth,
    View,
    learn_truth,
    paint_over,
    side_by_side,
)
from ipseity.evaluation.truthboard import DRAWN, HEAD, PASTED, UNTRAINED, WON, lay_out, prefer, prove, tabulate_truth

ROOT = Path(__file__).parents[2]
TOYS = read_toys()


def views(name: str) -> list[View]:
    folder, mark = toys_folder() / name, TOYS.marks.get(name)
    paths = sorted(folder.glob("*.jpg"))
    masks = [Image.open(folder / "masks" / f"{path.stem}.png").convert("L") for path in paths]
    boxes = [mark.boxes.get(path.name) if mark else None for path in paths]
    return [
        View(Image.open(path).convert("RGB"), mask, box) for path, mask, box in zip(paths, masks, boxes, strict=True)
    ]


def true_of(name: str) -> Truth:
    return learn_truth(views(name), [view.image for view in views(TOYS.sibling(name))])


@pytest.fixture(scope="module")
def mug() -> Truth:
    return true_of("comet_mug")


def proof(truth: Truth, check: str) -> Proof:
    return next(one for one in truth.proofs if one.check == check)


def test_the_splits_are_those_of_the_comparisons() -> None:
    file = ROOT / "benchmarks" / "splits.toml"
    if not file.is_file():
        pytest.skip("benchmarks/ is not here")
    told = tomllib.loads(file.read_text())["toybox"]
    assert {kind: list(names) for kind, names in TOYS.splits.items()} == told
    assert sorted(TOYS.classes) == sorted(path.parent.name for path in toys_folder().glob("*/subject.json"))


def test_marks_are_named_and_lie_on_their_subjects() -> None:
    for name, mark in TOYS.marks.items():
        facts = tomllib.loads(f"x = {(toys_folder() / name / 'subject.json').read_text().count(mark.shows)}")
        assert facts["x"] > 0, f"{name} has no {mark.shows}"
        for file, box in mark.boxes.items():
            mask = Image.open(toys_folder() / name / "masks" / f"{Path(file).stem}.png").convert("L")
            assert np.asarray(mask.crop(box)).mean() > 0.8 * 255, f"{name}/{file}"


def test_prompts_show_scenes_that_pick_nothing() -> None:
    listing = list_toys(TOYS, ["comet_mug"])
    assert listing.classes == {"comet_mug": "mug"} and len(listing.objects) == 6
    assert listing.objects[0].words("sks", "mug").startswith("a photo of a sks mug ")
    assert not [one for one in listing.objects if one.template.endswith(PICK_SCENES)]


@pytest.mark.parametrize(
    ("split", "wanted", "needle"),
    [("develop", (), "Did you mean 'development'"), ("all", ("comet_mog",), "Did you mean 'comet_mug'"), ("reporting", ("comet_mug",), "not of the split")],
)  # fmt: skip
def test_what_is_not_shipped_is_refused(split: str, wanted: Sequence[str], needle: str) -> None:
    with pytest.raises(Refusal, match=needle):
        choose_toys(TOYS, split, wanted)


def test_oklab_gives_the_published_values() -> None:
    """White and red as Ottosson's page has them."""
    seen = oklab(Image.fromarray(np.array([[[255, 255, 255], [255, 0, 0]]], dtype=np.uint8)))
    assert seen[:, 0, 0].tolist() == pytest.approx([1, 0, 0], abs=1e-3)
    assert seen[:, 0, 1].tolist() == pytest.approx([0.6280, 0.2249, 0.1258], abs=1e-3)


def test_sliding_is_correlation() -> None:
    generator = torch.Generator().manual_seed(1)
    maps = torch.rand(2, 16, 16, generator=generator)
    pictures = [torch.rand(2, 3, 5, generator=generator), torch.rand(2, 4, 2, generator=generator)]
    templates = Templates.of(pictures, 16)
    slid, sums = templates.within(templates.slide(maps).sum(1)), templates.boxes(maps)
    for row, one in enumerate(pictures):
        wanted = conv2d(maps[None], one[None])[0, 0]
        assert torch.allclose(slid[row, : wanted.shape[0], : wanted.shape[1]], wanted, atol=1e-4)
        assert (slid[row, wanted.shape[0] :] == NOWHERE).all() and (slid[row, :, wanted.shape[1] :] == NOWHERE).all()
        assert sums[row, 1, 2, 3] == pytest.approx(float(maps[1, 2 : 2 + one.shape[1], 3 : 3 + one.shape[2]].sum()))


def star(*, middle: tuple[int, int], radius: int, ink: str = "yellow") -> Image.Image:
    image = Image.new("RGB", (256, 256), "blue")
    angles = np.linspace(0, 2 * np.pi, 11)[:-1]
    points = [
        (middle[0] + r * np.sin(a), middle[1] - r * np.cos(a))
        for a, r in zip(angles, [radius, radius * 0.45] * 5, strict=True)
    ]
    ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in points], fill=ink)
    return image


def test_a_mark_is_found_wherever_it_is_and_however_large() -> None:
    cut = marks.cut_marks([star(middle=(128, 128), radius=40)], [(90, 88, 166, 162)])
    same = float(marks.read_marks(star(middle=(80, 170), radius=40), cut))
    smaller = float(marks.read_marks(star(middle=(180, 60), radius=30), cut))
    pale = float(marks.read_marks(star(middle=(128, 128), radius=40, ink="#4040e0"), cut))
    ring = Image.new("RGB", (256, 256), "blue")
    ImageDraw.Draw(ring).ellipse((90, 90, 166, 166), outline="yellow", width=6)
    assert same > 0.95 and smaller > 0.8 and float(marks.read_marks(ring, cut)) < 0.6
    assert pale < 0.2, "another ink, hardly there"
    assert float(marks.read_marks(Image.new("RGB", (256, 256), "blue"), cut)) == pytest.approx(0, abs=0.05)


def test_checks_tell_the_mug_from_the_other_mug(mug: Truth) -> None:
    assert proof(mug, COLOUR).apart > 0.95 and proof(mug, MARK).apart > 0.9
    front, other = views("comet_mug")[0].image, views("breakfast_mug")[0].image
    said, wrong = mug.look(front), mug.look(other)
    assert said[COLOUR] > 0.8 > wrong[COLOUR] and said["readable"] == 1 and wrong["readable"] == 0
    assert said[COUNT] == 1 and wrong[COUNT] == 0
    assert set(said) == set(CHECKS)


def test_the_mug_in_another_color_is_seen(mug: Truth) -> None:
    view = views("comet_mug")[0]
    swapped = Image.composite(Image.merge("RGB", [view.image.split()[row] for row in (2, 1, 0)]), view.image, view.mask)
    assert mug.look(swapped)[COLOUR] < mug.look(view.image)[COLOUR] - 0.3


def test_a_mark_painted_over_is_missed(mug: Truth) -> None:
    view = views("comet_mug")[0]
    assert view.box is not None and mug.marks is not None
    hidden, seen = mug.look(paint_over(view.image, view.box)), mug.look(view.image)
    assert hidden[MARK] < seen[MARK] - 0.3 and hidden["readable"] == 0
    assert hidden[COLOUR] == pytest.approx(seen[COLOUR], abs=0.2), "the mug is still blue"


def test_a_mark_that_cannot_be_seen_is_not_believed() -> None:
    """Views that show nothing in the box: the check says nothing rather than something by chance."""
    mask = Image.new("L", (256, 256))
    ImageDraw.Draw(mask).rectangle((64, 64, 192, 192), fill=255)
    plain = [
        Image.composite(Image.new("RGB", mask.size, "red"), Image.new("RGB", mask.size, ground), mask)
        for ground in ("gray", "green")
    ]
    truth = learn_truth(
        [View(image, mask, (100, 100, 150, 150)) for image in plain], [Image.new("RGB", mask.size, "blue")]
    )
    assert truth.marks is None and set(truth.look(plain[0])) == {COLOUR, COUNT}
    assert proof(truth, MARK).apart < TRUSTED


def test_two_are_counted() -> None:
    shown = views("berry_bowl")
    known = palette.read_palette([view.image for view in shown], [view.mask for view in shown])
    assert palette.find(shown[0].image, known).count == 1
    assert palette.find(side_by_side(shown[0], shown[1]), known).count == 2
    assert palette.find(Image.new("RGB", (64, 64), "green"), known).count == 0


def test_equal_photos_give_equal_palettes() -> None:
    shown = views("thunder_can")[:2]
    one, two = (palette.read_palette([v.image for v in shown], [v.mask for v in shown]) for _ in range(2))
    assert torch.equal(one.colours, two.colours) and float(one.shares.sum()) == pytest.approx(1, abs=1e-4)


def test_rank_agreement_is_spearmans() -> None:
    rng = np.random.default_rng(2)
    scores, truths = rng.integers(0, 6, 20), rng.integers(0, 6, 20)
    table = torch.tensor(np.stack([scores, truths]), dtype=torch.float64)[None]
    assert float(spearman(table)) == pytest.approx(spearmanr(scores, truths).statistic)
    assert torch.isnan(spearman(torch.ones(1, 2, 5)))


def test_agreement_is_within_subjects() -> None:
    """One subject scores high throughout, which says nothing of its pictures."""
    good, bad = ([1.0, 2, 3, 4, 5], [1.0, 2, 3, 4, 5]), ([11.0, 12, 13, 14, 15], [5.0, 4, 3, 2, 1])
    assert agree({"a": good}) and agree({"a": good}).mean == pytest.approx(1)  # type: ignore[union-attr]
    both = agree({"a": good, "b": bad})
    assert both is not None and both.mean == pytest.approx(0) and both.count == 2
    assert both.low is not None and both.high is not None and both.low < -0.9 and both.high > 0.9
    assert agree({"a": ([1.0, 2], [1.0, 2]), "b": ([1.0] * 5, [1.0, 2, 3, 4, 5])}) is None


def entries_of(metric: str, means: dict[str, float], evaluator: str = "toy_vit") -> list[Entry]:
    return [
        Entry("held-out", name, "mug", kind, metric, evaluator, mean, 4)
        for kind, mean in means.items()
        for name in ("a", "b")
    ]


def pictures_of(key: str, sign: int) -> list[dict[str, Any]]:
    return [
        {"subject": name, "prompts": DRAWN, "scores": {key: sign * row, f"{COLOUR}/pixels": row / 10}}
        for name in ("a", "b")
        for row in range(6)
    ]


def test_what_pasting_wins_decides_nothing() -> None:
    entries = [
        *entries_of("identity", {DRAWN: 0.5, PASTED: 0.8, UNTRAINED: 0.2, REAL: 0.9}, "copier"),
        *entries_of("identity", {DRAWN: 0.7, PASTED: 0.6, UNTRAINED: 0.2, REAL: 0.9}, "honest"),
        *entries_of("pres", {CLASS_WORD: 0.4}, "honest"),
        *entries_of(COLOUR, {DRAWN: 0.5, PASTED: 0.9}, "pixels"),
    ]
    pictures = [*pictures_of("identity/copier", 1), *pictures_of("identity/honest", 1)]
    rows = tabulate_truth(entries, pictures)
    cells = {row.evaluator: row.cells() for row in rows if row.metric == "identity"}
    assert cells["copier"][-1] == WON and cells["honest"][-1] == ""
    assert all(len(row.cells()) == len(HEAD) for row in rows) and [row.metric for row in rows][0] == COLOUR
    assert "identity/honest" in prefer(rows) and "prefer it" in prefer(rows)
    assert "none of them decides" in prefer([row for row in rows if row.evaluator == "copier"])
    assert "too few" in prefer(tabulate_truth(entries, []))
    assert next(row for row in rows if row.metric == "pres").drawn.mean == pytest.approx(0.4)


def test_the_page_says_what_the_checks_are_worth() -> None:
    proofs = {"a": [Proof(COLOUR, (0.9, 0.8), (0.1, 0.85))], "b": [Proof(COLOUR, (1.0,), (0.0,))]}
    [line] = prove(proofs)
    assert line == (COLOUR, "0.925", "0.237", "0.875", "2")
    page = lay_out("Toybox", ["told"], [], [line], ["noticed"])
    assert page.startswith("# Toybox\n\ntold") and "| colour | 0.925" in page and "* noticed" in page
