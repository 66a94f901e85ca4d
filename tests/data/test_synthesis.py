"""Sets of pictures: whole or not there, shared, resumed."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from ipseity.bases.sdxl import SDXL
from ipseity.core.drawing import DrawOptions
from ipseity.core.errors import Failure, RunError
from ipseity.core.events import Noticed, Progressed
from ipseity.core.types import Request
from ipseity.data import synthesis
from ipseity.data.filters import FilterOptions, Sieve
from ipseity.data.synthesis import (
    artist,
    draw_once,
    read_set,
    sampler_facts,
    set_folder,
    synthesize,
    tell_left_out,
)

DRAW = DrawOptions(num_inference_steps=1, guidance_scale=1.0, batch_size=2)
REQUESTS = tuple(
    Request(f"a photo of a mug {place}", seed)
    for seed, place in enumerate(("here", "there", "on a desk", "in the sun", "above"))
)


@pytest.fixture(scope="module")
def base():
    return SDXL.tiny()


def make(base, root: Path, requests=REQUESTS, options=DRAW):
    folder = set_folder(root, artist(base), requests, options)
    return folder, list(synthesize(base, requests, folder, options))


def pictures(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in root.glob("pictures/*/*.png")}


def test_a_set_is_drawn_and_read(base, tmp_path: Path):
    folder, events = make(base, tmp_path)
    told = [(event.stage, event.done) for event in events if isinstance(event, Progressed)]
    assert told == [
        ("synthesize", 0),
        ("synthesize", 2),
        ("synthesize", 4),
        ("synthesize", 5),
        ("look over the set", 5),
    ]
    pairs = read_set(folder)
    assert tuple(request for request, _ in pairs) == REQUESTS
    assert all(image.mode == "RGB" and image.size == (64, 64) and not image.info for _, image in pairs)
    first = base.pipeline("text")(
        REQUESTS[0].prompt, generator=torch.Generator().manual_seed(0), num_inference_steps=1, guidance_scale=1.0
    ).images[0]
    difference = (
        torch.tensor(list(first.tobytes()), dtype=torch.int)
        - torch.tensor(list(pairs[0][1].tobytes()), dtype=torch.int)
    ).abs()
    assert difference.max() <= 2, "the set holds what the stock pipeline draws"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["base_fingerprint"] == base.fingerprint() and manifest["licence"]


def test_what_is_there_is_never_made_again(base, tmp_path: Path):
    few, _ = make(base, tmp_path, REQUESTS[:3])
    before = pictures(tmp_path)
    many, events = make(base, tmp_path, (*REQUESTS[3:], *REQUESTS[:3]))
    assert few != many and len(before) == 3 and before.items() <= pictures(tmp_path).items()
    assert any("3 of 5" in event.message for event in events if isinstance(event, Noticed))
    _, events = make(base, tmp_path)
    told = [Progressed("synthesize", 5, 5), Progressed("look over the set", 5, 5)]
    assert [event for event in events if isinstance(event, Progressed)] == told
    assert len(read_set(few)) == 3
    _, events = make(base, tmp_path)
    assert events == told[:1], "a set that stands is not looked over again"


def test_interrupted_it_goes_on(base, tmp_path: Path):
    folder = set_folder(tmp_path, artist(base), REQUESTS, DRAW)
    events = synthesize(base, REQUESTS, folder, DRAW)
    for event in events:
        if isinstance(event, Progressed) and event.done == 2:
            break
    events.close()
    before = pictures(tmp_path)
    assert len(before) == 2 and not (folder / "manifest.json").exists()
    with pytest.raises(RunError, match="not complete.*ipseity synthesize"):
        read_set(folder)
    make(base, tmp_path)
    assert before.items() <= pictures(tmp_path).items() and len(read_set(folder)) == 5


def test_what_made_it_names_it(base):
    root, mark = Path("sets"), artist(base)
    one = set_folder(root, mark, REQUESTS, DRAW)
    assert one == set_folder(root, mark, REQUESTS, DRAW.model_copy(update={"batch_size": 7}))
    others = [
        set_folder(root, mark[::-1], REQUESTS, DRAW),
        set_folder(root, mark, REQUESTS[:4], DRAW),
        set_folder(root, mark, (*REQUESTS[:4], replace(REQUESTS[4], seed=99)), DRAW),
        set_folder(root, mark, REQUESTS, DRAW.model_copy(update={"num_inference_steps": 2})),
    ]
    assert len({one, *others}) == 5


def test_another_sampler_makes_other_pictures(tmp_path: Path):
    from diffusers import DDPMScheduler

    one, other, spaced = SDXL.tiny(), SDXL.tiny(), SDXL.tiny()
    other.pipeline("text").scheduler = DDPMScheduler.from_config(other.pipeline("text").scheduler.config)
    config = {**spaced.pipeline("text").scheduler.config, "timestep_spacing": "leading"}
    spaced.pipeline("text").scheduler = type(spaced.pipeline("text").scheduler).from_config(config)
    assert one.fingerprint() == other.fingerprint() == spaced.fingerprint()
    folders = [make(base, tmp_path, REQUESTS[:1])[0] for base in (one, other, spaced)]
    assert len(set(folders)) == 3 and len(pictures(tmp_path)) == 3
    told = json.loads((folders[1] / "manifest.json").read_text(encoding="utf-8"))["draw"]
    assert told["sampler"] == "DDPMScheduler"


def test_a_sampler_read_from_a_folder_is_the_same_one(base, tiny_folder: Path):
    loaded = SDXL.load(SDXL.Options(weights=str(tiny_folder)))
    assert sampler_facts(loaded) == sampler_facts(base)


def test_gone_and_broken_pictures_are_refused(base, tmp_path: Path):
    folder, _ = make(base, tmp_path)
    victim = sorted(tmp_path.glob("pictures/*/*.png"))[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match=f"{victim.name} is broken"):
        read_set(folder)
    victim.write_bytes(b"")
    with pytest.raises(RunError, match=f"{victim.name} is broken"):
        make(base, tmp_path)
    victim.unlink()
    with pytest.raises(RunError, match=f"{victim.name} is gone.*ipseity synthesize"):
        read_set(folder)
    make(base, tmp_path)
    assert len(read_set(folder)) == 5


def test_manifests_may_not_point_elsewhere(base, tmp_path: Path):
    folder, _ = make(base, tmp_path / "sets")
    Image.new("RGB", (8, 8)).save(tmp_path / "private.png")
    text = (folder / "manifest.json").read_text(encoding="utf-8")
    data = json.loads(text)
    data["pictures"][0]["file"] = "../private.png"
    (folder / "manifest.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(RunError, match="outside of"):
        read_set(folder)
    (folder / "manifest.json").write_text('{"format": "other"}', encoding="utf-8")
    with pytest.raises(RunError, match="not the manifest of a set"):
        read_set(folder)


def drawing(monkeypatch, flat, alike=None):
    """Let the pipeline give black frames at some seeds, as a broken sampler does, or what it drew at another seed."""
    genuine, kept = synthesis.draw, {}

    def draw(pipeline, prompts, seeds, options):
        at = iter(seeds)
        for images in genuine(pipeline, prompts, seeds, options):
            named = [(next(at), image) for image in images]
            kept.update(named)
            shown = [(seed, kept[(alike or {}).get(seed, seed)]) for seed, _ in named]
            yield [Image.new("RGB", image.size) if seed in flat else image for seed, image in shown]

    monkeypatch.setattr(synthesis, "draw", draw)


def told(events) -> str:
    return " ".join(event.message for event in events if isinstance(event, Noticed))


def test_flat_pictures_are_counted_told_and_left_out(base, tmp_path: Path, monkeypatch):
    drawing(monkeypatch, {1, 3})
    folder, events = make(base, tmp_path)
    assert "2 of 5 regularization pictures are left out of the set (2 one flat color)" in told(events)
    assert [request.seed for request, _ in read_set(folder)] == [0, 2, 4]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert [row.get("left_out") for row in manifest["pictures"]] == [
        None,
        "one flat color",
        None,
        "one flat color",
        None,
    ]
    assert manifest["counts"] == {"asked": 5, "left_out": {"one flat color": 2}}
    assert len(pictures(tmp_path)) == 5, "what is left out stays in the pool"
    assert told(make(base, tmp_path)[1]) == tell_left_out(folder) != "", "it is told each time"


def test_near_duplicates_are_marked_and_other_filters_make_another_set(base, tmp_path: Path, monkeypatch):
    drawing(monkeypatch, {}, alike={1: 0, 4: 0})
    folder, events = make(base, tmp_path)
    assert "(2 near-duplicate)" in told(events)
    rows = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["pictures"]
    assert rows[4]["left_out"] == f"near-duplicate of '{REQUESTS[0].prompt}' at seed 0"
    assert [request.seed for request, _ in read_set(folder)] == [0, 2, 3]
    there = pictures(tmp_path)
    whole = Sieve(FilterOptions(filter_copies=False))
    other = set_folder(tmp_path, artist(base), REQUESTS, DRAW, filters=whole.options)
    list(synthesize(base, REQUESTS, other, DRAW, sieve=whole))
    assert other != folder and len(read_set(other)) == 5 and pictures(tmp_path) == there


def test_other_weights_of_the_evaluator_look_again(base, tmp_path: Path):
    class Likes:
        name = "likes"

        def __init__(self, worst: int) -> None:
            self.worst = worst

        def embed(self, pixels):
            return torch.tensor([[float(row != self.worst)] for row in range(len(pixels))])

        def embed_text(self, prompts):
            return torch.ones(len(prompts), 1)

    options, kept = FilterOptions(filter_encoder="likes", filter_share=0.2), []
    for mark, worst in (("one", 2), ("one", 4), ("two", 4)):
        sieve = Sieve(options, Likes(worst), mark)
        folder = set_folder(tmp_path, artist(base), REQUESTS, DRAW, filters=options)
        list(synthesize(base, REQUESTS, folder, DRAW, sieve=sieve))
        kept.append([request.seed for request, _ in read_set(folder)])
    assert kept == [[0, 1, 3, 4], [0, 1, 3, 4], [0, 1, 2, 3]], "equal weights are believed, others look again"


def test_manifests_of_before_are_read(base, tmp_path: Path):
    folder, _ = make(base, tmp_path)
    data = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    rows = [{**row, "flat": row["seed"] == 2} for row in data["pictures"]]
    old = {key: value for key, value in data.items() if key not in ("filters", "counts")}
    (folder / "manifest.json").write_text(json.dumps({**old, "pictures": rows}), encoding="utf-8")
    assert [request.seed for request, _ in read_set(folder)] == [0, 1, 3, 4]
    assert "1 of 5 regularization pictures are left out" in tell_left_out(folder)


def test_a_base_that_draws_nothing_is_told(base, tmp_path: Path, monkeypatch):
    drawing(monkeypatch, {0, 1, 2, 3})
    with pytest.raises(Failure, match="4 of 5 regularization pictures are one flat color"):
        make(base, tmp_path)


@pytest.mark.parametrize(("number", "said"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "cannot be written")])
def test_full_and_read_only_disks(base, tmp_path: Path, monkeypatch, number: int, said: str):
    def refuse(self, *args, **kwargs):
        raise OSError(number, "no")

    monkeypatch.setattr(Image.Image, "save", refuse)
    with pytest.raises(RunError, match=said):
        make(base, tmp_path)
    assert not pictures(tmp_path)


def finish(events):
    """Run a generator to its end and give its events and its value."""
    told = []
    while True:
        try:
            told.append(next(events))
        except StopIteration as end:
            return told, end.value


def test_pictures_of_the_bare_base_are_drawn_once_and_shared_with_sets(base, tmp_path: Path):
    make(base, tmp_path, REQUESTS[:2])
    there = pictures(tmp_path)
    told, images = finish(draw_once(base, REQUESTS[:3], tmp_path, DRAW, what="untrained"))
    assert [(event.stage, event.done, event.total) for event in told] == [("untrained", 2, 3), ("untrained", 3, 3)]
    assert pictures(tmp_path).items() >= there.items(), "what the set had drawn was left alone"
    kept = [image for _, image in read_set(make(base, tmp_path)[0])]
    assert [image.tobytes() for image in images] == [image.tobytes() for image in kept[:3]]
    again, same = finish(draw_once(base, REQUESTS[:3], tmp_path, DRAW, what="untrained"))
    assert [(event.done, event.total) for event in again] == [(3, 3)]
    assert [image.tobytes() for image in same] == [image.tobytes() for image in images]
