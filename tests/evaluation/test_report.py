"""The page: whole, small, without a request, with everything it was told and nothing that it was not."""

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ipseity.core.errors import RunError
from ipseity.evaluation import charts
from ipseity.evaluation.flags import Flag
from ipseity.evaluation.pick import pick
from ipseity.evaluation.report import LARGEST_BYTES, BeforeAfter, Report, Sample, Shown, render, write_report
from ipseity.evaluation.suite import Summary
from ipseity.evaluation.table import Row, tabulate, verdict
from tests.evaluation.parts import scene

KEYS = ("identity/toy_clip", "prompt_fidelity/toy_clip")
SAVES = tuple((step, {KEYS[0]: 0.5 + step / 1000, KEYS[1]: 0.34 - step / 5000}) for step in (100, 200, 300))


def full_report() -> Report:
    after = {
        "identity/toy_vit": torch.tensor([0.8, 0.82, 0.84]),
        "prompt_fidelity/toy_clip": torch.tensor([0.30, 0.31, math.nan]),
    }
    before = {"identity/toy_vit": torch.tensor([0.5, 0.52, 0.49])}
    rows = tabulate(
        after, before, {"identity/toy_vit": torch.tensor([0.9, 0.88])}, role="score", prompts=["a", "b", "b"]
    )
    picture = scene("red", "green")
    return Report(
        subject="Müller & <b>Söhne</b>",
        verdict=verdict(rows, (Flag("leakage", True, "x"),), what="this mug"),
        facts={"Class": "mug", "Base": "toybox"},
        pairs=tuple(BeforeAfter(f"a mug, place {i}", 2000 + i, picture, scene("blue", "gray")) for i in range(4)),
        photos=(
            Shown(picture, "train", ("a sks mug on a table", "sks mug", "")),
            Shown(picture, "pick"),
            Shown(picture, "score"),
        ),
        samples=tuple(Sample(picture, f"a mug number {i}") for i in range(14)),
        samples_total=64,
        losses={"subject": [(step, 1 / step) for step in range(1, 301)]},
        saves=SAVES,
        keys=KEYS,
        untrained={KEYS[0]: 0.5},
        real={KEYS[0]: 0.9},
        choice=pick(SAVES, identity_key=KEYS[0], fidelity_key=KEYS[1]),
        rows=rows,
        flags=(Flag("memorization", False, "None of 12 pictures."), Flag("leakage", True, "The class word moved.")),
        notes=("One photo is blurred.",),
        repeat=("ipseity train recipe.toml",),
        use=('ipseity generate runs/x "a sks mug & more"',),
        provenance={"Seed": "0"},
    )


class Outline(HTMLParser):
    """Reads a page: its tags must close in order; addresses and ids are collected."""

    VOID = {"meta", "img", "br", "hr", "link", "input"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.alts: list[str | None] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.addresses += [value for key, value in attrs if key in ("src", "href", "srcset", "action")]
        self.alts += [found.get("alt")] if tag == "img" else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"


def read(page: str) -> Outline:
    outline = Outline()
    outline.feed(page)
    assert not outline.open
    return outline


def test_the_page_is_whole_and_asks_for_nothing(tmp_path: Path) -> None:
    path = write_report(tmp_path / "report", full_report())
    page = path.read_text(encoding="utf-8")
    outline = read(page)
    assert path.name == "report.html" and sorted(p.name for p in path.parent.iterdir()) == [
        "report.html",
        "scores.json",
    ]
    assert all(address.startswith("data:image/webp;base64,") for address in outline.addresses)
    assert not {"script", "link", "iframe"} & set(outline.tags) and "url(" not in page and "@import" not in page
    assert all(outline.alts), "every picture has words for those who cannot see it"
    assert len(page) < 200_000


def test_the_page_tells_what_it_was_told_and_escapes_it() -> None:
    page = render(full_report())
    for words in (
        "Müller &amp; &lt;b&gt;Söhne&lt;/b&gt;", "Held out to score the result", "2 more wordings",
        "The first 12 of 64", "seed 2003", "real photos", "One photo is blurred.",
        "ipseity train recipe.toml", "a sks mug &amp; more",
        "0.820", "flag raised", "Why this step", "Loss: subject", "Identity (toy_clip)", "Both at once",
        "beware of leakage",
    ):  # fmt: skip
        assert words in page, words
    assert "<b>Söhne</b>" not in page and page.count("<img") == 4 * 2 + 3 + 12


@pytest.mark.parametrize(
    "part",
    ["pairs", "photos", "samples", "losses", "saves", "rows", "flags", "notes", "facts", "provenance"],
)
def test_missing_parts_are_left_out(part: str) -> None:
    whole = full_report()
    read(render(replace(whole, **{part: type(getattr(whole, part))()})))


def test_an_empty_report_is_still_a_page() -> None:
    page = render(Report("mug", "Nothing was measured."))
    read(page)
    assert page.count("<section>") == 0 and "mug" in page
    no_base = replace(full_report(), pairs=(BeforeAfter("p", 1, None, scene("red", "gray")),), choice=None)
    assert "untrained base: p" not in render(no_base).lower()


def test_many_large_noisy_pictures_still_make_a_page_to_mail() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (700, 700, 3), np.uint8))
    heavy = replace(
        full_report(),
        pairs=tuple(BeforeAfter("p", i, noise, noise) for i in range(6)),
        photos=(Shown(noise, "train"),) * 6,
    )
    assert len(render(heavy)) < LARGEST_BYTES


def test_scores_are_plain_json(tmp_path: Path) -> None:
    report = replace(full_report(), real={KEYS[0]: math.nan})
    data = json.loads((write_report(tmp_path, report).parent / "scores.json").read_text(), parse_constant=pytest.fail)
    row = next(row for row in data["rows"] if row["evaluator"] == "toy_vit")
    assert (row["metric"], row["role"], round(row["after"]["mean"], 3), round(row["before"]["mean"], 3)) == (
        "identity",
        "score",
        0.82,
        0.503,
    )
    assert data["choice"]["step"] == report.choice.step and data["real"][KEYS[0]] is None and len(data["saves"]) == 3


def test_a_place_that_cannot_be_written_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError):
        write_report(tmp_path / "file" / "report", Report("mug", "-"))


def row(metric: str, after: tuple, before: tuple | None, evaluator: str = "e", role: str = "score") -> Row:
    return Row(metric, evaluator, role, Summary(*after, 9), None if before is None else Summary(*before, 9))


def test_the_verdict_follows_the_numbers() -> None:
    clear = row("identity", (0.8, 0.75, 0.85), (0.5, 0.45, 0.55))
    slight = row("identity", (0.55, 0.45, 0.6), (0.5, 0.45, 0.55))
    worse = row("identity", (0.4, 0.35, 0.45), (0.5, 0.45, 0.55))
    deaf = row("prompt_fidelity", (0.2, 0.18, 0.22), (0.3, 0.28, 0.32))
    assert "clearly more like this mug" in verdict([clear], what="this mug")
    assert "a little more like" in verdict([slight], what="this mug")
    assert "no more like" in verdict([worse], what="this mug")
    assert "1 of 2 evaluators" in verdict([clear, worse], what="this mug")
    assert "less well than before" in verdict([clear, deaf], what="this mug")
    assert "beware of leakage" in verdict([clear], (Flag("leakage", True, ""),), what="this mug")
    assert "no warning" in verdict([clear], (Flag("leakage", False, ""),), what="this mug")
    assert "Nothing was measured" in verdict([deaf], what="this mug")


def test_the_verdict_asks_those_that_did_not_pick() -> None:
    flattering = row("identity", (0.9, 0.85, 0.95), (0.5, 0.45, 0.55), "toy_clip", "pick")
    honest = row("identity", (0.4, 0.35, 0.45), (0.5, 0.45, 0.55), "toy_vit")
    assert "no more like" in verdict([flattering, honest], what="this mug")


def test_ticks_are_round_and_inside() -> None:
    assert charts.ticks(0, 100, 5) == [0, 20, 40, 60, 80, 100]
    assert charts.ticks(0.27, 0.345) == [0.28, 0.3, 0.32, 0.34]
    for low, high in ((1e-6, 2e-6), (-3, 4), (0.9999, 1.0001), (7, 7e6)):
        found = charts.ticks(low, high)
        assert 2 <= len(found) <= 6 and low <= found[0] and found[-1] <= high * (1 + 1e-9)


def test_charts_stay_inside_their_frame_and_survive_odd_values() -> None:
    flat = charts.line_chart([(1, 0.5), (2, 0.5)], about="a <flat> line")
    assert "a &lt;flat&gt; line" in flat
    assert charts.line_chart([(1, math.nan)], about="x") == ""
    long = charts.line_chart(
        [(i, math.sin(i)) for i in range(5000)], about="x", levels=[charts.Level("top", 3.0)], mark=2500
    )
    lines = " ".join(re.findall(r'points="([^"]+)"', long))
    places = [(float(x), float(y)) for x, y in (place.split(",") for place in lines.split())]
    assert places and len(long) < 12_000
    assert all(0 <= x <= charts.WIDTH and 0 <= y <= charts.HEIGHT for x, y in places)
