"""IP-Adapters of every kind: they draw what stock diffusers draws, compose with others, and leave no trace."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from ipseity.bases.sd15 import SD15
from ipseity.bases.sdxl import SDXL
from ipseity.core.drawing import DrawOptions, draw_all
from ipseity.core.errors import CapabilityError, RecipeError, SubjectError, WeightsError
from ipseity.core.identity import Attachment, Identity, Sitting
from ipseity.core.weights import quiet
from ipseity.methods.ip_adapter import LICENCE, IPAdapter, IPAdapterOptions
from ipseity.methods.lora import LoRA, LoRAOptions
from ipseity.methods.parts.face_crop import ALIGNED, aligned, framed
from ipseity.methods.parts.image_adapter import adapters_inside
from ipseity.methods.parts.low_rank import LowRank, added_beside, read_low_rank
from tests.contracts.test_methods import differences, predict, state
from tests.methods.toy_adapters import (
    FACE,
    POINTS,
    POOLED,
    SPACE,
    STATES,
    Faces,
    adapter,
    subject,
    write_adapter,
    write_clip,
)

KINDS = ("plain", "plus", "full-face", "faceid", "faceid-plus")
DRAW = DrawOptions(num_inference_steps=2, guidance_scale=3.0)
PROMPTS, SEEDS = ["a photo of a mug", "a red car"], [0, 1]


class Place:
    """A tiny base with an adapter of every kind in a folder of its own, and their CLIP."""

    def __init__(self, base: Any, folder: Path) -> None:
        self.base, self.folder = base, folder
        self.files = {kind: adapter(kind, base.parts()["unet"]) for kind in KINDS}
        for kind, sections in self.files.items():
            header = {"kind": "plus"} if kind == "plus" else {}  # toy widths tell it from InstantID by its header alone
            (folder / kind).mkdir()
            write_adapter(folder / kind / "anything", sections, **header)
        write_clip(folder / "clip")
        for kind in KINDS:
            (folder / kind / "encoder").symlink_to(folder / "clip")
        draw_all(base.pipeline("text"), ["a mug"], [0], DRAW)  # libraries set themselves up when first used
        self.before, self.bare = state(base), predict(base)
        self.plain = pictures(base)
        self._identities: dict[Any, Identity] = {}

    def options(self, kind: str, **more: Any) -> IPAdapterOptions:
        space = {"face_space": SPACE} if kind.startswith("faceid") else {}
        return IPAdapterOptions(weights=str(self.folder / kind), **{"scale": 1.0, **space, **more})

    def identity(self, kind: str, *values: int, **more: Any) -> Identity:
        """Of a person whose photos show these colours."""
        key = (kind, values, more.get("several"))
        if key not in self._identities:
            options = self.options(kind, **{name: more[name] for name in ("several",) if name in more})
            learner = IPAdapter.begin(self.base, subject(*(values or (90,))), {"faces": Faces()}, options)
            self._identities[key] = learner.identity()
        found = self._identities[key]
        return replace(found, options={**found.options, **more})

    def unchanged(self) -> bool:
        return not differences(self.before, state(self.base)) and torch.equal(predict(self.base), self.bare)


def pictures(base: Any, kind: str = "text", **more: Any) -> Tensor:
    """Draw latents of two prompts, each from its own seed."""
    chances = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    pipeline = base.pipeline(kind)
    pipeline.set_progress_bar_config(disable=True)
    asked = {"num_inference_steps": 2, "guidance_scale": 3.0, "output_type": "latent", **more}
    return pipeline(prompt=PROMPTS, generator=chances, **asked).images


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(SDXL.tiny(), tmp_path_factory.mktemp("xl"))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(SD15.tiny(), tmp_path_factory.mktemp("one"))


@pytest.fixture(params=("xl", "one"))
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    found = request.getfixturevalue(request.param)
    yield found
    assert found.unchanged(), "each test leaves the base as it found it"


def by_stock(place: Place, kind: str, identity: Identity) -> Tensor:
    """What diffusers draws with its own loader, its own low-rank layers and embeddings in its own form."""
    base = type(place.base).tiny()
    stock = base.pipeline("text")
    with quiet():
        stock.load_ip_adapter(place.files[kind], subfolder="", weight_name="", image_encoder_folder=None)
    stock.set_ip_adapter_scale(1.0)
    seen = identity.tensors
    rows = seen["faces"][:, None] if "faces" in seen else seen["pictures"]
    blank = seen["nobody"].expand_as(seen["pictures"]) if "nobody" in seen else torch.zeros_like(rows)
    layer = stock.unet.encoder_hid_proj.image_projection_layers[0]
    if kind == "faceid-plus":
        states = torch.stack([blank] * 2 + [seen["pictures"]] * 2)  # two prompts, the unguided half first
        layer.clip_embeds, layer.shortcut = states, True
        blank = torch.zeros_like(rows)
    return pictures(base, ip_adapter_image_embeds=[torch.stack([blank, rows])])


@pytest.mark.parametrize("kind", KINDS)
def test_it_draws_what_stock_diffusers_draws(place: Place, kind: str) -> None:
    identity = place.identity(kind, 90, 200)
    with IPAdapter.attach(place.base, [Attachment(identity)]) as lent:
        assert lent is place.base
        drawn, told = pictures(place.base), predict(place.base)
        assert not any(value.requires_grad for part in place.base.parts().values() for value in part.parameters())
        assert torch.equal(drawn, pictures(place.base)), "the same identity gives the same picture"
    torch.testing.assert_close(drawn, by_stock(place, kind, identity), atol=2e-4, rtol=1e-4)
    assert (drawn - place.plain).abs().mean() > 1e-2 and (told - place.bare).abs().mean() > 1e-2
    assert torch.equal(pictures(place.base), place.plain)
    with IPAdapter.attach(place.base, [Attachment(place.identity(kind, 30))]):
        assert not torch.allclose(pictures(place.base), drawn), "another person, another picture"


@pytest.mark.parametrize("kind", ["plus", "faceid-plus"])
def test_strength_reaches_from_the_bare_base(place: Place, kind: str) -> None:
    far = {}
    for scale in (0.0, 0.5, 1.0):
        with IPAdapter.attach(place.base, [Attachment(place.identity(kind), scale)]):
            far[scale] = (predict(place.base) - place.bare).norm().item()
    assert far[0.0] == 0 < far[0.5] < far[1.0]
    with pytest.raises(KeyError), IPAdapter.attach(place.base, [Attachment(place.identity(kind))]):
        raise KeyError("somebody else's mistake")


def test_image_and_inpaint_pipelines_draw_it_too(place: Place) -> None:
    start, mask = Image.new("RGB", (64, 64), (90, 120, 150)), half(1)
    asks = {
        "image": {"image": start, "strength": 1.0},
        "inpaint": {"image": start, "strength": 1.0, "mask_image": mask},
    }
    for kind, more in asks.items():
        drawn = {}
        for scale in (0.0, 1.0):
            with IPAdapter.attach(place.base, [Attachment(place.identity("plain"), scale)]):
                drawn[scale] = pictures(place.base, kind, **more)
        assert (drawn[1.0] - drawn[0.0]).abs().mean() > 1e-2


def test_the_pipeline_asks_the_denoiser_what_predict_asks(xl: Place) -> None:
    base, seen = xl.base, []
    unet = base.parts()["unet"]
    with IPAdapter.attach(base, [Attachment(xl.identity("faceid-plus"))]):
        hook = unet.register_forward_hook(
            lambda module, args, told, out: seen.append((args, told, out)), with_kwargs=True
        )
        try:
            pictures(base, guidance_scale=1.0, num_inference_steps=1)
        finally:
            hook.remove()
        (latents, step), told, (expected, *_) = seen[0]
        text, added = told["encoder_hidden_states"], told["added_cond_kwargs"]
        bare = {name: value for name, value in added.items() if name != "image_embeds"}
        again = unet(latents, step, encoder_hidden_states=text, added_cond_kwargs=bare, return_dict=False)[0]
    assert torch.equal(again, expected)


# Several


def half(side: int) -> Image.Image:
    mask = Image.new("L", (64, 64))
    ImageDraw.Draw(mask).rectangle((32 * side, 0, 32 * side + 31, 63), fill=255)
    return mask


def test_several_identities_share_weights_and_each_has_its_place(xl: Place) -> None:
    base, unet = xl.base, xl.base.parts()["unet"]
    ada, bob = xl.identity("plus", 90), xl.identity("plus", 30, 200)
    nowhere, drawn, count = Image.new("L", (8, 8)), {}, {}
    for name, sitters in {
        "ada": [Attachment(ada)],
        "ada, and bob nowhere": [Attachment(ada), Sitting(bob, region=nowhere)],
        "each a half": [Sitting(ada, region=half(0)), Sitting(bob, region=half(1))],
        "the other halves": [Sitting(ada, region=half(1)), Sitting(bob, region=half(0))],
        "both everywhere": [Attachment(ada), Attachment(bob)],
    }.items():
        with IPAdapter.attach(base, sitters):
            drawn[name] = pictures(base)
            count[name] = sum(value.numel() for value in unet.parameters())
    torch.testing.assert_close(drawn["ada, and bob nowhere"], drawn["ada"])
    assert len(set(count.values())) == 1, "a second identity of the file costs no weight"
    assert not torch.allclose(drawn["each a half"], drawn["the other halves"])
    assert not torch.allclose(drawn["both everywhere"], drawn["ada"]) and xl.unchanged()


def test_several_photos_are_stacked_or_averaged(xl: Place) -> None:
    stacked, mean = xl.identity("faceid-plus", 90, 200), xl.identity("faceid-plus", 90, 200, several="average")
    assert stacked.tensors["faces"].shape == (2, FACE) and mean.tensors["faces"].shape == (1, FACE)
    torch.testing.assert_close(stacked.tensors["faces"].norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(mean.tensors["faces"].norm(dim=-1), torch.ones(1))
    torch.testing.assert_close(mean.tensors["pictures"], stacked.tensors["pictures"].mean(0, keepdim=True))
    assert all(value.dtype == torch.float32 and value.shape[-1] in (FACE, STATES) for value in stacked.tensors.values())


def test_kinds_of_adapters_draw_together(xl: Place) -> None:
    """Of two files at once, and one attached within the other: the same sum."""
    style, face = Attachment(xl.identity("plain"), 0.5), Attachment(xl.identity("faceid"))
    drawn = {}
    with IPAdapter.attach(xl.base, [style, face]):
        drawn["at once"] = pictures(xl.base)
    with IPAdapter.attach(xl.base, [style]), IPAdapter.attach(xl.base, [face]):
        drawn["nested"] = pictures(xl.base)
    torch.testing.assert_close(drawn["nested"], drawn["at once"], atol=1e-5, rtol=1e-4)
    with IPAdapter.attach(xl.base, [face]):
        assert not torch.allclose(drawn["nested"], pictures(xl.base))
    assert xl.unchanged()


@pytest.mark.parametrize("kind", ["plus", "faceid"])
def test_a_low_rank_identity_goes_on_working_in_either_order(place: Place, kind: str) -> None:
    learner = LoRA.begin(place.base, subject(), {}, LoRAOptions(rank=2))
    some = torch.Generator().manual_seed(3)
    learner.restore(
        {name: torch.randn(value.shape, generator=some) * 0.2 for name, value in learner.identity().tensors.items()}
    )
    low = Attachment(learner.identity())
    learner.close()
    adapted, drawn = Attachment(place.identity(kind)), {}
    with IPAdapter.attach(place.base, [adapted]):
        drawn["adapter"] = pictures(place.base)
        with LoRA.attach(place.base, [low]):
            drawn["within"] = pictures(place.base)
        assert torch.equal(pictures(place.base), drawn["adapter"])
    with LoRA.attach(place.base, [low]):
        drawn["low-rank"] = pictures(place.base)
        with IPAdapter.attach(place.base, [adapted]):
            drawn["around"] = pictures(place.base)
        assert torch.equal(pictures(place.base), drawn["low-rank"])
    torch.testing.assert_close(drawn["within"], drawn["around"], atol=1e-5, rtol=1e-4)
    assert all(not torch.allclose(drawn["within"], drawn[name], atol=1e-3) for name in ("adapter", "low-rank"))


def test_it_composes_with_instantid_which_is_attached_first(tmp_path: Path) -> None:
    from ipseity.methods.instantid import InstantID
    from tests.golden.instantid.toy import make_toy

    toy = make_toy(tmp_path)
    place_of = Place(toy.base, tmp_path)
    person, style = Attachment(toy.identity()), Attachment(place_of.identity("plain"))
    drawn = {}
    with InstantID.attach(toy.base, [person]):
        drawn["person"], told = pictures(toy.base), predict(toy.base)
        with IPAdapter.attach(toy.base, [style]):
            drawn["both"] = pictures(toy.base)
            assert not torch.allclose(predict(toy.base), told)
        assert torch.equal(pictures(toy.base), drawn["person"]) and torch.equal(predict(toy.base), told)
    with IPAdapter.attach(toy.base, [style]):
        drawn["style"] = pictures(toy.base)
        stock = type(toy.base).pipeline(toy.base, "text")
        with (
            pytest.raises(CapabilityError, match="carries image adapters already"),
            adapters_inside(stock, [], base="sdxl"),
        ):
            pass  # what InstantID does when it is attached second
    assert all(not torch.allclose(drawn["both"], drawn[name]) for name in ("person", "style"))
    assert place_of.unchanged()


# Options


def test_blocks_bound_it_to_parts_of_the_denoiser(xl: Place) -> None:
    def told(blocks: Any) -> Tensor:
        with IPAdapter.attach(xl.base, [Attachment(xl.identity("plain", blocks=blocks))]):
            return predict(xl.base)

    assert torch.equal(told({"mid": 0.0}), xl.bare), "what is not named is 0"
    assert torch.equal(told({"mid": 1.0, "up": 1.0, "down": 1.0}), told(None))
    part = told({"up": {"block_0": [0.0, 1.0]}})
    assert not torch.equal(part, xl.bare) and not torch.equal(part, told(None))
    with pytest.raises(RecipeError, match="cannot be spread over"):
        told({"up": {"block_9": 1.0}})
    assert xl.unchanged()


def test_it_may_begin_late_and_end_early(xl: Place) -> None:
    drawn = {}
    for window in ((0.0, 1.0), (0.5, 1.0), (0.0, 0.5), (1.0, 1.0)):
        told = {"start": window[0], "end": window[1]}
        with IPAdapter.attach(xl.base, [Attachment(xl.identity("plain", **told))]):
            seen: list[int] = []
            drawn[window] = pictures(xl.base, callback_on_step_end=lambda p, i, t, k, seen=seen: seen.append(i) or k)
            assert seen == [0, 1], "the caller's own callback is called too"
            assert torch.equal(drawn[window], pictures(xl.base)), "no call leaves its steps to the next"
    assert torch.equal(drawn[1.0, 1.0], xl.plain)
    assert len({tuple(value.flatten().tolist()) for value in drawn.values()}) == 4 and xl.unchanged()


# Files and encoders


def test_the_encoder_is_found_by_its_widths(xl: Place, tmp_path: Path) -> None:
    write_adapter(tmp_path / "model", xl.files["plain"])
    begin = {"base": xl.base, "subject": subject(90), "encoders": {}}
    with pytest.raises(WeightsError, match=f"holds 0 picture encoders with projected embeddings of width {POOLED}"):
        IPAdapter.begin(**begin, options=IPAdapterOptions(weights=str(tmp_path)))
    write_clip(tmp_path / "big", pooled=POOLED + 8)
    write_clip(tmp_path / "right")
    options = IPAdapterOptions(weights=str(tmp_path))
    found = IPAdapter.begin(**begin, options=options).identity()
    assert found.options["image_space"].startswith("clip:") and found.tensors["pictures"].shape == (1, POOLED)
    with pytest.raises(WeightsError, match=f"gives embeddings of width {POOLED + 8}, and the adapter takes {POOLED}"):
        IPAdapter.begin(**begin, options=options.model_copy(update={"image_encoder": "big"}))
    elsewhere = write_clip(tmp_path / "far" / "clip", seed=5).rename(tmp_path.parent / f"{tmp_path.name}-clip")
    foreign = options.model_copy(update={"image_encoder": str(elsewhere)})
    with pytest.raises(WeightsError, match=r"does not record.*set method\.image_space = 'clip:"):
        IPAdapter.begin(**begin, options=foreign)
    with pytest.raises(WeightsError, match="was trained with embeddings of"):
        IPAdapter.begin(**begin, options=foreign.model_copy(update={"image_space": found.options["image_space"]}))


def test_an_adapter_that_names_its_encoder_refuses_another(xl: Place, tmp_path: Path) -> None:
    write_adapter(tmp_path / "model", xl.files["faceid"], kind="faceid", encoder=SPACE)
    options = IPAdapterOptions(weights=str(tmp_path))
    identity = IPAdapter.begin(xl.base, subject(90), {"faces": Faces()}, options).identity()
    assert identity.options["face_space"] == SPACE
    other = Faces()
    other.space = "toy-face:1"
    with pytest.raises(WeightsError, match="trained with embeddings of 'toy-face:0', and these are of 'toy-face:1'"):
        IPAdapter.begin(xl.base, subject(90), {"faces": other}, options)
    wrong = replace(identity, options={**identity.options, "face_space": "toy-face:1"})
    with pytest.raises(WeightsError, match="'toy-face:1'"), IPAdapter.attach(xl.base, [Attachment(wrong)]):
        pass
    moved = replace(identity, options=xl.options("plain").model_dump(mode="json"))
    with pytest.raises(WeightsError, match="the identity holds"), IPAdapter.attach(xl.base, [Attachment(moved)]):
        pass
    with pytest.raises(WeightsError, match="does not record which face encoder"):
        IPAdapter.begin(xl.base, subject(90), {"faces": Faces()}, xl.options("faceid", face_space=None))
    assert xl.unchanged()


def test_refuses_before_anything_is_drawn(xl: Place, one: Place) -> None:
    with pytest.raises(CapabilityError, match="looks at faces"):
        IPAdapter.begin(xl.base, subject(90), {}, xl.options("faceid"))
    with pytest.raises(SubjectError, match="no photo"):
        IPAdapter.begin(xl.base, subject(), {}, xl.options("plain"))
    with pytest.raises(SubjectError, match=r"0\.png: encoder 'toy_faces' finds no face"):
        IPAdapter.begin(xl.base, subject(90, 0), {"faces": Faces()}, xl.options("plain", crop="face"))
    with pytest.raises(WeightsError, match="h94/IP-Adapter are not on this machine") as told:
        IPAdapter.begin(xl.base, subject(90), {}, IPAdapterOptions(file="models/ip-adapter_sd15.safetensors"))
    assert LICENCE in told.value.needed
    with pytest.raises(WeightsError, match="adapts"):
        IPAdapter.begin(xl.base, subject(90), {}, one.options("plain"))
    with pytest.raises(WeightsError, match=r"has no other\.bin"):
        IPAdapter.begin(xl.base, subject(90), {}, xl.options("plain", file="other.bin"))
    with pytest.raises(CapabilityError, match="what an encoder saw"):
        IPAdapter.export(xl.identity("plain"), xl.base, "kohya", xl.folder)
    with (
        pytest.raises(WeightsError, match="adapts"),
        IPAdapter.attach(one.base, [Attachment(xl.identity("plain"))]),
    ):
        pass
    assert xl.unchanged() and one.unchanged()


def test_a_saved_identity_draws_as_the_learner_shows_and_holds_no_pixels(xl: Place, tmp_path: Path) -> None:
    learner = IPAdapter.begin(xl.base, subject(90), {"faces": Faces()}, xl.options("plain", crop="face"))
    shown = learner.preview(["a mug"], [0], DRAW)
    loaded = Identity.load(learner.identity().save(tmp_path / "identity.safetensors"))
    with IPAdapter.attach(xl.base, [Attachment(loaded)]):
        (again,) = draw_all(xl.base.pipeline("text"), ["a mug"], [0], DRAW)
    assert shown[0].tobytes() == again.tobytes()
    assert {name: tuple(value.shape) for name, value in loaded.tensors.items()} == {"pictures": (1, POOLED)}
    assert not torch.equal(loaded.tensors["pictures"], xl.identity("plain", 90).tensors["pictures"]), (
        "the face was cut out"
    )
    assert IPAdapterOptions(**loaded.options).model_dump(mode="json") == loaded.options
    learner.restore(loaded.tensors)
    with pytest.raises(WeightsError, match="the checkpoint was made of"):
        learner.restore({"pictures": torch.zeros(3)})


# Parts


def test_faces_are_cut_as_recognizers_want_them() -> None:
    photo = Image.new("RGB", (220, 220))
    scaled = [(x * 0.9, y * 0.9) for x, y in ALIGNED]
    turned = [(round(x * 1.7 + 0.3 * y + 20), round(y * 1.7 - 0.3 * x + 30)) for x, y in scaled]
    brush = ImageDraw.Draw(photo)
    for x, y in turned:
        brush.ellipse((x - 3, y - 3, x + 3, y + 3), fill="white")
    shown = aligned(photo, torch.tensor(turned).float(), side=112)
    assert shown.size == (112, 112)
    for x, y in ALIGNED:
        spot = shown.crop((round(x) - 4, round(y) - 4, round(x) + 5, round(y) + 5)).convert("L")
        weights = torch.tensor(list(spot.tobytes()), dtype=torch.float32).view(9, 9)
        middle = torch.stack([(weights.sum(0) * torch.arange(9)).sum(), (weights.sum(1) * torch.arange(9)).sum()])
        offset = middle / weights.sum() - 4 - torch.tensor([x - round(x), y - round(y)])
        assert offset.abs().max() < 0.6, "each point lies where the template says"
    assert framed(Image.new("RGB", (56, 44)), (6.0, 6.0, 36.0, 40.0)).size == (44, 44), "as much as the photo has"
    assert framed(Image.new("RGB", (200, 200)), (80.0, 90.0, 100.0, 120.0)).size == (60, 60)
    assert len(POINTS) == len(ALIGNED)


def test_low_rank_layers_lie_beside_whatever_is_there() -> None:
    block = nn.Sequential(nn.Linear(4, 6))
    down, up, rows = torch.randn(2, 4), torch.randn(6, 2), torch.randn(3, 4)
    names = {"unet.0.lora_A.weight": down, "unet.0.lora_B.weight": up, "unet.0.alpha": torch.tensor(4.0)}
    factors, plain = read_low_rank(names, where="a.bin"), block(rows)
    with torch.no_grad(), added_beside(block, factors, 0.5, where="a.bin"):
        torch.testing.assert_close(block(rows), plain + 0.5 * (4 / 2) * rows @ down.T @ up.T)
    assert torch.equal(block(rows), plain) and not block[0]._forward_hooks
    old = read_low_rank(
        {"unet.a.attn1.processor.to_out_lora.down.weight": down, "unet.a.attn1.to_out_lora.up.weight": up}, where=""
    )
    assert old.keys() == {"a.attn1.to_out.0"} and old["a.attn1.to_out.0"].alpha is None
    wrong = {"1": LowRank(down, up)}, {"0": LowRank(torch.zeros(2, 5), up)}
    for factors, words in zip(wrong, ("for 1, which this base does not have", r"of size \(6, 5\)"), strict=True):
        with pytest.raises(WeightsError, match=words), added_beside(block, factors, 1.0, where="a.bin"):
            pass
    with pytest.raises(WeightsError, match="no fitting pair"):
        read_low_rank({"unet.0.lora_A.weight": down}, where="a.bin")
    with pytest.raises(WeightsError, match="a tensor conv"):
        read_low_rank({"conv.lora_A.weight": torch.zeros(1, 1, 1, 1)}, where="a.bin")
