"""Licences are told before anything is fetched, by asking no more than the card."""

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from ipseity.flows.licences import UNSTATED, before_fetching, licence_rows
from ipseity.recipe import Recipe, make_recipe

SDXL = "stabilityai/stable-diffusion-xl-base-1.0"


def recipe_of(tmp_path: Path, **base: Any) -> Recipe:
    return make_recipe({"subject": {"photos": str(tmp_path), "class_noun": "mug"}, "base": {"use": "sdxl", **base}})


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A Hub with one card: gives the patterns that were fetched; nothing is on this machine."""
    fetched: list[list[str]] = []
    card = tmp_path / "hub" / "README.md"
    card.parent.mkdir()
    card.write_text("---\nlicense: other\nlicense_name: some-licence\n---\n")

    def hub(weights: str, *, allow_patterns: list[str], local_files_only: bool, **_: Any) -> str:
        if local_files_only or weights == "nobody/nothing":
            raise OSError("not here")
        fetched.append(allow_patterns)
        return str(card.parent)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    return fetched


def test_a_known_licence_is_told_without_asking(tmp_path: Path, asked: list[list[str]]) -> None:
    (told,) = before_fetching(recipe_of(tmp_path, weights=SDXL, download=True))
    assert "Open RAIL++-M" in told and f"https://huggingface.co/{SDXL}" in told and not asked


def test_an_unknown_one_is_read_from_the_card_alone(tmp_path: Path, asked: list[list[str]]) -> None:
    (told,) = before_fetching(recipe_of(tmp_path, weights="somebody/finetune", download=True))
    assert "some-licence" in told and asked == [["README.md"]]
    (told,) = before_fetching(recipe_of(tmp_path, weights="nobody/nothing", download=True))
    assert UNSTATED in told


def test_nothing_is_told_where_nothing_is_fetched(tmp_path: Path, asked: list[list[str]]) -> None:
    (tmp_path / "here").mkdir()
    for base in ({"weights": SDXL}, {"weights": str(tmp_path / "here"), "download": True}):
        assert before_fetching(recipe_of(tmp_path, **base)) == ()
    assert not asked


def test_the_list_names_what_is_known(asked: list[list[str]]) -> None:
    rows = {(row["room"], row["name"]): row for row in licence_rows()}
    assert rows["bases", "sdxl"]["weights"] == SDXL
    assert "non-commercial" in rows["methods", "instantid"]["licence"]
    assert "CC0" in rows["encoders", "face_dlib"]["licence"]
    assert all(row["licence"] for row in rows.values()) and not asked
