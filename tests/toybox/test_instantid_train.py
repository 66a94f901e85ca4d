"""The training of InstantID's parts on a tiny base: that it predicts what use will predict, learns, goes on, and is read."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

pytest.importorskip("webdataset")

from ipseity.core.identity import Identity
from ipseity.core.types import Cond
from ipseity.core.weights import quiet
from ipseity.methods.instantid import InstantID, InstantIDOptions, Sitting
from ipseity.methods.parts.adapter_file import find_adapter, read_adapter
from tests.toybox.test_instantid_rows import FIVE, Eyes
from toybox.instantid.batches import Batch, Shown, Turn, draw_batch
from toybox.instantid.cache import Corpus, encode_rows
from toybox.instantid.draw import Artist, Manner, sheet, spread
from toybox.instantid.measure import Trial, auc, copy_paste, measure
from toybox.instantid.package import package, trained_student, write_student
from toybox.instantid.rows import Candidate, read_rows, write_rows
from toybox.instantid.student import Make, Student, halvings
from toybox.instantid.train import Course, Pace, Plan, read_base, train
from toybox.train import runs
from toybox.train import sizes as shapes
from toybox.train.package import assemble, write_base
from toybox.train.sizes import TINY
from toybox.train.tokenizer import train_tokenizer
from toybox.train.unet import build_painter

SENTENCES = ["a photo of a woman in the snow", "a man with short hair on the beach", "a portrait of a person"] * 4


@dataclass
class Crowd:
    """Four people of a plain colour each, twice, with a dark spot that differs."""

    shards: int = 2

    def facts(self) -> dict[str, Any]:
        return {"kind": "crowd"}

    def shard(self, index: int) -> Iterator[Candidate]:
        for who in (2 * index, 2 * index + 1):
            for view in range(2):
                array = np.full((32, 32, 3), (70 + 40 * who, 60, 190 - 40 * who), np.uint8)
                array[: 2 + 4 * view] = 0
                dense = np.concatenate([FIVE, FIVE + 1])
                yield Candidate(Image.fromarray(array), SENTENCES[who % 3], f"{who}-{view}", str(who), FIVE, dense)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base in SDXL's layout at toy widths, with random weights."""
    made, tokenizer = tmp_path_factory.mktemp("base"), train_tokenizer(SENTENCES, ["lantern"], size=700)
    painter = build_painter(len(tokenizer), TINY)
    vae = shapes.build_vae(TINY)
    vae.register_to_config(scaling_factor=0.25)
    with quiet():
        write_base(assemble({"vae": vae, **painter.modules()}, tokenizer), made)
    return made


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("rows")
    write_rows(Crowd(), Eyes(), folder=made)
    return made


def plan_of(folder: Path, rows: Path, out: Path, **more: Any) -> Plan:
    pace = Pace(steps=4, batch=4, lr=1e-3, warmup=2, average=0.5)
    return Plan(rows, folder, out, pace=pace, hidden=64, tokens=4, **more)


def woken(student: Student, seed: int = 3) -> Student:
    """Away from the silence that it starts in, on numbers that fp16 holds exactly."""
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in student.parameters():
            value.add_(torch.randn(value.shape, generator=chance), alpha=0.05)
            value.copy_(value.half().float())
    return student.eval()


def batch_of(corpus: Corpus, base: Any, **more: Any) -> Batch:
    shown = Shown(drop=(0, 0, 0), size_hints="plain", **more)
    return draw_batch(corpus, shown, turn=Turn(0, 0, 0, 2), side=base.resolution, levels=1000)


def test_training_predicts_what_the_method_will(folder: Path, rows: Path, tmp_path: Path) -> None:
    base, other = read_base(folder), read_base(folder)
    student = woken(Student(base, Make(3, tokens=4, hidden=64)))
    write_student(student, tmp_path, space="eyes:0")
    batch = batch_of(Corpus(rows, encode_rows(rows, base, folder)), base)
    noisy = torch.randn(batch.clean.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = student.predict(noisy, batch)
        text, pooled = student.encode(batch.ids, batch.keep)
        theirs = []
        for index in range(2):
            identity = identity_of(batch.embedding[index], other, tmp_path)
            cond = Cond(
                text=text[index : index + 1],
                pooled=pooled[index : index + 1],
                size_hints=batch.hints[index : index + 1],
            )
            level = other.path.levels(batch.t[index : index + 1])
            with InstantID.attach(other, [Sitting(identity)]):
                theirs.append(other.predict(noisy[index : index + 1], level, cond))
            bare = other.predict(noisy[index : index + 1], level, cond)
            assert (bare - theirs[-1]).abs().max() > 1e-2, (
                "the identity makes no difference: the comparison says nothing"
            )
    torch.testing.assert_close(ours, torch.cat(theirs), rtol=0, atol=2e-5)


def identity_of(embedding: Tensor, base: Any, weights: Path) -> Identity:
    told = InstantIDOptions(weights=str(weights), face_space="eyes:0", adapter_scale=1.0, control_scale=1.0)
    tensors = {
        "embedding": embedding,
        "points": torch.from_numpy(FIVE),
        "box": torch.tensor([4.0, 4.0, 30.0, 30.0]),
        "size": torch.tensor([32.0, 32.0]),
    }
    return Identity(
        tensors, base.name, base.fingerprint(), "instantid", "<a>", "person", options=told.model_dump(mode="json")
    )


def test_it_begins_as_the_base_alone_and_the_base_never_moves(folder: Path, rows: Path) -> None:
    base, plain = read_base(folder), read_base(folder)
    student = Student(base, Make(3, tokens=4, hidden=64))
    batch = batch_of(Corpus(rows, encode_rows(rows, base, folder)), base)
    with torch.no_grad():
        text, pooled = student.encode(batch.ids, batch.keep)
        cond = Cond(text=text, pooled=pooled, size_hints=batch.hints)
        silent = student.predict(batch.noise, batch)
        torch.testing.assert_close(
            silent, plain.predict(batch.noise, plain.path.levels(batch.t), cond), rtol=0, atol=1e-5
        )
        loud = Student(read_base(folder), Make(3, tokens=4, hidden=64, start="copied")).predict(batch.noise, batch)
    assert (loud - silent).abs().max() > 1e-3
    optimizer, losses = torch.optim.AdamW(student.learning().values(), 3e-3), []
    for _ in range(12):
        loss = student(batch).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    own = {name for name in base.parts()["unet"].state_dict() if "_ip." not in name}
    for part, module in plain.parts().items():
        held = base.parts()[part].state_dict()
        assert all(torch.equal(value, held[name]) for name, value in module.state_dict().items()), part
    assert own == set(plain.parts()["unet"].state_dict())


@pytest.mark.parametrize(("learns", "hears", "learning"), [
    ("adapter", "identity", {"projection", "processors"}),
    ("net", "identity", {"projection", "net"}),
    ("both", "text", {"projection", "processors", "net"}),
])  # fmt: skip
def test_parts_learn_alone_or_together(folder: Path, rows: Path, learns: Any, hears: Any, learning: set[str]) -> None:
    base = read_base(folder)
    student = Student(base, Make(3, tokens=4, hidden=64, learns=learns, net_hears=hears))
    batch = batch_of(Corpus(rows, encode_rows(rows, base, folder)), base)
    with torch.no_grad():
        for (
            name,
            value,
        ) in student.net.named_parameters():  # beyond zero convolutions, which stop the gradient of all else
            value.add_(0.01 if "controlnet_" in name or "cond_embedding.conv_out" in name else 0)
        for one in student.processors.values():
            one.to_v_ip[0].weight.add_(0.01)
    student(batch).mean().backward()
    moved = {
        name.split(".")[0] for name, value in student.named_parameters() if value.grad is not None and value.grad.any()
    }
    assert moved == learning and {name.split(".")[0] for name in student.learning()} == learning
    with pytest.raises(ValueError, match=r"never hears who.*must hear.*Let the net"):
        Make(3, learns="net", net_hears="text")


def test_the_net_looks_at_points_at_the_side_of_latents() -> None:
    assert halvings(4) == (16, 32, 96) and halvings(8) == (16, 32, 96, 256)


def test_batches_follow_the_step_and_drop_what_was_asked(folder: Path, rows: Path) -> None:
    base = read_base(folder)
    corpus = Corpus(rows, encode_rows(rows, base, folder))
    told = {"side": 32, "levels": 1000}
    shown = Shown(drop=(0.1, 0.2, 0.3), reference="other", landmarks="dense", face_weight=1.0, times="bell")
    first, again, later = (draw_batch(corpus, shown, turn=Turn(0, step, 0, 300), **told) for step in (5, 5, 6))
    assert all(torch.equal(value, vars(again)[name]) for name, value in vars(first).items())
    assert not torch.equal(first.noise, later.noise)
    no_text, no_face = first.keep[:, 0] == 0, (first.embedding == 0).all(1)
    shares = [(no_text & ~no_face), (no_face & ~no_text), (no_text & no_face)]
    assert [share.float().mean().item() for share in shares] == pytest.approx([0.1, 0.2, 0.3], abs=0.08)
    assert not torch.equal(first.t, later.t) and first.control.shape == (300, 3, 32, 32)
    same = draw_batch(corpus, replace(shown, reference="same", drop=(0, 0, 0)), turn=Turn(0, 5, 0, 300), **told)
    other = draw_batch(corpus, replace(shown, drop=(0, 0, 0)), turn=Turn(0, 5, 0, 300), **told)
    seen = {tuple(row.tolist()) for row in same.embedding}
    assert len(seen) == 8 and {tuple(row.tolist()) for row in other.embedding} == seen
    # a view's colour is told by its dark band, so another view of a person is never the same vector
    numbers = np.random.default_rng([17, 0, 5, 0]).integers(0, 8, 300)
    assert (other.embedding != corpus.take("embedding", numbers.tolist())).any(1).all()


def test_a_resumed_run_is_the_unbroken_one_bit_for_bit(folder: Path, rows: Path, tmp_path: Path) -> None:
    whole, broken = plan_of(folder, rows, tmp_path / "whole"), plan_of(folder, rows, tmp_path / "broken")
    assert train(whole) == 4
    course = Course(broken)
    for _ in range(2):
        course.advance(course.progress())
    course.save()
    assert train(broken) == 4
    first, second = (runs.load_state(tmp_path / name / "checkpoint.pt") for name in ("whole", "broken"))
    assert first is not None and second is not None
    assert all(torch.equal(value, second["model"][name]) for name, value in first["model"].items())
    assert all(torch.equal(a, b) for a, b in zip(first["average"], second["average"], strict=True))
    with pytest.raises(ValueError, match=r"another hidden.*goes on as it began.*Name another folder"):
        Course(replace(broken, hidden=128))


def test_what_is_packaged_is_read_drawn_and_scored(folder: Path, rows: Path, tmp_path: Path) -> None:
    plan = plan_of(folder, rows, tmp_path / "run", shown=Shown(reference="other", face_weight=1.0))
    train(replace(plan, pace=replace(plan.pace, steps=2)))
    told = package(tmp_path / "run", tmp_path / "packed")
    file = find_adapter(tmp_path / "packed")
    assert (file.kind, file.encoder, file.input_width) == ("instantid", "eyes:0", 3) and told["step"] == 2
    student, _ = trained_student(tmp_path / "run")
    kept = runs.load_state(tmp_path / "run" / "weights.pt")
    assert kept is not None
    for name, value in student.learning().items():
        assert torch.equal(value, kept["weights"][name])
    package(tmp_path / "run", tmp_path / "packed", as_bin=True)
    assert [path.name for path in (tmp_path / "packed").glob("ip-adapter.*")] == ["ip-adapter.bin"]
    held = read_adapter(tmp_path / "packed" / "ip-adapter.bin")
    assert set(held) == {"image_proj", "ip_adapter"} and "layers.3.1.3.weight" in held["image_proj"]
    package(tmp_path / "run", tmp_path / "packed")
    artist = Artist(tmp_path / "packed", read_base(folder), Manner(steps=2))
    drawn = sheet(artist, rows, ["a woman", "a man"], people=2)
    assert drawn.size == (4 * 36 + 4, 2 * 36 + 4)
    judge = Eyes()
    judge.name, judge.space = "judge", "judge:0"
    with pytest.raises(ValueError, match=r"also conditions.*Another network.*Name another"):
        measure(artist, rows, out=tmp_path / "scores", scorer=Eyes(), trial=Trial(people=2, seeds=1))
    made = measure(artist, rows, out=tmp_path / "scores", scorer=judge, trial=Trial(people=3, seeds=2))
    assert (
        made["people"] == 3 and json.loads((tmp_path / "scores" / "figures.json").read_text())["drawn"] == made["drawn"]
    )
    picture = tmp_path / "scores" / "drawn" / "0002-1.png"
    before, stamp = picture.read_bytes(), (tmp_path / "scores" / "drawn" / "0000-0.png").stat().st_mtime_ns
    picture.unlink()
    assert (
        measure(artist, rows, out=tmp_path / "scores", scorer=judge, trial=Trial(people=3, seeds=2))["drawn"]
        == made["drawn"]
    )
    assert picture.read_bytes() == before and (tmp_path / "scores" / "drawn" / "0000-0.png").stat().st_mtime_ns == stamp
    with pytest.raises(ValueError, match=r"another trial.*One folder.*Name another"):
        measure(artist, rows, out=tmp_path / "scores", scorer=judge, trial=Trial(people=2, seeds=2))


def test_weights_of_dense_points_or_of_text_are_drawn_by_hand(folder: Path, rows: Path, tmp_path: Path) -> None:
    plan = plan_of(folder, rows, tmp_path / "run", net_hears="text", shown=Shown(landmarks="dense"))
    train(replace(plan, pace=replace(plan.pace, steps=1)))
    package(tmp_path / "run", tmp_path / "packed")
    base, row = read_base(folder), next(read_rows(rows))
    artist = Artist(tmp_path / "packed", base, Manner(steps=2, batch=2))
    two = artist.draw(row, ["a woman", "a man"], [0, 1])
    one = artist.draw(row, ["a man"], [1])
    assert np.array_equal(np.asarray(two[1]), np.asarray(one[0])) and base.parts()["unet"].encoder_hid_proj is None


def test_several_prompts_of_one_call_are_drawn_as_each_alone(folder: Path, rows: Path, tmp_path: Path) -> None:
    base = read_base(folder)
    write_student(woken(Student(base, Make(3, tokens=4, hidden=64))), tmp_path, space="eyes:0")
    other = read_base(folder)
    (tmp_path / "instantid.json").write_text(
        json.dumps({"space": "eyes:0", "recipe": {"net_hears": "identity", "shown": {"landmarks": "five"}}})
    )
    artist, row = Artist(tmp_path, other, Manner(steps=2, batch=2)), next(read_rows(rows))
    two = [np.asarray(one, int) for one in artist.draw(row, ["a woman", "a man"], [0, 1])]
    alone = [np.asarray(artist.draw(row, [word], [seed])[0], int) for seed, word in enumerate(("a woman", "a man"))]
    assert max(np.abs(a - b).max() for a, b in zip(two, alone, strict=True)) <= 1


def test_figures_tell_what_they_should() -> None:
    reference, target = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert copy_paste(reference, reference, target) == pytest.approx(1) and copy_paste(
        target, reference, target
    ) == pytest.approx(-1)
    people = [np.eye(4)[i] for i in range(4)]
    assert auc(people, people) == 1.0 and auc(people, [*people[1:], people[0]]) < 0.5
    assert np.isnan(auc([None, people[0]], [people[0], None]))
    mean, low, high = spread(np.array([[1.0, np.nan], [0.0, 0.0], [0.5, 0.5]]))
    assert mean == pytest.approx(0.5) and 0 <= low < mean < high <= 1
