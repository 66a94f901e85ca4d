"""The proof: what curves say, when nothing is claimed, and runs that go on where they were left."""

import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.cells import Cell, Standing, Work, run_cells, weights_mark
from benchmarks.proof import arms, curve, one_x, page, pictures, verdicts
from benchmarks.proof.__main__ import main
from benchmarks.proof.arms import CLASS, OURS, STAGES, Arm, Span, Terms, make_cells
from benchmarks.proof.figure import draw_curves
from benchmarks.proof.verdicts import Curve, Estimate, estimate
from ipseity.core.errors import MissingPackage, RunError
from ipseity.core.files import read_json, write_json
from ipseity.recipe import make_recipe

KEY, OTHER, TEXT = *page.IDENTITY, page.TEXT[0]
TERMS = Terms(images=64, inference_steps=12, pictures=1, set=())
REACH = {KEY: 0.9, OTHER: 0.7}


def row(labels: tuple[str, str, int], values: dict[int, float], *, picked: int = 100, pictures: int = 0) -> dict[str, Any]:  # fmt: skip
    """A curve of which both identities rise as told, and text not at all."""
    subject, arm, seed = labels
    points = {step: {KEY: value, OTHER: 0.4 + value / 4, TEXT: 0.3} for step, value in values.items()}
    levels = {"untrained": {KEY: 0.1, OTHER: 0.4, TEXT: 0.3}, "reach": REACH, "real": {}}
    seconds = {"step": 0.1, "prepare": 2.0, "picture": 0.5}
    return {
        "subject": subject, "arm": arm, "seed": seed, "points": points, "levels": levels, "picked": picked, "flags": {step: [] for step in values},
        "seconds": seconds, "set_pictures": pictures,
    }  # fmt: skip


def blocks_of(arm: str, curves: dict[str, dict[int, float]]) -> dict[tuple[str, int], dict[str, Curve]]:
    return {(name, 0): {arm: Curve.of(row((name, arm, 0), values))} for name, values in curves.items()}


# ---------------------------------------------------------------- values


def test_between_saves_a_curve_is_straight_and_begins_at_the_untrained_base() -> None:
    told = Curve.of(row(("mug", "a", 0), {100: 0.3, 200: 0.5}))
    assert told.at(KEY, 50) == pytest.approx(0.2)
    assert told.at(KEY, 150) == pytest.approx(0.4)
    assert told.at(KEY, 900) == 0.5, "nothing is foretold beyond the end"
    assert told.at("mark/pixels", 100) is None


def test_equal_seconds_charge_the_set_first() -> None:
    base = Curve.of(row(("mug", "base", 0), {100: 0.3, 200: 0.5}, pictures=10))
    rich = Curve.of(row(("mug", "rich", 0), {100: 0.6, 200: 0.8}, pictures=20))
    assert base.seconds(100) == pytest.approx(2 + 5 + 10)
    look = verdicts.at_seconds_of("base", 100)
    assert look(KEY, base, {"base": base}) == pytest.approx(0.3)
    assert look(KEY, rich, {"base": base}) == pytest.approx(0.1 + 0.5 * 0.5), "5 s less are 50 steps less"
    late = Curve.of(row(("mug", "late", 0), {100: 0.9}, pictures=1000))
    assert look(KEY, late, {"base": base}) == 0.1, "its set is not made yet, so it is the untrained base"


def test_rows_read_back_from_json_are_the_same(tmp_path: Path) -> None:
    told = row(("mug", "a", 0), {100: 0.3})
    write_json(tmp_path / "row.json", told)
    assert Curve.of(read_json(tmp_path / "row.json")) == Curve.of(told)


# ---------------------------------------------------------------- intervals and words


def test_subjects_count_once_however_many_seeds_they_have() -> None:
    found = estimate({"mug": [0.0, 0.0, 0.0], "can": [0.3]})
    assert found is not None and found.mean == pytest.approx(0.15)
    assert (found.low, found.high) == (0.0, pytest.approx(0.3)), "either subject may be drawn twice"


def test_seeds_are_drawn_within_subjects() -> None:
    apart = estimate({"mug": [-0.2, 0.2], "can": [-0.2, 0.2]})
    assert apart is not None and apart.mean == 0
    assert apart.low == -0.2 and apart.high == 0.2, "with each subject's mean alone the interval would be a point"
    assert estimate({}) is None


def test_the_interval_covers_what_it_says() -> None:
    import numpy as np

    chance, held = np.random.default_rng(0), 0
    for trial in range(60):
        shift = chance.normal(0, 0.02, 20)
        found = estimate({f"{n}": list(shift[n] + chance.normal(0, 0.01, 2)) for n in range(20)}, seed=trial)
        assert found is not None
        held += found.low <= 0 <= found.high
    assert held >= 51, "about 95 % of 60"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.001, 0.02, "up"), (-0.009, 0.02, "not down"), (-0.03, -0.001, "down"), (-0.03, 0.02, "cannot tell")],
)
def test_words_follow_the_interval(low: float, high: float, word: str) -> None:
    assert Estimate((low + high) / 2, low, high, subjects=8).verdict == word
    assert Estimate((low + high) / 2, low, high, subjects=1).verdict == "cannot tell"


def test_nothing_is_claimed_where_evaluators_disagree_in_sign() -> None:
    up, down, flat = Estimate(0.05, 0.01, 0.1, 8), Estimate(-0.001, -0.002, 0.001, 8), Estimate(0.0, -0.004, 0.004, 8)
    assert page.conclude({KEY: up, OTHER: up}, ("up",)) == "holds"
    assert page.conclude({KEY: up, OTHER: down}, ("up",)).startswith("no claim")
    assert page.conclude({KEY: up, OTHER: flat}, ("up",)) == "cannot tell"
    assert page.conclude({KEY: flat, OTHER: up}, ("up", "not down")) == "holds"
    assert page.conclude({KEY: up, OTHER: None}, ("up",)) == "cannot tell", "half of the evaluators are missing"
    assert page.conclude({TEXT: Estimate(-0.05, -0.06, -0.04, 8)}, ("up", "not down")) == "fails"


# ---------------------------------------------------------------- late decline


def test_a_flat_noisy_curve_does_not_decline() -> None:
    import numpy as np

    chance = np.random.default_rng(1)
    steps = range(100, 1100, 100)
    flat = {f"{n}": {step: 0.5 + chance.normal(0, 0.05) for step in steps} for n in range(40)}
    blocks = blocks_of("a", flat)
    by_own_peak = np.mean([values[1000] - max(values.values()) for values in flat.values()])
    found = estimate(verdicts.late_decline(blocks, "a", KEY))
    assert found is not None
    assert by_own_peak < -0.06, "the naive way sees a fall where there is none"
    assert found.low < 0.01 and found.mean > -0.03


def test_a_decline_is_seen() -> None:
    falling = {
        f"{n}": {step: 0.5 - abs(step - 300) / 5000 + n / 100 for step in range(100, 1100, 100)} for n in range(5)
    }
    found = verdicts.late_decline(blocks_of("a", falling), "a", KEY)
    assert found == {name: [pytest.approx(-0.14)] for name in falling}
    alone = verdicts.late_decline(blocks_of("a", {"0": falling["0"]}), "a", KEY)
    assert alone == {"0": [pytest.approx(-0.14)]}


# ---------------------------------------------------------------- 1x


def humped(subject: str, seed: int, peak: int, spike: int = 0) -> dict[str, Any]:
    values = {s: 0.6 - ((s - peak) / 1000) ** 2 + 0.4 * (s == spike) for s in range(50, 801, 50)}
    return row((subject, CLASS.name, seed), values)


def test_1x_is_the_smoothed_peak_over_subjects() -> None:
    rows = [humped("mug", 0, 300), humped("can", 0, 400)]
    found = one_x.find(rows, ["mug", "can"])
    assert found is not None and found["one_x"] == 350 and found["edge"] is None
    assert found["interval"] == [300, 400]


def test_one_lucky_save_is_not_the_peak() -> None:
    rows = [humped("mug", 0, 300, spike=750)]
    rows[0]["points"][750][OTHER] -= 0.1  # the other evaluator does not see the luck
    found = one_x.find(rows, ["mug"])
    assert found is not None and found["one_x"] < 500
    raw = {step: sum(one[step] for one in found["evaluators"].values()) for step in found["smoothed"]}
    assert max(raw, key=lambda step: raw[step]) == 750, "without smoothing it would be"


def test_1x_counts_whole_seeds_and_sees_the_edge(tmp_path: Path) -> None:
    rows = [humped("mug", 0, 900), humped("can", 0, 900), humped("mug", 1, 200)]
    found = one_x.find(rows, ["mug", "can"])
    assert found is not None and found["seeds"] == [0] and found["edge"] == "last"
    assert one_x.find(rows[:1], ["mug", "can"]) is None
    said = one_x.keep(Standing(rows, [], 4), ["mug", "can"], terms=TERMS, span=Span(800, 50), out=tmp_path)
    assert "still rises" in said and "still rises" in (tmp_path / "one_x.md").read_text()
    assert one_x.read_one_x(tmp_path) == (800, TERMS)


def test_an_evaluator_that_cannot_tell_the_subject_is_not_asked() -> None:
    rows = [humped("mug", 0, 300)]
    rows[0]["levels"]["reach"] = {KEY: 0.9, OTHER: 0.41}
    found = one_x.find(rows, ["mug"])
    assert found is not None and list(found["evaluators"]) == [KEY]
    rows[0]["levels"]["reach"] = {KEY: 0.1, OTHER: 0.41}
    with pytest.raises(RunError, match="tells the untrained base"):
        one_x.find(rows, ["mug"])


def test_stages_refuse_without_1x(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["main", "--out", str(tmp_path), "--work", str(tmp_path)])
    assert refused.value.code == 2 and "one-x` first" in capsys.readouterr().err
    write_json(tmp_path / "one_x.json", {"format": one_x.FORMAT, "weights": "of another base"})
    with pytest.raises(SystemExit):
        main(["main", "--out", str(tmp_path), "--work", str(tmp_path)])
    assert "peaks elsewhere" in capsys.readouterr().err


# ---------------------------------------------------------------- arms


def test_arms_differ_in_what_they_are_named_after(tmp_path: Path) -> None:
    cells = make_cells(STAGES["objectives"].arms, ["thunder_can"], 1, terms=TERMS, span=Span(500, 100), work=tmp_path)
    plains = {str(cell.labels["arm"]): make_recipe(cell.recipe).plain() for cell in cells}
    ours = plains[OURS.name]
    assert (ours["data"]["crops"], ours["data"]["slot_dropout"], ours["evaluate"]["patience"]) == (1, 0, 0)
    both = plains["structured, structured, slot dropout, crops"]["data"]
    assert (both["crops"], both["slot_dropout"]) == (8, 0.3)
    for plain in plains.values():
        for key in ("name", "captions", "regularization", "data", "subject"):
            del plain[key]
    assert all(plain == plains[OURS.name] for plain in plains.values())


def test_true_captions_say_where_each_photo_was_taken(tmp_path: Path) -> None:
    from ipseity.data.subject import read_subject

    upper = next(arm for arm in STAGES["objectives"].arms if arm.true_captions)
    names = [*arms.subjects_of("reporting", 8), *arms.subjects_of("development", 4)]
    (cell, *rest) = make_cells((upper,), names, 1, terms=TERMS, span=Span(5, 1), work=tmp_path)
    assert len(rest) == 11, "every place has its words"
    photos = read_subject(make_recipe(cell.recipe).subject).photos
    assert photos[0].slots["background"] == "on a kitchen table" and all(photo.slots for photo in photos)
    assert photos[0].mask is not None


def test_a_slot_is_left_out_of_the_set_alone(tmp_path: Path) -> None:
    from ipseity.data.phrases import phrases_for

    cells = make_cells(STAGES["slots"].arms, ["thunder_can"], 1, terms=TERMS, span=Span(5, 1), work=tmp_path)
    banks = {str(cell.labels["arm"]): cell.recipe["regularization"]["bank"] for cell in cells}
    whole = phrases_for("can", living=False, bank=banks["all slots"])
    bare = phrases_for("can", living=False, bank=banks["without background"])
    assert whole.background and not bare.background and bare.colour == whole.colour


def test_sizes_train_at_least_as_many_steps_as_their_largest_set_has_pictures(tmp_path: Path) -> None:
    one_x.keep(Standing([humped("mug", 0, 300)], [], 1), ["mug"], terms=TERMS, span=Span(800, 50), out=tmp_path)
    said: list[int] = []

    def planned(chosen: Any, stage: Any, one: int, *, terms: Terms) -> Any:
        span, cells = real(chosen, stage, one, terms=terms)
        said.extend(make_recipe(cell.recipe).fit.max_train_steps for cell in cells)
        return span, cells

    from benchmarks.proof import __main__ as verbs

    real = verbs._planned
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verbs, "_planned", planned)
        main(["sizes", "--out", str(tmp_path), "--work", str(tmp_path), "--estimate", "--subjects", "1"])
    assert len(said) == 10 and set(said) == {2100}, "a multiple of 300 that is not below 2,000"


def test_pictures_that_runs_share_are_weighed_once() -> None:
    weigh = arms.Weighing(TERMS, Span(500, 100))
    first, again = weigh(CLASS, "harbor_can", "can"), weigh(CLASS, "thunder_can", "can")
    assert first - again == pytest.approx((64 + 6 + 3 + 8) * 12 * arms.DRAW)
    small, large = Arm("50", "structured", "structured", images=50), Arm("200", "structured", "structured", images=200)
    grown = weigh(small, "harbor_can", "can"), weigh(large, "harbor_can", "can")
    assert grown[1] - grown[0] == pytest.approx(100 * 12 * arms.DRAW), "50 are drawn, then 150 more"


# ---------------------------------------------------------------- stopping early


def test_an_early_stop_leaves_whole_blocks(tmp_path: Path) -> None:
    stage = STAGES["main"]
    cells = make_cells(stage.arms, ["thunder_can", "harbor_can"], 2, terms=TERMS, span=Span(500, 100), work=tmp_path)
    places = [(cell.labels["seed"], cell.labels["subject"]) for cell in cells]
    assert places == sorted(places, key=lambda place: (place[0], place[1] != "thunder_can")), "first seeds first"
    curves = {100: 0.3, 200: 0.5, 500: 0.4}
    rows = [row((str(c.labels["subject"]), str(c.labels["arm"]), int(c.labels["seed"])), curves) for c in cells[:9]]
    left = [cell.name for cell in cells[9:]]
    found = page.find(stage, Standing(rows, left, 24), one_x=100, span=Span(500, 100), told=("command", "Terms."))
    assert set(found.blocks) == {("thunder_can", 0)}, "harbor_can has three arms of six"
    page.lay_out("main", found, tmp_path)
    text = (tmp_path / "main.md").read_text()
    assert "9 of 24 runs are in" in text and "harbor_can, structured, none, seed 1" in text
    assert "| plain, class images | 0.300 | 0.400 | 0.300 | 0.300 | 0.400 |" in text
    assert (tmp_path / "main.svg").read_text().count('class="arm5"') == 3


def test_time_is_measured_before_it_is_promised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three cells of which the last is a million times as long: it does not fit, and is listed."""
    asked: list[str] = []

    def read(cell: Cell) -> dict[str, Any] | None:
        asked.append(cell.name)
        return {"name": cell.name} if asked.count(cell.name) > 1 else None  # finished, once it has been run

    cells = [Cell({"arm": name}, {"subject": {"photos": "photos/mug"}}, weight) for name, weight in (("a", 1), ("b", 1), ("c", 1e6))]  # fmt: skip
    seen: list[Standing] = []
    prints_and_ends_well = "this"  # a module of Python's own
    spent = run_cells(cells, jobs=1, hours=0.1, show=seen.append, work=Work(prints_and_ends_well, read))
    told = capsys.readouterr().out
    assert "Measured: all 3 cells" in told and "of which --hours 0.1 holds about 1" in told
    assert seen[-1].left == ["c"] and [one["name"] for one in seen[-1].rows] == ["a", "b"]
    assert spent.startswith("2 ran now")


# ---------------------------------------------------------------- pages


def test_pictures_stand_at_the_quantile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gaps = [0.3, -0.1, 0.2, 0.0, 0.1]
    for arm, factor in ((CLASS, 0.0), (OURS, 1.0)):
        drawn = [{"prompt": f"p{n}", "seed": n, "scores": {KEY: factor * gap, OTHER: factor * gap}} for n, gap in enumerate(gaps)]  # fmt: skip
        write_json(tmp_path / arm.name / "000500.json", {"pictures": drawn})
        for folder in ("untrained", "000100", "000500"):
            (tmp_path / arm.name / folder).mkdir()
            for n in range(5):
                Image.new("RGB", (128, 128), (40 * n, 0, 0)).save(tmp_path / arm.name / folder / f"{n:02d}.png")
    monkeypatch.setattr(pictures, "curve_folder", lambda cell: tmp_path / str(cell.labels["arm"]))
    cells = make_cells((CLASS, OURS), ["thunder_can"], 1, terms=TERMS, span=Span(500, 100), work=tmp_path)
    pair = (cells[0], cells[1])
    assert [pictures.choose([pair], 500, q).prompt for q in (0, 0.5, 1)] == ["p1", "p4", "p0"]
    path = pictures.write_pictures(
        {"thunder_can": [pair], "harbor_can": []}, one_x=100, span=Span(500, 100), quantile=0.5, out=tmp_path
    )
    text = path.read_text()
    assert "quantile 0.5" in text and '* **thunder_can**: "p4"' in text and "+0.100" in text
    assert "Not shown, since both arms have not run: harbor_can." in text
    with Image.open(tmp_path / "pictures.png") as sheet:
        assert sheet.size == (4 + 6 * 132, 30 + 148 + 4)
        assert sheet.getpixel((4 + 5 * 132 + 60, 100)) == (160, 0, 0)


def test_curves_of_all_arms_share_their_axes(tmp_path: Path) -> None:
    import re
    import xml.etree.ElementTree as Tree

    panels = {"identity": {"a": [(0, 0.1), (100, 0.2)], "b & c": [(0, 0.1), (100, 0.9)]}, "not measured": {"a": []}}
    draw_curves(tmp_path / "curves.svg", panels)
    text = (tmp_path / "curves.svg").read_text()
    Tree.fromstring(text)
    axes = [re.findall(r'<text class="axis"[^>]*>[^<]*', part) for part in text.split('<g class="arm')[1:]]
    assert len(axes) == 2 and axes[0] == axes[1]
    assert "not measured" not in text and "b &amp; c" in text


# ---------------------------------------------------------------- the whole way


@pytest.mark.slow
def test_a_curve_goes_on_where_it_was_left(tmp_path: Path) -> None:
    quick = (
        'evaluate.score_scenes=["in the jungle"]',
        'evaluate.pick_scenes=["on the beach"]',
        'evaluate.score=["toy_vit"]',
    )
    terms = Terms(images=2, inference_steps=1, pictures=1, set=quick)
    (cell,) = make_cells((OURS,), ["thunder_can"], 1, terms=terms, span=Span(2, 1), work=tmp_path)
    assert curve.read_curve(cell) is None
    recipe = make_recipe(cell.recipe)
    folders = [event for event in curve.trace(recipe) if type(event).__name__ == "Wrote"]
    assert folders and weights_mark() in str(curve.curve_folder(cell))
    told = curve.read_curve(cell)
    assert told is not None and list(told["points"]) == [1, 2] and told["set_pictures"] == 2
    assert {KEY, "colour/pixels", "readable/pixels", "leakage/toy_vit"} <= told["points"][2].keys()
    assert {"identity/toy_clip", "prompt_fidelity/toy_clip"} <= told["picking"][2].keys()
    assert not any("toy_clip" in key for key in told["points"][2]), "what picks never scores"
    assert math.isfinite(Curve.of(told).seconds(2))

    first, second = (curve.curve_folder(cell) / f"{step:06d}.json" for step in (1, 2))
    kept, stamp, scores = second.read_bytes(), second.stat().st_mtime_ns, read_json(first)["scores"]
    first.unlink()
    assert curve.read_curve(cell) is None
    again = list(curve.trace(recipe))
    assert not [event for event in again if type(event).__name__ == "Stepped"], "nothing is trained again"
    assert (second.read_bytes(), second.stat().st_mtime_ns) == (kept, stamp)
    assert read_json(first)["scores"] == pytest.approx(scores)


def test_curves_ask_for_every_evaluator_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ipseity.vision.toy_vit import PLUGIN

    monkeypatch.setattr(PLUGIN, "missing", classmethod(lambda cls: "not installed: pip install it"))
    (cell,) = make_cells((CLASS,), ["thunder_can"], 1, terms=TERMS, span=Span(2, 1), work=tmp_path)
    with pytest.raises(MissingPackage, match="'toy_vit' scores the curves"):
        list(curve.trace(make_recipe(cell.recipe)))
    assert not list(tmp_path.rglob("*.png"))
