"""`ipseity bench toybox`: shipped subjects, controls, checks of the truth, going on, refusals."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ipseity import api
from ipseity.bases.sdxl import SDXL
from ipseity.core.files import read_json
from ipseity.core.registry import find
from ipseity.data.subject import SubjectOptions, hold_out, read_subject
from ipseity.evaluation.toybench import toys_folder
from ipseity.evaluation.truth import Truth
from ipseity.flows import controls, scoring
from ipseity.flows.cases import BenchWish
from tests.flows.test_bench import RECIPE
from tests.flows.test_story import finish
from tests.surfaces.test_cli import call, refused

SUBJECT = "berry_bowl"


@pytest.fixture(scope="module")
def recipe(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "mine.toml"
    path.write_text(RECIPE.format(weights=tiny_folder))
    return path


@pytest.fixture(scope="module")
def identity(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An identity that moves nothing yet, with the facts that training writes."""
    lora, base = find("methods", "lora"), SDXL.load(SDXL.Options(weights=str(tiny_folder)))
    subject = read_subject(SubjectOptions(photos=toys_folder() / SUBJECT, class_noun="bowl"))
    split = hold_out(subject)
    learner = lora.begin(base, split.train, {}, lora.Options(rank=2))
    facts = {
        "photos": {photo.path.name: photo.sha256 for photo in subject.photos},
        "trained_on": [photo.sha256 for photo in split.train.photos],
    }
    path = tmp_path_factory.mktemp("identity") / "bowl.safetensors"
    replace(learner.identity(), facts=facts).save(path)
    learner.close()
    return path


Made = tuple[BenchWish, list[Any], Path]


@pytest.fixture(scope="module")
def made(identity: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    asked = BenchWish(
        api.bench_data("toybox", None), run=(identity,), recipe=str(recipe), subjects=(SUBJECT,), prompts="0-2",
        images_per_prompt=1, evaluator=("toy_vit",), out=tmp_path_factory.mktemp("bench") / "out", split="development",
    )  # fmt: skip
    return asked, *finish(api.bench("toybox", asked))


def test_files_and_tables(made: Made) -> None:
    _, events, folder = made
    assert sorted(path.name for path in folder.iterdir()) == [
        f"toybox-development.{kind}" for kind in ("csv", "json", "md")
    ]
    rows = list(csv.DictReader((folder / "toybox-development.csv").read_text().splitlines()))
    kinds = {row["prompts"] for row in rows if row["metric"] == "identity"}
    assert kinds == {"recontextualization", "untrained", "pasted", "real photos"}
    assert {row["prompts"] for row in rows if row["metric"] == "colour"} == kinds
    assert not [row for row in rows if row["metric"] in ("mark", "readable")], "a bowl of stripes bears no mark"
    told = read_json(folder / "toybox-development.json")
    assert told["command"].startswith("ipseity bench toybox --run") and "--data" not in told["command"]
    assert len(told["pictures"]) == 3 * 4, "drawn, class word, untrained and pasted"
    tables = [event for event in events if type(event).__name__ == "Tabulated"]
    assert [table.title.split(",")[0] for table in tables] == ["Toybox", "What the checks are worth"]
    assert all(len(row) == len(table.head) for table in tables for row in table.rows)
    assert {row[0] for row in tables[1].rows} == {"colour", "count"}


def test_the_pasted_subject_is_the_true_one(made: Made) -> None:
    _, _, folder = made
    pictures = read_json(folder / "toybox-development.json")["pictures"]
    colour = {
        kind: [one["scores"]["colour/pixels"] for one in pictures if one["prompts"] == kind]
        for kind in ("pasted", "untrained")
    }
    assert min(colour["pasted"]) > 0.8 > max(colour["untrained"]), "an untaught base of tiny widths draws no bowl"
    pasted, bare = ([one for one in pictures if one["prompts"] == kind][1] for kind in ("pasted", "untrained"))
    facts = read_subject(SubjectOptions(photos=toys_folder() / SUBJECT, class_noun="bowl"))
    photo = hold_out(facts).train.photos[1]
    assert photo.mask is not None
    mask = np.asarray(photo.mask.convert("L").resize((64, 64), Image.Resampling.LANCZOS))
    over, under = (np.asarray(Image.open(one["file"]), dtype=int) for one in (pasted, bare))
    true = np.asarray(photo.image.resize((64, 64), Image.Resampling.LANCZOS), dtype=int)
    assert np.abs(over - true)[mask == 255].max() <= 1 and (over == under)[mask == 0].all()


def test_the_same_command_finds_everything_again(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, _, folder = made
    before = {kind: (folder / f"toybox-development.{kind}").read_bytes() for kind in ("csv", "md")}

    def never(*given: Any, **more: Any) -> Any:
        raise AssertionError("this was done before")

    for where, name in ((scoring, "score"), (scoring, "ceiling"), (controls, "lay_over"), (Truth, "look")):
        monkeypatch.setattr(where, name, never)
    finish(api.bench("toybox", asked))
    assert before == {kind: (folder / f"toybox-development.{kind}").read_bytes() for kind in ("csv", "md")}


def test_pictures_made_elsewhere(recipe: Path, tmp_path: Path) -> None:
    """Photos of the subject itself reach what real photos reach, and pasting does not beat them."""
    for index in (0, 1):
        (tmp_path / "theirs" / SUBJECT / str(index)).mkdir(parents=True)
        shutil.copyfile(toys_folder() / SUBJECT / f"0{index}.jpg", tmp_path / "theirs" / SUBJECT / str(index) / "0.jpg")
    asked = BenchWish(
        api.bench_data("toybox", None), images=tmp_path / "theirs", recipe=str(recipe), subjects=(SUBJECT,), prompts="0,1", images_per_prompt=1,
        evaluator=("toy_vit",), out=tmp_path / "out",
    )  # fmt: skip
    events, folder = finish(api.bench("toybox", asked))
    table = {row["metric"]: row for row in read_json(folder / "toybox-all.json")["table"]}
    assert table["colour"]["drawn"]["mean"] > 0.85 and table["count"]["drawn"]["mean"] == 1
    assert table["identity"]["drawn"]["mean"] > table["identity"]["controls"]["untrained"]
    noticed = " ".join(event.message for event in events if type(event).__name__ == "Noticed")
    assert f"No mark to check: {SUBJECT}" in noticed


WRONG: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "data": (("toybox", "--data", "x"), ("its subjects are shipped", "leave it out")),
    "no data": (("dreambench",), ("the data set is not named", "--data")),
    "unknown benchmark": (("toybocks",), ("no benchmark 'toybocks'", "toybox")),
    "unknown split": (("toybox", "--split", "reportings"), ("did you mean 'reporting'",)),
    "a split for the other one": (("dreambench", "--data", "x", "--split", "reporting"), ("--split", "toybox")),
    "another split's subject": (("toybox", "--split", "reporting", "--subjects", "comet_mug"), ("'comet_mug' is not of the split",)),
    "unknown subject": (("toybox", "--subjects", "comet_mog"), ("did you mean 'comet_mug'",)),
    "another protocol": (("toybox", "--protocol", "original"), ("--protocol original with the toybox",)),
    "unknown prompts": (("toybox", "--prompts", "9"), ("from 0 to 5",)),
    "nowhere to find runs": (("toybox", "--subjects", SUBJECT, "--run", "nowhere"), ("nowhere is not there",)),
    "no pictures there": (("toybox", "--subjects", SUBJECT, "--images", "nowhere"), ("nowhere is not there",)),
    "two sources": (("toybox", "--images", "x", "--run", "y"), ("--images and --run together",)),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_done_is_refused(name: str, tmp_path: Path) -> None:
    words, needles = WRONG[name]
    refused(call("bench", *words, "--out", tmp_path / "out", "--evaluator", "toy_vit"), *needles)
    assert not (tmp_path / "out").exists()
