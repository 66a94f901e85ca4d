"""Portraits on the true architecture at toy width: a scripted face encoder, random adapters, real pipelines."""

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.loaders import StableDiffusionXLLoraLoaderMixin
from peft import LoraConfig, get_peft_model_state_dict
from PIL import Image, ImageDraw
from typer.testing import CliRunner, Result

from ipseity.core import registry
from ipseity.core.drawing import DrawOptions, draw_all
from ipseity.core.errors import CapabilityError, RecipeError, Refusal, SubjectError, WeightsError
from ipseity.core.faces import Face
from ipseity.core.identity import Attachment, Identity, Sitting
from ipseity.core.options import Options
from ipseity.flows.additions import few_steps, loras_on, rescaled
from ipseity.flows.commission import LoraWish, PortraitWish, make_wish, parse_control, size_of
from ipseity.flows.people import Meant, Person, parse_person, pick, regions, within
from ipseity.flows.scene import Pose, Props, set_scene, spoken
from ipseity.flows.second_pass import cut_around, draw_again, is_small, whose
from ipseity.flows.styles import PLACE, dress, find_style, styles
from ipseity.methods.instantid import InstantID
from ipseity.surfaces.cli import app
from tests.contracts.test_methods import differences, predict, state
from tests.golden.instantid.toy import SPACE, WIDTH, Toy, make_toy
from tests.methods.toy_adapters import adapter, write_adapter, write_clip

DRAW = DrawOptions(num_inference_steps=1, guidance_scale=3.0, height=64, width=64)
SHAPE = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.55), (0.35, 0.75), (0.65, 0.75))
"""Points of a scripted face, as shares of its box."""


def face(left: float, top: float, right: float, bottom: float, who: int = 0) -> Face:
    points = torch.tensor([[left + x * (right - left), top + y * (bottom - top)] for x, y in SHAPE])
    embedding = torch.randn(WIDTH, generator=torch.Generator().manual_seed(who)) * 3
    return Face((left, top, right, bottom), points, embedding, 1.0)


class ScriptedOptions(Options):
    use: str = "face_scripted"


class Scripted:
    """Takes rectangles of (250, 10, who) for faces; in other pictures it finds what the test says."""

    Options = ScriptedOptions
    offers = frozenset({"image", "face"})
    name, licence, width, space = "face_scripted", "none", WIDTH, SPACE
    elsewhere: tuple[Face, ...] = ()

    @classmethod
    def missing(cls) -> str | None:
        return None

    @classmethod
    def load(cls, options: Any, device: Any = "cpu") -> "Scripted":
        return cls()

    def faces(self, image: Image.Image) -> list[Face]:
        array = np.asarray(image.convert("RGB")).astype(int)
        marked = (array[..., 0] == 250) & (array[..., 1] == 10)
        found = []
        for who in np.unique(array[..., 2][marked]).tolist():
            rows, columns = np.nonzero(marked & (array[..., 2] == who))
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            found.append(face(*(float(side) for side in box), who=who))
        return sorted(found or self.elsewhere, key=lambda one: -one.area_px)


PLUGIN = Scripted


def photo(path: Path, *boxes: tuple[int, int, int, int, int]) -> Path:
    """A gray photo with a marked face for each (left, top, right, bottom, who)."""
    noise = np.random.default_rng(0).integers(90, 160, (200, 200, 1)).repeat(3, 2).astype(np.uint8)
    image = Image.fromarray(noise)
    for left, top, right, bottom, who in boxes:
        ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), fill=(250, 10, who))
    image.save(path)
    return path


@pytest.fixture(autouse=True)
def _scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def points(*, group: str) -> list[EntryPoint]:
        return [EntryPoint("face_scripted", f"{__name__}:PLUGIN", group)] if group == "ipseity.encoders" else []

    monkeypatch.setenv("IPSEITY_PROVENANCE", "unsigned")  # makes no key in the user's folder
    monkeypatch.setattr(registry, "entry_points", points)
    monkeypatch.setattr(Scripted, "elsewhere", ())
    yield


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    made = make_toy(tmp_path_factory.mktemp("adapter"))
    made.other.save_pretrained(made.folder.parent / f"{made.folder.name}-other")
    return made


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo(tmp_path_factory.mktemp("ada") / "ada-secret-name.png", (60, 50, 140, 150, 1))


def call(*words: object) -> Result:
    env = {"COLUMNS": "300", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"}
    return CliRunner(env=env).invoke(app, ["portrait", *(str(word) for word in words)])


@pytest.fixture
def usual(toy: Toy, tiny_folder: Path, tmp_path: Path) -> list[object]:
    return [
        "--method", "instantid", "--weights", tiny_folder, "--adapter", toy.folder, "--face-encoder", "face_scripted",
        "--set", f"method.face_space='{SPACE}'", "-n", 1, "--steps", 1, "--out", tmp_path / "out", "--json",
    ]  # fmt: skip


def told(result: Result) -> str:
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines()]
    return " | ".join(str(event.get("message", event["event"])) for event in events)


def drawn(folder: Path) -> list[bytes]:
    (run,) = folder.iterdir()
    return [Image.open(path).tobytes() for path in sorted(run.glob("*.png"))]


# The flow, from the command line


def test_one_photo_in_portraits_out_and_nothing_of_the_face_is_stored(
    usual: list[object], ada: Path, tmp_path: Path
) -> None:
    said = told(call(ada, "an oil painting of a woman", *usual, "--style", "ink", "--keep", tmp_path / "kept.safetensors"))  # fmt: skip
    assert "non-commercial research only" in said and "face_scripted: none" in said and "Style ink" in said
    assert "no consent is noted" in said and "finds no face in it, so it is kept as drawn" in said
    first = drawn(tmp_path / "out")
    (run,) = (tmp_path / "out").iterdir()
    assert sorted(path.name for path in run.iterdir()) == ["00.png", "portrait.json"]
    manifest = (run / "portrait.json").read_text()
    assert "oil painting of a woman" in manifest and "secret-name" not in manifest
    assert b"secret-name" not in (run / "00.png").read_bytes()
    again = told(call(tmp_path / "kept.safetensors", "an oil painting of a woman", *usual, "--style", "ink", "--out", tmp_path / "again"))  # fmt: skip
    assert "Nothing of the face is stored" in again
    assert drawn(tmp_path / "again") == first, "the identity that was kept draws what the photo drew"
    assert not list((tmp_path / "again").rglob("*.safetensors"))


def test_a_dry_run_looks_and_counts_and_makes_nothing(usual: list[object], ada: Path, tmp_path: Path) -> None:
    result = call(ada, "a person", *usual, "--dry-run")
    said = told(result)
    assert "Not counted" in said and not (tmp_path / "out").exists()
    (forecast,) = [json.loads(line) for line in result.stdout.splitlines() if '"Forecast"' in line]
    assert set(forecast["parts"]) == {"base", "adapter and its nets"} and forecast["peak_gib"] > 0


def test_two_people_with_a_start_a_control_a_lora_and_small_faces(
    usual: list[object], toy: Toy, ada: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = photo(tmp_path / "bob.png", (50, 40, 150, 160, 2))
    lora = write_lora(toy, tmp_path)
    monkeypatch.setattr(Scripted, "elsewhere", (face(8, 20, 16, 30, 1), face(44, 20, 52, 30, 2), face(30, 0, 34, 4, 9)))
    start = photo(tmp_path / "start.png", (20, 40, 60, 100, 5), (130, 40, 170, 100, 6))
    more = ["--person", f"ada:{ada}", "--person", f"bob:{bob}", "--lora", f"{lora}:0.5", "--control", f"depth={toy.folder}-other:{start}:0.3"]  # fmt: skip
    said = told(call(*more, "two people", *usual, "--from", start, "--strength", 1, "--guidance-rescale", 0.7))
    assert "Pose: as in start.png" in said and "cut halfway between the faces" in said
    assert said.count("was drawn again at 64 pixels") == 2 and "1 more faces belong to nobody" in said
    (run,) = (tmp_path / "out").iterdir()
    (picture,) = json.loads((run / "portrait.json").read_text())["pictures"]
    assert picture["faces_drawn_again"] == 2 and picture["people"] == 2 and picture["loras"] == 1
    assert "bob" not in (run / "portrait.json").read_text()


def test_the_clean_path_draws_two_people_each_in_their_place(
    toy: Toy, tiny_folder: Path, ada: Path, tmp_path: Path
) -> None:
    (tmp_path / "plain").mkdir()
    write_adapter(tmp_path / "plain" / "face", adapter("plain", toy.base.parts()["unet"]))
    write_clip(tmp_path / "plain" / "image_encoder")
    bob = photo(tmp_path / "bob.png", (50, 40, 150, 160, 2))
    usual = ["--weights", tiny_folder, "--adapter", tmp_path / "plain", "--face-encoder", "face_scripted", "-n", 1, "--steps", 1]  # fmt: skip
    for first, second in (("left", "right"), ("right", "left")):
        people = ["--person", f"ada:{ada}:{first}", "--person", f"bob:{bob}:{second}"]
        said = told(call(*people, "two people", *usual, "--adapter-scale", 0.9, "--out", tmp_path / first, "--json"))
        assert "Method: ip_adapter" in said and "kept as drawn" in said
    assert drawn(tmp_path / "left") != drawn(tmp_path / "right"), "who stands where matters"


def test_a_word_is_found_for_those_who_are_heard_in_one(toy: Toy) -> None:
    worded = replace(toy.identity(), tensors={"stacked": torch.zeros(1)}, class_noun="woman")
    assert spoken("A Woman and a woman", [worded]) == "A sks Woman and a woman"
    assert spoken("a sks girl", [worded]) == "a sks girl"
    assert spoken("a horse", [toy.identity()]) == "a horse"
    with pytest.raises(RecipeError, match="does not say 'woman'.*--class"):
        spoken("a horse", [worded])


ERRORS: list[tuple[list[str], list[str]]] = [
    ([], ["nothing is named", "prompt as the last word"]),
    (["{ada}"], ["is a file, and it stands last"]),
    (["a person"], ["nobody is named"]),
    (["{ada}", " "], ["prompt is empty"]),
    (["{text}", "a person"], ["notes.jpg is not a picture that can be read"]),
    (["{two}", "a person"], ["shows 2 faces", "--face left"]),
    (["{two}", "a person", "--face", "3"], ["asks for number 3"]),
    (["{two}", "a person", "--face", "middle"], ["--face 'middle'"]),
    (["{none}", "a person"], ["finds no face"]),
    (["{small}", "a person"], ["20 pixels wide"]),
    (["{ada}", "a person", "--style", "inkk"], ["there is no style 'inkk'", "Did you mean 'ink'?"]),
    (["{ada}", "a person", "--base", "toybox"], ["no face adapter yet", "--base sdxl"]),
    (["{ada}", "a person", "--method", "instantidd"], ["Did you mean 'instantid'?"]),
    (["{ada}", "a person", "--method", "lora", "--control-scale", "1"], ["method 'lora' has no", "instantid"]),
    (["{ada}", "a person", "--mask", "m.png"], ["--mask without a picture"]),
    (["{ada}", "a person", "--from", "{ada}", "--strength", "2"], ["--strength 2.0"]),
    (["{ada}", "a person", "--size", "big"], ["--size 'big'"]),
    (["{ada}", "a person", "--control", "pose"], ["NAME=FOLDER:PICTURE"]),
    (["{ada}", "a person", "--set", "fit.max_train_steps=3"], ["a portrait reads"]),
    (["{ada}", "a person", "--second-pass", "twice"], ["one of: auto, off, always"]),
    (["{ada}", "a person", "--face-encoder", "face_blind"], ["'face_blind' is not in encoders"]),
    (["{ada}", "a person", "--pose", "{none}"], ["finds no face"]),
    (["a person", "--person", "ada"], ["NAME:PHOTOS"]),
    (["a person", "--person", "{people}"], ["there is no key 'photo'", "name, photos, region, face"]),
    (["{ada}", "a person", "--lora", "{ada}:much"], ["the scale is 'much'"]),
]  # fmt: skip


@pytest.mark.parametrize(("words", "needles"), ERRORS, ids=lambda value: " ".join(value)[:40])
def test_what_cannot_be_is_refused_in_three_parts_before_a_base_is_loaded(
    words: list[str], needles: list[str], ada: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.jpg").write_text("these are my notes")
    (tmp_path / "people.toml").write_text('[[person]]\nname = "ada"\nphoto = "ada.png"\n')
    places = {
        "ada": ada, "text": tmp_path / "notes.jpg", "people": tmp_path / "people.toml",
        "two": photo(tmp_path / "two.png", (10, 50, 80, 150, 1), (110, 50, 185, 150, 2)),
        "none": photo(tmp_path / "none.png"), "small": photo(tmp_path / "small.png", (90, 90, 110, 110, 1)),
    }  # fmt: skip
    method = [] if "--method" in words or "toybox" in words else ["--method", "instantid"]
    encoder = [] if "--face-encoder" in words else ["--face-encoder", "face_scripted"]
    result = call(*(word.format(**places) for word in words), *method, *encoder, "--weights", tmp_path / "nowhere")
    said = " ".join(result.output.split())
    assert result.exit_code == 2 and "needed" in said and "to do" in said and "Traceback" not in said, said
    for needle in needles:
        assert needle.lower() in said.lower(), f"'{needle}' is not in:\n{said}"


def test_without_a_method_the_one_with_a_clean_licence_is_taken(ada: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ipseity.flows import commission as file

    recipe, said = file.commission(PortraitWish("a person", (Person((ada,)),)))
    assert recipe.method.name == "ip_adapter" and "commercially" in said[0]
    assert recipe.method.options.crop == "face" and "plus-face" in recipe.method.options.file
    monkeypatch.setattr(file, "names", lambda room: ["instantid", "lora"])
    with pytest.raises(CapabilityError, match="--method instantid"):
        file.commission(PortraitWish("a person", (Person((ada,)),)))


# Who, and where


def test_words_become_people(tmp_path: Path) -> None:
    (one,) = parse_person("ada:photos/ada:left", face="2")
    assert one == Person((Path("photos/ada"),), "ada", "left", "2")
    (tmp_path / "mask.png").write_bytes(b"")
    (tmp_path / "people.toml").write_text(
        '[[person]]\nname = "ada"\nphotos = "a"\nregion = "mask.png"\n[[person]]\nname = "bob"\nphotos = ["b", "/c"]\nface = 2\n'
    )
    first, second = parse_person(str(tmp_path / "people.toml"))
    assert first.photos == (tmp_path / "a",) and first.region == str(tmp_path / "mask.png")
    assert second.photos == (tmp_path / "b", Path("/c")) and second.face == "2"
    wish = make_wish(["a.png", "b.png", "a man"], {"size": "1152x896", "adapter": "here", "weights": "there", "lora": ["x.safetensors:0.5", "y.safetensors"]})  # fmt: skip
    assert wish.people[0].photos == (Path("a.png"), Path("b.png")) and wish.prompt == "a man"
    assert wish.draw == {"height": 1152, "width": 896} and wish.tune == {"weights": "here"} and wish.weights == "there"
    assert wish.loras == (LoraWish(Path("x.safetensors"), 0.5), LoraWish(Path("y.safetensors")))
    assert size_of("640") == {"height": 640, "width": 640}
    assert parse_control("pose=net:p.png:0.4").scale == 0.4 and parse_control("pose=net:p.png").folder == Path("net")


def test_the_face_that_is_meant() -> None:
    found = [face(100, 0, 190, 90, 1), face(0, 0, 60, 60, 2), face(70, 0, 95, 30, 3)]
    chosen = {which: pick(found, which, "x") for which in ("largest", "left", "right", "2")}
    assert [chosen[which] for which in ("largest", "left", "right", "2")] == [found[0], found[1], found[0], found[2]]
    with pytest.raises(SubjectError, match="number 4"):
        pick(found, "4", "x")
    known, other = Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), (250, 10, 7))
    meant = Meant(Scripted(), [(known, [found[2]])])
    assert meant.faces(known) == [found[2]] and len(meant.faces(other)) == 1 and meant.width == WIDTH


def test_regions_are_sides_boxes_masks_or_equal_parts(tmp_path: Path) -> None:
    def people(*words: str | None) -> list[Person]:
        return [Person((Path("x"),), f"p{index}", word) for index, word in enumerate(words)]

    (left, right), note = regions(people(None, None), (64, 128))
    assert left is not None and right is not None and left[0].getbbox() == (0, 0, 64, 64)
    assert right[0].getbbox() == (64, 0, 128, 64) and "p0, p1" in str(note)
    (one, middle), _ = regions(people("right", "middle"), (30, 90))
    assert one is not None and middle is not None
    assert one[0].getbbox() == (60, 0, 90, 30) and middle[0].getbbox() == (30, 0, 60, 30)
    mask = Image.new("L", (10, 10))
    mask.paste(255, (2, 4, 6, 10))
    mask.save(tmp_path / "mask.png")
    (boxed, masked), _ = regions(people("0.1,0.2,0.5,0.9", str(tmp_path / "mask.png")), (100, 100))
    assert boxed is not None and masked is not None
    assert boxed[0].getbbox() == (10, 20, 50, 90) and masked[1] == (0.2, 0.4, 0.6, 1.0)
    assert regions(people(None), (8, 8)) == ([None], None)
    for words in (("left", None), ("0.5,0,0.2,1", "left"), ("up", "left")):
        with pytest.raises(Refusal):
            regions(people(*words), (64, 64))
    moved = within((0.5, 0.0, 1.0, 1.0), (100, 200), [(0, 0), (50, 50)], (50, 50))
    assert moved.tolist() == [[100.0, 0.0], [200.0, 100.0]], "the photo fills the right half"


def test_a_pose_seats_people_from_left_to_right(toy: Toy) -> None:
    people = (Person((Path("b"),), "bob", "right"), Person((Path("a"),), "ada", "left"))
    wish = PortraitWish("two", people)
    guests: Any = [type("Guest", (), {"person": person})() for person in people]
    pose = Pose((face(0, 0, 20, 20, 1), face(60, 0, 80, 20, 2)), (100, 100))
    told = {"guests": guests, "identities": [toy.identity(0), toy.identity(1)], "props": Props(pose)}
    scene = set_scene(toy.base, wish, DRAW, **told)
    assert torch.equal(scene.sittings[0].points, pose.faces[1].points) and scene.sittings[0].size == (100, 100)
    assert torch.equal(scene.sittings[1].points, pose.faces[0].points)
    alone = set_scene(toy.base, wish, DRAW, **{**told, "props": Props()})
    assert np.asarray(alone.sittings[0].points)[:, 0].min() > 32 > np.asarray(alone.sittings[1].points)[:, 0].max()
    wide = set_scene(toy.base, wish, DrawOptions(), **{**told, "props": Props(start=Image.new("RGB", (200, 100)))})
    assert wide.kind == "image" and wide.size == (48, 88) and wide.told["image"].size == (88, 48)


# Beside the identity


def write_lora(toy: Toy, folder: Path) -> Path:
    """A LoRA of random weights in diffusers' layout, made by peft on another tiny base."""
    from ipseity.bases.sdxl import SDXL

    unet: Any = SDXL.tiny().parts()["unet"]
    unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"]))
    chance = torch.Generator().manual_seed(3)
    layers = {
        name: torch.randn(value.shape, generator=chance) for name, value in get_peft_model_state_dict(unet).items()
    }
    StableDiffusionXLLoraLoaderMixin.save_lora_weights(folder, unet_lora_layers=layers)
    (file,) = folder.glob("*.safetensors")
    return file


def test_a_lora_and_few_steps_leave_no_trace(toy: Toy, tmp_path: Path) -> None:
    base, file = toy.base, write_lora(toy, tmp_path)
    bare, sampler = predict(base), base.pipeline("text").scheduler
    before = state(base)  # libraries set themselves up when first used
    with loras_on(base, [LoraWish(file, 0.5)]), few_steps(base):
        strong = predict(base)
        assert type(base.pipeline("text").scheduler).__name__ == "LCMScheduler"
        with InstantID.attach(base, [Attachment(toy.identity())]):
            both = predict(base)
            draw_all(base.pipeline("text"), ["a person"], [0], DRAW.model_copy(update={"num_inference_steps": 2}))
        assert torch.equal(predict(base), strong), "leaving the identity leaves the LoRA"
    assert not torch.allclose(strong, bare) and not torch.allclose(both, strong)
    assert not differences(before, state(base)) and torch.equal(predict(base), bare)
    assert base.pipeline("text").scheduler is sampler
    with loras_on(base, [LoraWish(file, 0.0)]):
        torch.testing.assert_close(predict(base), bare)
    text = tmp_path / "text.safetensors"
    text.write_text("no weights")
    with pytest.raises(WeightsError, match="damaged or cut short"), loras_on(base, [LoraWish(text)]):
        pass
    assert not differences(before, state(base))


def test_rescaled_guidance_is_what_the_stock_pipeline_has(toy: Toy) -> None:
    pipeline, told = toy.base.pipeline("text"), DRAW.model_copy(update={"guidance_scale": 9.0})
    plain, stock = (draw_all(pipeline, ["a mug"], [0], told, more)[0] for more in ({}, {"guidance_rescale": 0.7}))
    with rescaled(toy.base.parts()["unet"], 9.0, 0.7):
        (ours,) = draw_all(pipeline, ["a mug"], [0], told)
    far = np.abs(np.asarray(ours, int) - np.asarray(stock, int)).max()
    assert far <= 1 < np.abs(np.asarray(plain, int) - np.asarray(stock, int)).max()
    assert draw_all(pipeline, ["a mug"], [0], told)[0].tobytes() == plain.tobytes()


def test_styles_surround_the_prompt() -> None:
    known = styles()
    assert len(known) >= 10 and all(one.words.count(PLACE) == 1 and one.negative for one in known.values())
    prompt, negative = dress("a woman", "hat", find_style("oil"))
    assert "a woman" in prompt and PLACE not in prompt and str(negative).startswith("hat, ")
    assert dress("a woman", None, None) == ("a woman", None)


# Small faces again


def test_only_the_small_face_changes_and_softly(toy: Toy) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (96, 128, 3), dtype=np.uint8))
    small, large = face(40, 30, 52, 46, 1), face(0, 0, 60, 60, 2)
    assert is_small(small, (96, 128)) and not is_small(large, (96, 128))
    cut = cut_around(small, (96, 128))
    assert cut.side == 40 and cut.corner == (26, 18)
    corner = cut_around(face(0, 0, 20, 20), (96, 128))
    assert corner.corner == (0, 0) and cut_around(large, (96, 128)).side == 96
    with InstantID.attach(toy.base, [Sitting(toy.identity())]):
        done = draw_again(
            toy.base.pipeline("inpaint"), image, cut, prompt="a person", seed=0, options=DRAW, resolution=64
        )
    changed = np.abs(np.asarray(done, int) - np.asarray(image, int)).sum(2) > 0
    rows, columns = np.nonzero(changed)
    assert done.size == image.size and changed[38, 46], "the face is drawn anew"
    assert rows.min() >= 18 and rows.max() < 58 and columns.min() >= 26 and columns.max() < 66
    assert not changed[18, 26] and not changed[57, 65], "corners of the cut stay"


def test_each_face_goes_to_its_person(toy: Toy) -> None:
    first, second = (
        replace(toy.identity(who), tensors={"embedding": face(0, 0, 1, 1, who).embedding}) for who in (1, 2)
    )
    found = [face(10, 10, 30, 30, 2), face(60, 10, 70, 20, 1)]
    told = {"size": (100, 100), "space": SPACE}
    assert whose(found, [first, second], [None, None], **told) == {0: found[1], 1: found[0]}, "the most alike"
    left, right = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
    assert whose(found, [first, second], [left, right], **told) == {0: found[0], 1: found[1]}, "their place decides"
    assert whose(found[:1], [first, second], [right, left], **told) == {1: found[0]}
    other = replace(first, options={**first.options, "face_space": "another"})
    assert whose(found, [other], [None], **told) == {0: found[0]}, "not to be compared: the largest"


def test_an_identity_of_another_method_or_base_is_refused(toy: Toy, usual: list[object], tmp_path: Path) -> None:
    Identity.save(replace(toy.identity(), base="sd15"), tmp_path / "other.safetensors")
    result = call(tmp_path / "other.safetensors", "a person", *usual)
    assert result.exit_code == 2 and "made for base 'sd15'" in result.output
