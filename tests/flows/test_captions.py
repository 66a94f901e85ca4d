"""Captions written beside the photos, edited, and read again by the same recipe."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipseity.core.errors import RecipeError
from ipseity.core.events import Event, Noticed, Wrote
from ipseity.data.subject import read_subject
from ipseity.evaluation.toybench import toys_folder
from ipseity.flows.captions import captions_flow
from ipseity.recipe import Recipe, make_recipe


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in sorted((toys_folder() / "comet_mug").glob("*.jpg"))[:4]:
        shutil.copy(path, folder)
    (folder / "metadata.jsonl").write_text('{"file_name": "01.jpg", "background": "in the snow"}\n', encoding="utf-8")
    return folder


def recipe(photos: Path, **captions: Any) -> Recipe:
    return make_recipe({
        "subject": {"photos": str(photos), "class_noun": "mug"},
        "captions": captions,
        "evaluate": {"pick": "minilm_conse", "score": ["toy_vit"]},
    })  # fmt: skip


def finish(flow: Iterator[Event]) -> tuple[list[Event], Path]:
    told = []
    while True:
        try:
            told.append(next(flow))
        except StopIteration as end:
            return told, end.value


def said(chosen: Recipe) -> list[str]:
    """The full captions that training with this recipe shows."""
    subject = read_subject(chosen.subject)
    return [one.captions[0] for one in chosen.captions.plugin.examples(subject, chosen.captions.options)]


def test_captions_are_written_edited_and_read(photos: Path):
    chosen = recipe(photos, describer="toy_clip", bank="toybox")
    before = said(chosen)
    told, path = finish(captions_flow(chosen))
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["file_name"] for line in lines] == ["01.jpg", "00.jpg", "02.jpg", "03.jpg"]
    assert lines[0] == {"file_name": "01.jpg", "background": "in the snow"}, "the user's line stays"
    assert all(list(line) == ["file_name", "shape", "colour", "texture", "background"] for line in lines[1:])
    messages = [event.message for event in told if isinstance(event, Noticed)]
    assert "00.jpg: colour 'blue'" in messages[0] and any("1 of 4 photos have your words" in one for one in messages)
    assert [event.path for event in told if isinstance(event, Wrote)] == [path]
    assert said(chosen) == before == said(recipe(photos)), "what the file says is what the describer said"

    path.write_text(path.read_text(encoding="utf-8").replace('"blue"', '"navy"', 1), encoding="utf-8")
    assert "navy" in said(chosen)[0] and said(chosen)[1:] == before[1:]
    again = finish(captions_flow(chosen))[0]
    assert not [event for event in again if isinstance(event, Wrote)], "everything is the user's now"


def test_without_a_describer_the_slots_are_there_to_be_filled(photos: Path):
    before = said(recipe(photos))
    path = finish(captions_flow(recipe(photos)))[1]
    last = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    assert last == {"file_name": "03.jpg", "shape": "", "colour": "", "texture": "", "background": ""}
    assert said(recipe(photos)) == before


def test_captions_that_do_not_read_the_file_are_refused(photos: Path):
    untouched = (photos / "metadata.jsonl").read_bytes()
    for captions, words in (({"use": "plain"}, "use = 'structured'"), ({"own_words": False}, "own_words = true")):
        with pytest.raises(RecipeError, match=words):
            finish(captions_flow(recipe(photos, **captions)))
    assert (photos / "metadata.jsonl").read_bytes() == untouched


@pytest.mark.parametrize(("name", "role"), [("toy_clip", "picks the checkpoint"), ("toy_vit", "scores the result")])
def test_an_evaluator_with_another_role_may_not_describe(name: str, role: str):
    with pytest.raises(RecipeError, match=role):
        make_recipe({"subject": {"photos": "p", "class_noun": "mug"}, "captions": {"describer": name}})
