"""The whole story through the api on SDXL's architecture at toy widths: set, training, pick, scores, report, use, export."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ipseity import api
from ipseity.core.files import read_json
from ipseity.core.identity import Identity
from ipseity.flows.personalize import find_run, whole_flow
from ipseity.flows.setting import set_out
from ipseity.flows.synthesize import synthesize_flow
from ipseity.flows.train import train_flow
from ipseity.recipe import Recipe, make_recipe


def recipe_for(photos: Path, weights: Path, out: Path, **changes: Any) -> Recipe:
    data = {
        "name": "story",
        "seed": 3,
        "runs": str(out / "runs"),
        "sets": str(out / "sets"),
        "subject": {"photos": str(photos), "class_noun": "mug"},
        "base": {"use": "sdxl", "weights": str(weights)},
        "method": {"use": "lora", "rank": 4},
        "captions": {"use": "structured"},
        "regularization": {"use": "structured", "images": 4},
        "fit": {"max_train_steps": 4, "save_every": 2, "learning_rate": 1e-3},
        "draw": {"num_inference_steps": 2},
        "evaluate": {"pick_scenes": ["on the beach"], "score_scenes": ["in the jungle"], "score": ["toy_vit"]},
    }
    for table, values in changes.items():
        data[table] = {**data.get(table, {}), **values} if isinstance(values, dict) else values  # type: ignore[dict-item]
    return make_recipe(data)


def finish(flow: Iterator[Any]) -> tuple[list[Any], Any]:
    events = []
    while True:
        try:
            events.append(next(flow))
        except StopIteration as end:
            return events, end.value


@pytest.fixture(scope="module")
def story(
    subject_folder: Path, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Any], Path, Recipe]:
    recipe = recipe_for(subject_folder, tiny_folder, tmp_path_factory.mktemp("story"))
    events, report = finish(whole_flow(recipe, ["told"]))
    return events, report, recipe


def test_the_story_is_told_in_order(story: tuple[list[Any], Path, Recipe]) -> None:
    events, report, _ = story
    kinds = [type(event).__name__ for event in events]
    assert kinds.count("Stepped") == 4
    assert kinds.count("Saved") == kinds.count("Scored") == 2
    assert (
        kinds.index("Forecast")
        < kinds.index("Stepped")
        < kinds.index("Saved")
        < kinds.index("Scored")
        < kinds.index("Picked")
    )
    assert report.name == "report.html"


def test_the_report_stands_alone(story: tuple[list[Any], Path, Recipe]) -> None:
    _, report, _ = story
    page = report.read_text()
    assert "http://" not in page.replace("http://www.w3.org", "") and 'src="/' not in page
    assert page.count("data:image/") > 8
    assert "ipseity" in page and "toy_vit" in page
    scores = read_json(report.parent / "scores.json")
    assert scores


def test_the_identity_knows_where_it_comes_from(story: tuple[list[Any], Path, Recipe]) -> None:
    _, report, recipe = story
    identity = Identity.load(report.parents[1] / "identity.safetensors")
    assert identity.method == "lora" and identity.base == "sdxl"
    assert identity.facts["recipe_hash"] == recipe.hash()
    assert identity.facts["scores"]
    assert any(float(tensor.abs().max()) > 0 for name, tensor in identity.tensors.items() if "lora_B" in name)


def test_generate_draws_the_identity_and_is_repeatable(story: tuple[list[Any], Path, Recipe], tmp_path: Path) -> None:
    run = story[1].parents[1]
    _, first = finish(api.generate_run(run, ["a photo of a sks mug on the beach"], count=2, seed=5, out=tmp_path / "a"))
    _, again = finish(api.generate_run(run, ["a photo of a sks mug on the beach"], count=2, seed=5, out=tmp_path / "b"))
    events, bare = finish(
        api.generate_run(run, ["a photo of a mug on the beach"], count=2, seed=5, scale=0, out=tmp_path / "c")
    )
    assert [Image.open(path).tobytes() for path in first] == [Image.open(path).tobytes() for path in again]
    assert Image.open(first[0]).tobytes() != Image.open(bare[0]).tobytes()
    assert any("lacks the token" in getattr(event, "message", "") for event in events)
    assert '"seed": 5' in Image.open(first[0]).text["parameters"]


@pytest.mark.parametrize("form", ["diffusers", "kohya"])
def test_exports_draw_the_same_in_a_fresh_stock_pipeline(
    story: tuple[list[Any], Path, Recipe], tiny_folder: Path, tmp_path: Path, form: str
) -> None:
    from diffusers import StableDiffusionXLPipeline

    run = story[1].parents[1]
    _, files = finish(api.export_run(run, form, out=tmp_path))
    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)

    def picture() -> bytes:
        made = pipeline(
            "a photo of a sks mug", num_inference_steps=2, generator=torch.Generator().manual_seed(1), output_type="np"
        )
        return made.images[0].round(4).tobytes()

    bare = picture()
    pipeline.load_lora_weights(str(files[0].parent), weight_name=files[0].name)
    attached = picture()
    assert bare != attached
    _, ours = finish(api.generate_run(run, ["a photo of a sks mug"], count=1, seed=1, out=tmp_path / "ours"))
    pipeline_image = pipeline(
        "a photo of a sks mug", num_inference_steps=2, guidance_scale=4.0, generator=torch.Generator().manual_seed(1)
    ).images[0]
    difference = max(abs(a - b) for a, b in zip(Image.open(ours[0]).tobytes(), pipeline_image.tobytes(), strict=True))
    assert difference <= 1, f"{form}: pictures differ by {difference} of 255"


def test_the_same_command_resumes(subject_folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    """Stopping after the first save and repeating gives the identity of an unbroken run, bit for bit."""
    unbroken = recipe_for(subject_folder, tiny_folder, tmp_path / "one")
    broken = recipe_for(subject_folder, tiny_folder, tmp_path / "two")
    for recipe, stop_at in ((unbroken, None), (broken, 3), (broken, None)):
        setting, run = set_out(recipe), find_run(recipe)
        finish(synthesize_flow(setting))
        flow = train_flow(setting, run)
        for event in flow:
            if type(event).__name__ == "Stepped" and event.step == stop_at:
                flow.close()
                assert run.manifest()["state"] == "stopped"
    runs = [find_run(recipe) for recipe in (unbroken, broken)]
    identities = [Identity.load(run.checkpoints()[-1].identity) for run in runs]
    assert identities[0].tensors.keys() == identities[1].tensors.keys()
    assert all(torch.equal(identities[0].tensors[name], identities[1].tensors[name]) for name in identities[0].tensors)
    told = [
        [(e["event"], e.get("step")) for e in run.events() if e["event"] in ("Stepped", "Saved", "Scored", "Picked")]
        for run in runs
    ]
    assert told[0] == told[1]


def test_a_missing_set_names_the_command(subject_folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    recipe = recipe_for(subject_folder, tiny_folder, tmp_path)
    with pytest.raises(api.Refusal, match="synthesize"):
        finish(train_flow(set_out(recipe), find_run(recipe)))
