"""`ipseity bench dreambench` on a small data set of the same shape: protocols, tables, going on, refusals."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image

from ipseity import api
from ipseity.bases.sdxl import SDXL
from ipseity.core.errors import Refusal
from ipseity.core.files import read_json
from ipseity.core.identity import Identity
from ipseity.core.registry import find
from ipseity.data.subject import SubjectOptions, hold_out, read_subject
from ipseity.evaluation.dreambench import read_listing
from ipseity.flows import scoring, shots
from ipseity.flows.cases import BenchWish, read_cases
from ipseity.flows.contestants import case_recipe
from ipseity.flows.evaluators import load_evaluators, mark
from ipseity.flows.setting import hold_nothing
from tests.fixtures.dreambench import small_dreambench
from tests.flows.test_story import finish
from tests.surfaces.test_cli import call, refused

RECIPE = """
[subject]
photos = "photos"
class_noun = "mug"
[base]
use = "sdxl"
weights = "{weights}"
[method]
use = "lora"
rank = 2
[regularization]
use = "none"
[fit]
max_train_steps = 1
save_every = 1
[draw]
num_inference_steps = 1
batch_size = 2
height = 64
width = 64
[data]
crops = 1
[evaluate]
pick_scenes = ["in a kitchen"]
score_scenes = ["in the desert"]
images_per_scene = 1
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_dreambench(tmp_path_factory.mktemp("data") / "dreambench")


@pytest.fixture(scope="module")
def recipe(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "mine.toml"
    path.write_text(RECIPE.format(weights=tiny_folder))
    return path


@pytest.fixture(scope="module")
def identities(data: Path, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An identity of each subject that moves nothing yet, with the facts that training writes."""
    folder, lora = tmp_path_factory.mktemp("identities"), find("methods", "lora")
    base = SDXL.load(SDXL.Options(weights=str(tiny_folder)))
    for name in ("backpack", "dog"):
        subject = read_subject(SubjectOptions(photos=data / name, class_noun=name))
        split = hold_out(subject)
        learner = lora.begin(base, split.train, {}, lora.Options(rank=2))
        facts = {
            "photos": {photo.path.name: photo.sha256 for photo in subject.photos},
            "trained_on": [photo.sha256 for photo in split.train.photos],
        }
        replace(learner.identity(), facts=facts).save(folder / f"{name}.safetensors")
        learner.close()
    return folder


def wish(data: Path, out: Path, **more: Any) -> BenchWish:
    return BenchWish(data, out=out, evaluator=("toy_vit",), images_per_prompt=2, **more)


def pictures(folder: Path, source: Path, *, subjects: tuple[str, ...] = ("backpack", "dog"), count: int = 2) -> Path:
    """Pictures made elsewhere: the photo 00 of each subject, for each prompt."""
    for name in subjects:
        for index in range(3):
            place = folder / name / str(index)
            place.mkdir(parents=True)
            for number in range(count):
                shutil.copyfile(source / name / "00.png", place / f"{number}.png")
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_pictures_made_elsewhere(data: Path, tmp_path: Path) -> None:
    asked = wish(data, tmp_path / "out", images=pictures(tmp_path / "theirs", data), protocol="single-image")
    shutil.copytree(data, tmp_path / "data")
    for name in ("backpack", "dog"):  # the photo that is copied everywhere is the one to compare with
        shutil.copyfile(data / name / "00.png", tmp_path / "data" / name / "02.png")
    events, folder = finish(api.bench("dreambench", replace(asked, data=tmp_path / "data")))
    assert sorted(path.name for path in folder.iterdir()) == [
        f"dreambench-single-image.{kind}" for kind in ("csv", "json", "md")
    ]
    rows = rows_of(folder / "dreambench-single-image.csv")
    copied = [row for row in rows if row["metric"] == "identity" and row["prompts"] != "real photos"]
    assert {row["prompts"] for row in copied} == {"recontextualization", "accessory", "property"}
    assert all(float(row["mean"]) == pytest.approx(1, abs=1e-4) for row in copied), "copies of the reference"
    assert all(float(row["mean"]) == pytest.approx(0, abs=1e-4) for row in rows if row["metric"] == "diversity" and row["prompts"] == "property")  # fmt: skip
    assert any(row["prompts"] == "real photos" for row in rows) and not any(row["metric"] == "pres" for row in rows)
    assert (folder / "dreambench-single-image.md").read_text().startswith("# DreamBench, single-image: theirs")
    told = read_json(folder / "dreambench-single-image.json")
    assert told["protocol"] == "single-image" and told["evaluators"][0]["weights_hash"]
    assert {row["held_against"] for row in told["pictures"] if row["subject"] == "dog"} == {
        "a dog in the jungle", "a dog wearing a red hat", "a red dog",
    }  # fmt: skip
    assert any("their maker" in event.message for event in events if type(event).__name__ == "Noticed")


@pytest.fixture(scope="module")
def drawn(
    data: Path, recipe: Path, identities: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[BenchWish, list[Any], Path]:
    asked = wish(data, tmp_path_factory.mktemp("bench") / "out", run=(identities,), recipe=str(recipe))
    return asked, *finish(api.bench("dreambench", asked))


def test_identities_are_drawn_and_scored(drawn: tuple[BenchWish, list[Any], Path], data: Path) -> None:
    asked, events, folder = drawn
    told = read_json(folder / "dreambench-held-out.json")
    backpack = next(one for one in told["subjects"] if one["subject"] == "backpack")
    assert len(backpack["compared"]) == 1 and not set(backpack["compared"].values()) & set(
        backpack["identity"]["trained_on"]
    )
    assert {row["prompts"] for row in rows_of(folder / "dreambench-held-out.csv") if row["metric"] == "pres"} == {
        "class word"
    }
    table = {(line["metric"], line["prompts"]): line for line in told["table"]}
    assert {"without property", "property", "all prompts", "real photos"} <= {prompts for _, prompts in table}
    assert table["leakage", "class word"]["summary"]["mean"] == pytest.approx(0, abs=1e-3), "the identity moves nothing"
    assert len(told["pictures"]) == 2 * 3 * 2 + 2 + 1, (
        "two subjects, three prompts, two pictures; the class word beside"
    )
    assert told["command"].startswith("ipseity bench dreambench --data") and told["drawn_by"]["sampler"]
    shown = next(event for event in events if type(event).__name__ == "Tabulated")
    assert shown.title == "DreamBench, held-out: " + folder.name and len(shown.rows) == len(told["table"])
    first = told["pictures"][0]
    assert json.loads(Image.open(first["file"]).text["parameters"])["prompt"] == first["drawn_from"]  # type: ignore[attr-defined]
    assert "sks" in first["drawn_from"] and "sks" not in first["held_against"]


def test_the_same_command_finds_everything_again(
    drawn: tuple[BenchWish, list[Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, _, folder = drawn
    before = {kind: (folder / f"dreambench-held-out.{kind}").read_bytes() for kind in ("csv", "md")}

    def never(*given: Any, **more: Any) -> Any:
        raise AssertionError("this was done before")

    monkeypatch.setattr(shots, "draw", never)
    monkeypatch.setattr(scoring, "score", never)
    monkeypatch.setattr(scoring, "ceiling", never)
    finish(api.bench("dreambench", asked))
    assert before == {kind: (folder / f"dreambench-held-out.{kind}").read_bytes() for kind in ("csv", "md")}


def test_stopped_anywhere_it_loses_at_most_a_batch(drawn: tuple[BenchWish, list[Any], Path], tmp_path: Path) -> None:
    whole, _, folder = drawn
    asked = replace(whole, out=tmp_path / "out", subjects=("dog",))
    flow = api.bench("dreambench", asked)
    for event in flow:
        if type(event).__name__ == "Progressed" and event.stage == "pictures" and event.done >= 4:
            flow.close()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "pictures").rglob("*.png")}
    assert 3 <= len(kept) <= 5 and not (tmp_path / "out" / "tables").exists(), "no table before its pictures"
    _, again = finish(api.bench("dreambench", asked))
    assert (
        kept.items()
        <= {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "pictures").rglob("*.png")}.items()
    )
    wanted = [row for row in rows_of(folder / "dreambench-held-out.csv") if row["subject"] == "dog"]
    found = rows_of(again / "dreambench-held-out.csv")
    assert [(row["metric"], row["prompts"]) for row in found] == [(row["metric"], row["prompts"]) for row in wanted]
    assert [float(row["mean"]) for row in found] == pytest.approx([float(row["mean"]) for row in wanted], abs=1e-3)


def test_a_broken_picture_is_named(drawn: tuple[BenchWish, list[Any], Path], tmp_path: Path) -> None:
    whole, _, _ = drawn
    shutil.copytree(whole.out / "pictures", tmp_path / "out" / "pictures")
    broken = next((tmp_path / "out" / "pictures").rglob("*.png"))
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(Refusal, match=broken.name):
        finish(api.bench("dreambench", replace(whole, out=tmp_path / "out")))


def test_a_recipe_trains_each_subject_first(data: Path, recipe: Path, tmp_path: Path) -> None:
    asked = wish(data, tmp_path, recipe=str(recipe), subjects=("dog",), prompts="0")
    events, folder = finish(api.bench("dreambench", asked))
    run = next((tmp_path / "runs" / "held-out").iterdir())
    assert folder == tmp_path / "tables" / "mine" and read_json(run / "manifest.json")["state"] == "finished"
    told = read_json(folder / "dreambench-held-out.json")["subjects"][0]
    assert not set(told["compared"].values()) & set(told["identity"]["trained_on"])
    assert any(type(event).__name__ == "Stepped" for event in events)
    again, _ = finish(api.bench("dreambench", asked))
    assert not any(type(event).__name__ == "Stepped" for event in again), "a finished run is not trained again"
    found, _ = finish(api.bench("dreambench", replace(asked, recipe=None, run=(run.parent,), out=tmp_path / "other")))
    assert {path.name for path in (tmp_path / "other" / "pictures").rglob("*.png")} == {
        path.name for path in (tmp_path / "pictures").rglob("*.png")
    }, "the same identity, words, seeds and sampler are the same pictures"
    assert found


def test_protocols_train_on_what_they_say(data: Path, recipe: Path, tmp_path: Path) -> None:
    recipes = {}
    for protocol in ("held-out", "original", "single-image"):
        asked = wish(data, tmp_path, recipe=str(recipe), protocol=protocol, subjects=("dog",))
        [case] = read_cases(asked, read_listing(data), protocol)  # type: ignore[arg-type]
        recipes[protocol] = case_recipe(asked, case)
        counts = {"held-out": (2, 1), "original": (4, 4), "single-image": (1, 1)}
        assert (len(case.train), len(case.compared)) == counts[protocol]
    assert [one.evaluate.hold_out for one in recipes.values()] == [True, False, True]
    assert len({one.general.runs for one in recipes.values()}) == 3, "runs of different protocols lie apart"
    assert [path.name for path in recipes["single-image"].subject.photos.iterdir()] == ["02.png"]


def test_holding_nothing_out_is_said(data: Path) -> None:
    subject = read_subject(SubjectOptions(photos=data / "dog", class_noun="dog"))
    split = hold_nothing(subject)
    assert (split.train, split.pick, split.score) == (subject, (), ()) and "flatter" in split.notes[0]


def test_identities_that_do_not_follow_the_protocol_are_refused(
    data: Path, recipe: Path, identities: Path, tmp_path: Path
) -> None:
    identity = Identity.load(identities / "dog.safetensors")
    everything = list(identity.facts["photos"].values())
    replace(identity, facts={**identity.facts, "trained_on": everything}).save(tmp_path / "all.safetensors")
    old = {key: value for key, value in identity.facts.items() if key != "trained_on"}
    replace(identity, facts=old).save(tmp_path / "old.safetensors")

    def go(name: str, protocol: str) -> Any:
        return call(
            "bench", "dreambench", "--data", data, "--protocol", protocol, "--run", tmp_path / name, "--recipe", recipe,
            "--out", tmp_path / "out", "--subjects", "dog", "--prompts", 0, "--images-per-prompt", 1, "--evaluator", "toy_vit",
        )  # fmt: skip

    refused(go("all.safetensors", "held-out"), "trained on 00.png", "with which pictures are compared")
    refused(go("old.safetensors", "original"), "as 'original' says", "--protocol held-out")
    assert go("old.safetensors", "held-out").exit_code == 0, "what an older version trained on follows from the photos"
    assert go("all.safetensors", "original").exit_code == 0
    assert {path.name for path in (tmp_path / "out" / "tables" / "all").iterdir()} == {f"dreambench-original.{kind}" for kind in ("csv", "md", "json")}  # fmt: skip


WRONG: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "unknown benchmark": (("dreambooth",), ("no benchmark 'dreambooth'",)),
    "unknown protocol": (("--protocol", "origin"), ("did you mean 'original'",)),
    "unknown subject": (("--subjects", "bagpack"), ("did you mean 'backpack'",)),
    "a subject without photos": (("--subjects", "vase"), ("'vase' is in the list",)),
    "unknown prompts": (("--prompts", "7"), ("from 0 to 2",)),
    "nowhere to find runs": (("--run", "nowhere"), ("nowhere is not there",)),
    "no runs there": (("--run", "{data}"), ("no run and no identity",)),
    "no pictures there": (("--images", "{data}"), ("nothing to draw or score",)),
    "no folder of pictures": (("--images", "nowhere"), ("nowhere is not there",)),
    "two sources": (("--images", "x", "--run", "y"), ("--images and --run together",)),
    "an unknown recipe": (("--recipe", "data-centrik"), ("data-centric",)),
    "a recipe against the protocol": (("--set", "evaluate.hold_out=false"), ("the protocol is 'held-out'",)),
    "another subject's photos": (("--set", "subject.photos=x"), ("the benchmark fills it",)),
    "an unknown evaluator": (("--evaluator", "toy_vitt"), ("did you mean 'toy_vit'",)),
    "no DINO there": (("--dino", "{data}"), ("config.json",)),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_done_is_refused_before_anything_is_made(name: str, data: Path, tmp_path: Path) -> None:
    words, needles = WRONG[name]
    words = tuple(word.format(data=data) for word in words)
    what, words = (words[0], words[1:]) if name == "unknown benchmark" else ("dreambench", words)
    evaluator = () if "--evaluator" in words else ("--evaluator", "toy_vit")
    refused(call("bench", what, "--data", data, "--out", tmp_path / "out", *evaluator, *words), *needles)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_data_set(data: Path, tmp_path: Path) -> None:
    refused(call("bench", "dreambench", "--data", tmp_path), "prompts_and_classes.txt")
    shutil.copyfile(data / "prompts_and_classes.txt", tmp_path / "prompts_and_classes.txt")
    refused(call("bench", "dreambench", "--data", tmp_path), "no folder of a subject")


def test_runs_that_do_not_fit(data: Path, recipe: Path, identities: Path, tmp_path: Path) -> None:
    def go(*words: object) -> Any:
        return call("bench", "dreambench", "--data", data, "--evaluator", "toy_vit", "--out", tmp_path / "out", *words)

    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "recipe.toml").write_text(recipe.read_text())
    refused(go("--run", unfinished), "holds no identity yet")
    own = ("--recipe", recipe, "--subjects", "dog")
    refused(go("--run", identities / "backpack.safetensors", *own), "are no photos of dog", "--subjects")
    shutil.copyfile(identities / "dog.safetensors", tmp_path / "copy.safetensors")
    both = ("--run", identities / "dog.safetensors", "--run", tmp_path / "copy.safetensors")
    refused(go(*both, *own), "are both of subject 'dog'")
    refused(go("--run", identities / "dog.safetensors"), "learned on base 'sdxl'", "--recipe")
    assert not (tmp_path / "out").exists()


def test_published_evaluators_by_folder(tmp_path: Path) -> None:
    marks = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        torch.manual_seed(seed)
        sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = transformers.ViTConfig(image_size=224, patch_size=56, **sizes)
        transformers.ViTModel(config).save_pretrained(folder)
        transformers.ViTImageProcessorPil().save_pretrained(folder)
        found = load_evaluators(("toy_vit",), {"dino": str(folder)}, "cpu")
        assert list(found.loaded) == ["toy_vit", "dino"]
        assert mark(found.loaded["toy_vit"]) == load_evaluators(("toy_vit",), {}, "cpu").marks["toy_vit"]
        assert found.loaded["dino"]._prepare.resize == 256, "as the published scripts, not as the folder says"
        marks.append(found.marks["dino"])
    assert marks[0] != marks[1] and mark(found.loaded["dino"]) == marks[1]
    assert found.facts()[1]["weights"] == str(tmp_path / "1")
