"""Control of the warnings on the toybox itself: a LoRA of zero steps raises none."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from ipseity.core.files import read_json
from ipseity.flows.personalize import whole_flow
from ipseity.recipe import make_recipe

pytestmark = pytest.mark.slow
SUBJECT = Path(str(files("ipseity") / "assets" / "subjects" / "comet_mug"))


def flags_after(steps: int, out: Path) -> dict[str, bool]:
    """Train on the toybox without regularization and give the report's warnings by name."""
    data: dict[str, Any] = {
        "name": f"steps-{steps}",
        "seed": 0,
        "runs": str(out / "runs"),
        "sets": str(out / "sets"),
        "subject": {"photos": str(SUBJECT), "class_noun": "mug"},
        "base": {"use": "toybox"},
        "method": {"use": "lora", "rank": 16},
        "captions": {"use": "plain"},
        "regularization": {"use": "none"},
        "fit": {"max_train_steps": steps, "save_every": max(1, steps)},
        "draw": {"num_inference_steps": 12},
    }
    *_, report = whole_flow(make_recipe(data), [])
    found = read_json(report.path.parent / "scores.json")
    return {flag["name"]: flag["raised"] for flag in found["flags"]}


def test_zero_steps_are_not(tmp_path: Path) -> None:
    assert flags_after(0, tmp_path) == {"memorization": False, "leakage": False}
