"""Rows of faces: what is kept and why the rest is dropped, that a broken run goes on, and what a step is shown of them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("webdataset")

from ipseity.core.faces import Face
from toybox.instantid.batches import Shown, draw_control, face_weights
from toybox.instantid.cache import fit
from toybox.instantid.photos import Photos, blip
from toybox.instantid.rows import Candidate, Row, look, read_rows, read_shard, write_rows

FIVE = np.array([[10, 12], [22, 12], [16, 18], [11, 24], [21, 24]], np.float32)


class Eyes:
    """A face encoder that takes every bright picture for a face, and its colour for the person."""

    name, licence, width, space = "eyes", "none", 3, "eyes:0"

    def faces(self, image: Image.Image) -> list[Face]:
        colour = np.asarray(image.convert("RGB"), np.float32).mean((0, 1))
        if colour.max() < 20:
            return []
        small = 0.3 if colour[2] > 200 else 1.0
        box = tuple(float(side) * small for side in (4, 4, 30, 30))
        one = Face(box, torch.from_numpy(FIVE), torch.from_numpy(colour), 0.999)
        return [one] * (2 if colour[1] > 200 else 1)


@dataclass
class Colours:
    """A source of plain pictures, which counts how often each shard is asked for."""

    colours: tuple[tuple[int, int, int], ...]
    shards: int = 2
    asked: list[int] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        return {"kind": "colours", "colours": self.colours}

    def shard(self, index: int) -> Iterator[Candidate | str]:
        self.asked.append(index)
        for number, colour in enumerate(self.colours):
            caption = "" if colour == (9, 90, 9) else f"a plain picture, number {number}"
            yield Candidate(Image.new("RGB", (40, 32), colour), caption, f"{index}-{number}", identity=str(colour[0]))
        yield "unreadable"


SOME = ((90, 20, 30), (0, 0, 0), (20, 250, 20), (20, 20, 250), (9, 90, 9), (60, 60, 60))


def test_rows_come_back_and_what_is_dropped_is_counted(tmp_path: Path) -> None:
    told = write_rows(Colours(SOME), Eyes(), folder=tmp_path)
    assert told["rows"] == 4 and told["space"] == "eyes:0"
    reasons = ("face under 24 pixels", "no caption", "no face found", "several faces", "unreadable")
    assert told["dropped"] == dict.fromkeys(reasons, 2)
    rows = list(read_rows(tmp_path))
    assert [row.caption for row in rows[:2]] == ["a plain picture, number 0", "a plain picture, number 5"]
    assert [row.identity for row in rows] == ["90", "60"] * 2 and len({row.key for row in rows}) == 4
    assert rows[0].image.getpixel((0, 0)) == SOME[0] and rows[0].embedding.tolist() == list(SOME[0])
    assert rows[0].embedding.dtype == np.float32 and (rows[0].points == FIVE).all() and rows[0].space == "eyes:0"


def test_a_broken_run_goes_on_shard_by_shard(tmp_path: Path) -> None:
    whole, first, second = tmp_path / "whole", Colours(SOME), Colours(SOME)
    write_rows(Colours(SOME), Eyes(), folder=whole)
    half = write_rows(first, Eyes(), folder=tmp_path / "parts", part=(0, 2))
    assert half["done"] == 1 and not (tmp_path / "parts" / "manifest.json").exists()
    with pytest.raises(FileNotFoundError, match=r"manifest.json is not there.*A finished set.*Run"):
        list(read_rows(tmp_path / "parts"))
    write_rows(second, Eyes(), folder=tmp_path / "parts")
    assert first.asked == [0] and second.asked == [1], "a finished shard is not made again"
    for name in ("00000.tar", "00001.tar", "manifest.json"):
        assert (whole / name).read_bytes() == (tmp_path / "parts" / name).read_bytes(), name
    with pytest.raises(ValueError, match=r"begun with source.*one source and one encoder.*Name another folder"):
        write_rows(Colours(SOME[:2]), Eyes(), folder=whole)


def test_captions_are_said_where_nothing_else_says_them(tmp_path: Path) -> None:
    told = write_rows(Colours(SOME), Eyes(), folder=tmp_path, captioner=lambda image: f"something of {image.width} px")
    assert "no caption" not in told["dropped"] and told["rows"] == 6
    assert "something of 40 px" in {row.caption for row in read_rows(tmp_path)}


def test_a_face_that_is_not_where_the_maker_put_it_is_dropped() -> None:
    picture = Image.new("RGB", (40, 32), SOME[0])
    there = Candidate(picture, "a", "a", points=FIVE + 2)
    assert isinstance(look(Eyes(), there), Face)
    assert look(Eyes(), Candidate(picture, "a", "a", points=FIVE + 20)) == "face found elsewhere"


def test_photos_of_a_folder_stand_upright_with_their_captions(tmp_path: Path) -> None:
    (tmp_path / "ada").mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter to the right
    Image.new("RGB", (30, 20), (200, 30, 30)).save(tmp_path / "ada" / "one.jpg", exif=turned)
    (tmp_path / "ada" / "one.txt").write_text("a photo of\n ada ")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    source = Photos(tmp_path, people=True)
    first, second = list(source.shard(0))
    assert isinstance(first, Candidate) and second == "unreadable"
    assert first.image.size == (20, 30) and first.caption == "a photo of ada" and first.identity == "ada"
    with pytest.raises(FileNotFoundError, match=r"holds no photo.*needed.*Check"):
        Photos(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"no config.json.*BLIP.*needed.*Name its folder"):
        blip(tmp_path)


def test_points_move_with_the_picture_and_the_face_is_kept() -> None:
    canvas = np.zeros((200, 100, 3), np.uint8)
    canvas[170:174, 40:44] = 255
    row = Row(
        "a",
        Image.fromarray(canvas),
        "",
        np.array([[42, 172]] * 5, np.float32),
        np.array([30, 160, 54, 184.0]),
        np.zeros(3),
        "s",
    )
    made = fit(row, 50)
    assert made.image.size == (50, 50) and made.hints == (200, 100, 50, 0, 50, 50)
    x, y = made.moved(row.points)[0]
    assert (x, y) == (21, 36) and np.asarray(made.image)[round(y) - 1, round(x) - 1, 0] > 128


def test_the_middle_of_the_face_counts_more_and_the_mean_stays_one() -> None:
    boxes = torch.tensor([[64.0, 64.0, 128.0, 128.0]])
    weight = face_weights(boxes, 32, side=128, strength=3.0)
    assert weight.mean().item() == pytest.approx(1.0, abs=1e-6)
    assert weight[0, 0].argmax().item() in (23 * 32 + 23, 24 * 32 + 24, 23 * 32 + 24, 24 * 32 + 23)
    assert weight[0, 0, 24, 24] > 3.5 * weight[0, 0, 0, 0]
    assert face_weights(boxes, 32, side=128, strength=0.0).eq(1).all()


def test_dense_points_are_told_apart_by_hue() -> None:
    many = np.stack([np.linspace(10, 110, 12), np.full(12, 64.0)], 1)[None]
    drawn = draw_control(many, 128, landmarks="dense")
    assert drawn.shape == (1, 3, 128, 128) and drawn.min() >= 0 and drawn.max() == 1
    seen = {tuple(drawn[0, :, 64, round(x)].tolist()) for x in many[0, :, 0]}
    assert len(seen) == 12
    with pytest.raises(ValueError, match=r"Three shares.*needed.*Say"):
        Shown(drop=(0.5, 0.6, 0.1))


def test_people_have_views_that_differ_and_nobody_is_in_both_splits(driver: None) -> None:
    from toybox.instantid.people import DENSE, People

    train, heldout = People(count=3, views=2, side=64, dense=True), People("heldout", count=3, views=1, side=64)
    shown = list(train.shard(0))
    assert [one.identity for one in shown[::2]] == [one.identity for one in shown[1::2]]
    assert len({one.identity for one in [*shown, *heldout.shard(0)]}) == 6
    assert all(
        not np.array_equal(np.asarray(a.image), np.asarray(b.image))
        for a, b in zip(shown[::2], shown[1::2], strict=True)
    )
    again = train.candidate(1, 1)
    assert np.array_equal(np.asarray(again.image), np.asarray(shown[3].image)) and again.caption == shown[3].caption
    for one in shown:
        assert one.dense is not None and one.dense.shape == (DENSE, 2)
        low, high = one.dense.min(0), one.dense.max(0)
        assert (low < one.points.min(0)).all() and (one.points.max(0) < high).all(), (
            "the dense points surround the five"
        )
    with pytest.raises(ValueError, match=r"no split 'other'.*train or heldout.*Name"):
        People("other")


def test_nothing_in_a_shard_is_unpickled(tmp_path: Path) -> None:
    write_rows(Colours(SOME[:1], shards=1), Eyes(), folder=tmp_path)
    import io
    import tarfile

    bad = io.BytesIO()
    np.save(bad, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with tarfile.open(tmp_path / "00000.tar") as old:
        parts = {one.name: old.extractfile(one).read() for one in old.getmembers()}  # type: ignore[union-attr]
    with tarfile.open(tmp_path / "00000.tar", "w") as new:
        for name, data in parts.items():
            written = bad.getvalue() if name.endswith(".npy") else data
            info = tarfile.TarInfo(name)
            info.size = len(written)
            new.addfile(info, io.BytesIO(written))
    assert json.loads(next(v for k, v in parts.items() if k.endswith(".json")))["name"] == "0-0"
    with pytest.raises(ValueError, match="allow_pickle"):
        list(read_shard(tmp_path / "00000.tar"))
