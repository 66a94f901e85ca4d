"""The comparison of sets with a plain loop: both draw the same pictures, and the page says what was not measured."""

import argparse

import pytest

from benchmarks import synthesis
from ipseity.bases.sdxl import SDXL


@pytest.fixture(scope="module")
def base() -> SDXL:
    return SDXL.tiny()


def test_both_sides_draw_the_same_pictures(base: SDXL) -> None:
    given = argparse.Namespace(images=3, batch=2, steps=1)
    ways = synthesis.variants(base, given)
    assert [asked is None for asked in ways.values()] == [False, False, False, True], "the tiny base ships no LoRA"
    prompts = [{request.prompt for request in asked[0]} for asked in ways.values() if asked]
    assert [len(words) for words in prompts] == [1, 3, 3]
    name, asked = next(iter(ways.items()))
    assert asked is not None
    row = synthesis.race(base, name, *asked, rounds=1)
    assert row["difference"] <= 1 and row["ratio"] > 0
    assert set(row["shares"]) == {"text", "denoiser", "decoder", "rest"} and sum(
        row["shares"].values()
    ) == pytest.approx(1)
    assert all(0 < row["shares"][part] < 1 for part in ("text", "denoiser", "decoder"))
    page = synthesis.page([row, "few-step"], [synthesis.beside(32, count=2)], "command")
    assert "| few-step | not shipped |" in page and f"{row['difference']} of 255" in page and "| 32 px |" in page
