"""The comparisons: arms that are equal but for what is compared, and pages that say what is missing."""

import argparse
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import ablation, cost, dreambench
from benchmarks.cells import Cell, Standing, arm_recipe, run_cells
from benchmarks.processes import run
from ipseity.recipe import make_recipe, parse, read_text


@pytest.fixture
def chosen(tmp_path: Path) -> argparse.Namespace:
    return argparse.Namespace(
        steps=300, images=64, inference_steps=25, save_every=None, work=tmp_path, subjects=1, seeds=1, only=None,
        set=[], split="reporting", regularizations=[*ablation.REGULARIZATIONS, *ablation.MORE],
    )  # fmt: skip


def row(scores: dict[str, float], **labels: Any) -> dict[str, Any]:
    return {**labels, "scores": scores, "flags": {}, "peak_gib": None, "forecast_gib": None}


def test_arms_differ_in_captions_and_regularization_only(chosen: argparse.Namespace) -> None:
    plains = [make_recipe(arm_recipe(Path("photos"), "mug", arm, chosen)).plain() for arm in ablation.arms(chosen)]
    for plain in plains:
        del plain["name"], plain["captions"], plain["regularization"]
    assert all(plain == plains[0] for plain in plains)


def test_the_plain_arm_is_the_shelf_s_dreambooth_with_lora(chosen: argparse.Namespace) -> None:
    arm = make_recipe(arm_recipe(Path("photos"), "mug", dreambench.ARMS[dreambench.PLAIN], chosen))
    data = parse(read_text(Path("dreambooth-lora")), "dreambooth-lora")
    data["subject"] = {"photos": "photos", "class_noun": "mug"}
    assert arm.hash() == make_recipe(data).hash()


def test_settings_reach_every_run(chosen: argparse.Namespace) -> None:
    chosen.set = ["method.rank=4"]
    assert make_recipe(arm_recipe(Path("photos"), "mug", ("plain", "l2"), chosen)).plain()["method"]["rank"] == 4


def test_each_shipped_subject_has_one_role() -> None:
    roles = tomllib.loads(ablation.SPLITS.read_text(encoding="utf-8"))["toybox"]
    shipped = sorted(path.parent.name for path in files("ipseity").joinpath("assets/subjects").glob("*/subject.json"))
    assert sorted([*roles["development"], *roles["reporting"]]) == shipped


def test_nothing_begins_when_there_is_no_time(chosen: argparse.Namespace) -> None:
    cells = [Cell({"subject": "mug", "arm": "plain"}, arm_recipe(Path("photos"), "mug", ("plain", "none"), chosen))]
    seen: list[Standing] = []
    run_cells(cells, jobs=2, hours=0, show=seen.append)
    assert seen == [Standing([], ["mug, plain"], 1)]


def test_subjects_count_when_both_arms_ran(chosen: argparse.Namespace) -> None:
    key = dreambench.KEY
    better = {key: 0.6, f"before/{key}": 0.4, f"reach/{key}": 0.7, f"real/{key}": 0.8}
    rows = [
        row(better, subject="can", arm=dreambench.OURS),
        row({key: 0.5}, subject="can", arm=dreambench.PLAIN),
        row(better, subject="cat", arm=dreambench.OURS),
    ]
    page = dreambench.page(Standing(rows, ["cat, class images"], 4), chosen)
    assert "1 of 2 subjects of DreamBench ran with both arms" in page
    assert "| can | 0.600 | 0.500 | 0.400 | 0.700 | 0.800 | yes |" in page
    assert "beats both on 1 of 1 subjects" in page
    assert "Not run: cat, class images." in page


def test_only_whole_blocks_are_compared(chosen: argparse.Namespace) -> None:
    chosen.regularizations = list(ablation.REGULARIZATIONS)
    rows = [
        row({ablation.KEYS[0]: number / 10}, subject=subject, captions=captions, regularization=shown, seed=0)
        for subject in ("mug", "can")
        for number, (captions, shown) in enumerate(ablation.arms(chosen))
    ]
    page = ablation.page(Standing(rows[:-1], ["can, structured, structured, seed 0"], 12), chosen)
    assert "| structured | structured | 1 | 0.500 (+0.400; +0.400 to +0.400) |" in page
    assert "11 of 12 runs are in" in page


def test_the_power_of_a_power_law() -> None:
    rows = [{"steps": steps, "fit": 3 * steps**1.5} for steps in (10, 20, 40)]
    assert cost.power(rows, "steps", "fit").startswith("1.50 (1.50 to 1.50")
    noisy = [
        {"steps": x["steps"], "fit": x["fit"] * float(np.exp(e))} for x, e in zip(rows, (0.1, -0.2, 0.1), strict=True)
    ]
    assert "(-" in cost.power(noisy, "steps", "fit"), "three points leave one degree of freedom"


def test_a_program_s_time_and_memory() -> None:
    import sys

    ended = run([sys.executable, "-c", "held = b'x' * 2**26; print('done')"])
    assert ended.said == "done\n" and ended.seconds > 0 and ended.peak_gib > 2**26 / 2**30
    with pytest.raises(SystemExit, match="ended with 3"):
        run([sys.executable, "-c", "raise SystemExit(3)"])
