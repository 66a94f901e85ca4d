"""The flow that makes a set: whoever filters is loaded, named and held to its role, and what is left out reaches the run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipseity.core.errors import MissingPackage, RecipeError
from ipseity.core.events import Noticed, Stepped, Wrote
from ipseity.core.files import read_json, write_json
from ipseity.core.registry import find
from ipseity.data.synthesis import read_set
from ipseity.flows.personalize import find_run
from ipseity.flows.setting import set_out
from ipseity.flows.synthesize import synthesize_flow
from ipseity.flows.train import train_flow
from ipseity.recipe import Recipe, make_recipe


def recipe_for(photos: Path, weights: Path, out: Path, **regularization: Any) -> Recipe:
    return make_recipe(
        {
            "runs": str(out / "runs"),
            "sets": str(out / "sets"),
            "subject": {"photos": str(photos), "class_noun": "mug"},
            "base": {"use": "sdxl", "weights": str(weights)},
            "method": {"use": "lora", "rank": 2},
            "regularization": {"use": "structured", "images": 5, **regularization},
            "data": {"crops": 1},
            "fit": {"max_train_steps": 1, "save_every": 1},
            "draw": {"num_inference_steps": 1, "guidance_scale": 1.0},
            "evaluate": {
                "pick": "toy_clip" if "filter_encoder" not in regularization else "minilm_conse",
                "score": ["toy_vit"], "pick_scenes": ["on the beach"], "images_per_scene": 1,
                "metrics": ["identity", "prompt_fidelity"],
            },
        }
    )  # fmt: skip


def said(events: Iterator[Any]) -> str:
    return " ".join(event.message for event in events if isinstance(event, Noticed))


def test_an_evaluator_holds_pictures_against_their_words(
    subject_folder: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = recipe_for(subject_folder, tiny_folder, tmp_path, filter_encoder="toy_clip", filter_share=0.4, share_a=0.0)
    setting = set_out(recipe)
    events = list(synthesize_flow(setting))
    manifest = read_json(setting.set_folder / "manifest.json")
    left_out = [row for row in manifest["pictures"] if "left_out" in row]
    assert 1 <= len(left_out) <= 2 and all("by toy_clip" in row["left_out"] for row in left_out)
    assert len(read_set(setting.set_folder)) == 5 - len(left_out)
    assert f"{len(left_out)} of 5 regularization pictures are left out" in said(iter(events))
    assert isinstance(events[-1], Wrote) and len(manifest["filters"]["filter_encoder_hash"]) == 64


@pytest.mark.parametrize(("named", "said"), [("minilm_conse", "evaluate.pick names too"), ("toy_vit", "reads both")])
def test_whoever_picks_or_cannot_read_does_not_filter(
    subject_folder: Path, tiny_folder: Path, tmp_path: Path, named: str, said: str
) -> None:
    with pytest.raises(RecipeError, match=said):
        set_out(recipe_for(subject_folder, tiny_folder, tmp_path, filter_encoder=named))
    assert not list(tmp_path.iterdir()), "nothing was made"


def test_an_evaluator_that_is_not_here_is_told_before_anything_is_drawn(
    subject_folder: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find("encoders", "toy_clip"), "missing", classmethod(lambda kind: "not bundled"))
    setting = set_out(recipe_for(subject_folder, tiny_folder, tmp_path, filter_encoder="toy_clip"))
    with pytest.raises(
        MissingPackage, match="'toy_clip' filters the regularization set and is not here \\(not bundled"
    ):
        list(synthesize_flow(setting))
    assert not list(tmp_path.iterdir())


def test_what_is_left_out_is_told_in_the_run(subject_folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    recipe = recipe_for(subject_folder, tiny_folder, tmp_path)
    setting, run = set_out(recipe), find_run(recipe)
    list(synthesize_flow(setting))
    told = read_json(setting.set_folder / "manifest.json")
    told["pictures"][1]["left_out"], told["counts"]["left_out"] = "nearly empty", {"nearly empty": 1}
    write_json(setting.set_folder / "manifest.json", told)
    flow = train_flow(setting, run)
    for event in flow:
        if isinstance(event, Stepped):
            break
    flow.close()
    words = [record["message"] for record in run.events() if record["event"] == "Noticed"]
    assert any("1 of 5 regularization pictures are left out of the set (1 nearly empty)" in word for word in words)
