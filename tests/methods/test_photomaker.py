"""PhotoMaker over the stock pipeline: the maths of both versions, the word in its place, a base put back bit for bit."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from ipseity.bases.sdxl import SDXL
from ipseity.core.drawing import DrawOptions, draw_all
from ipseity.core.errors import CapabilityError, RecipeError, SubjectError, WeightsError
from ipseity.core.identity import Attachment, Identity, Sitting
from ipseity.methods.ip_adapter import IPAdapter, IPAdapterOptions
from ipseity.methods.parts.adapter_file import convert
from ipseity.methods.parts.picture_encoder import preparation
from ipseity.methods.parts.stacked_id import fusing_of, stacked_tokens
from ipseity.methods.parts.worded import Worded, Wording, read_sentence
from ipseity.methods.photomaker import LICENCE, PhotoMaker, PhotoMakerOptions
from tests.contracts.test_methods import differences, predict, state
from tests.methods.toy_adapters import (
    CLIP_WIDTH,
    FACE,
    PATCH,
    SIDE,
    SPACE,
    WORD,
    Faces,
    adapter,
    photomaker,
    subject,
    write_adapter,
    write_clip,
)  # fmt: skip

DRAW = DrawOptions(num_inference_steps=3, guidance_scale=3.0)
NAMED = "a photo of sks person on the beach"


class Place:
    """A tiny SDXL with a checkpoint of each version."""

    def __init__(self, folder: Path) -> None:
        self.base, self.folder = SDXL.tiny(), folder
        self.files = {version: photomaker(version, self.base.parts()["unet"]) for version in (1, 2)}
        for version, sections in self.files.items():
            (folder / f"v{version}").mkdir()
            write_adapter(folder / f"v{version}" / "whatever", sections)
        draw_all(self.base.pipeline("text"), ["a mug"], [0], DRAW)  # libraries set themselves up when first used
        self.before, self.bare = state(self.base), predict(self.base, NAMED)
        self._identities: dict[Any, Identity] = {}

    def options(self, version: int, **more: Any) -> PhotoMakerOptions:
        space = {"face_space": SPACE} if version == 2 else {}
        return PhotoMakerOptions(weights=str(self.folder / f"v{version}"), **{**space, **more})

    def identity(self, version: int, *values: int, **more: Any) -> Identity:
        key = (version, values)
        if key not in self._identities:
            learner = PhotoMaker.begin(
                self.base, subject(*(values or (90, 200))), {"f": Faces()}, self.options(version)
            )
            self._identities[key] = learner.identity()
        found = self._identities[key]
        return replace(found, options={**found.options, **more})

    def unchanged(self) -> bool:
        kept = {"pipeline", "encode_text"}.isdisjoint(vars(self.base))
        return (
            kept
            and not differences(self.before, state(self.base))
            and torch.equal(predict(self.base, NAMED), self.bare)
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("photomaker"))


def latents(base: Any, prompt: Any = NAMED, kind: str = "text", **more: Any) -> Tensor:
    prompts = [prompt] if isinstance(prompt, str) else prompt
    chances = [
        torch.Generator().manual_seed(seed) for seed in range(len(prompts) * more.get("num_images_per_prompt", 1))
    ]
    pipeline = base.pipeline(kind)
    pipeline.set_progress_bar_config(disable=True)
    asked = {"num_inference_steps": 3, "guidance_scale": 3.0, "output_type": "latent", **more}
    return pipeline(prompt=prompts, generator=chances, **asked).images


# The maths, written out a second time


def plain_norm(tensors: dict[str, Tensor], name: str, rows: Tensor) -> Tensor:
    return layer_norm(rows, rows.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def plain_linear(tensors: dict[str, Tensor], name: str, rows: Tensor) -> Tensor:
    return linear(rows, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"))


def plain_clip(tensors: dict[str, Tensor], photos: list[Image.Image]) -> Any:
    config = CLIPVisionConfig(
        hidden_size=CLIP_WIDTH, intermediate_size=64, projection_dim=WORD[0], num_hidden_layers=2, num_attention_heads=2,
        image_size=SIDE, patch_size=PATCH,
    )  # fmt: skip
    model = CLIPVisionModelWithProjection(config)
    model.load_state_dict(
        {n: t for n, t in tensors.items() if n.startswith("vision_model") or n == "visual_projection.weight"}
    )
    return model.eval().vision_model(preparation(SIDE)(images=photos, return_tensors="pt").pixel_values)


def plain_fuse(tensors: dict[str, Tensor], words: Tensor, stacked: Tensor) -> Tensor:
    def mlp(name: str, rows: Tensor) -> Tensor:
        inner = plain_linear(tensors, f"{name}.fc1", plain_norm(tensors, f"{name}.layernorm", rows))
        return plain_linear(tensors, f"{name}.fc2", gelu(inner))

    rows = mlp("fuse_module.mlp1", torch.cat([words, stacked], dim=-1)) + words
    return plain_norm(tensors, "fuse_module.layer_norm", mlp("fuse_module.mlp2", rows) + rows)


def plain_resampler(tensors: dict[str, Tensor], faces: Tensor, states: Tensor) -> Tensor:
    start, heads, width = "qformer_perceiver", 1, sum(WORD)
    rows = plain_linear(tensors, f"{start}.token_proj.0", faces)
    rows = plain_linear(tensors, f"{start}.token_proj.2", gelu(rows)).reshape(len(faces), 2, width)
    first = latent = plain_norm(tensors, f"{start}.token_norm", rows)
    seen = plain_linear(tensors, f"{start}.perceiver_resampler.proj_in", states)
    for layer in range(4):
        name = f"{start}.perceiver_resampler.layers.{layer}"
        asked = plain_norm(tensors, f"{name}.0.norm2", latent)
        heard = torch.cat([plain_norm(tensors, f"{name}.0.norm1", seen), asked], dim=1)
        keys, values = plain_linear(tensors, f"{name}.0.to_kv", heard).chunk(2, dim=-1)
        weight = plain_linear(tensors, f"{name}.0.to_q", asked) @ keys.transpose(1, 2) / math.sqrt(128 / heads)
        latent = plain_linear(tensors, f"{name}.0.to_out", weight.softmax(-1) @ values) + latent
        inner = plain_linear(tensors, f"{name}.1.1", plain_norm(tensors, f"{name}.1.0", latent))
        latent = plain_linear(tensors, f"{name}.1.3", gelu(inner)) + latent
    out = plain_linear(tensors, f"{start}.perceiver_resampler.proj_out", latent)
    return first + plain_norm(tensors, f"{start}.perceiver_resampler.norm_out", out)


@pytest.mark.parametrize("version", [1, 2])
@torch.no_grad()
def test_tokens_are_those_of_the_published_layout(place: Place, version: int) -> None:
    tensors, shown = place.files[version]["id_encoder"], subject(90, 200)
    photos = [photo.image for photo in shown.photos]
    faces = torch.stack([Faces().faces(photo)[0].embedding for photo in photos])
    seen = plain_clip(tensors, photos)
    pair = [linear(seen.pooler_output, tensors[f"visual_projection{end}.weight"]) for end in ("", "_2")]
    expected = (
        torch.cat(pair, dim=-1)[:, None] if version == 1 else plain_resampler(tensors, faces, seen.last_hidden_state)
    )
    torch.testing.assert_close(
        stacked_tokens(tensors, photos, faces if version == 2 else None), expected, atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(place.identity(version).tensors["stacked"], expected, atol=1e-4, rtol=1e-4)
    assert expected.shape == (2, version, sum(WORD)), "one token a photo, or two"


@torch.no_grad()
def test_the_word_is_fused_in_its_places_and_nowhere_else(place: Place) -> None:
    base, tensors, identity = place.base, place.files[2]["id_encoder"], place.identity(2)
    stacked = identity.tensors["stacked"].flatten(0, 1)
    wording = Wording(base, [Worded("sks", "dog", stacked, fusing_of(tensors))])
    heard = wording.encode_text(["a photo of sks dog on the beach"])
    words = base.encode_text(["a photo of dog dog dog dog on the beach"])  # one word, one token: the same numbers
    inside = slice(4, 8)
    expected = words.text.clone()
    expected[0, inside] = plain_fuse(tensors, words.text[0, inside], stacked)
    torch.testing.assert_close(heard.text, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(heard.pooled, words.pooled)
    assert (heard.text - words.text)[0, inside].abs().mean() > 1e-2


@pytest.mark.parametrize(("prompt", "text", "ends"), [
    ("a photo of sks person reading", "a photo of person reading", ["person"]),
    ("SKS Person, smiling", "Person, smiling", ["Person"]),
    ("a portrait of sks", "a portrait of person", ["person"]),
    ("sks's hat and a person", "person's hat and a person", ["person"]),
    ("a person in tasks", "a person in tasks", []),
    ("sks person beside <bob> dog", "person beside dog", ["person", "dog"]),
    ("<bob> dog beside sks", "dog beside person", ["dog", "person"]),
])  # fmt: skip
def test_prompts_are_read(prompt: str, text: str, ends: list[str]) -> None:
    known = [
        Worded("sks", "person", torch.zeros(1, 4), plain_norm),
        Worded("<bob>", "dog", torch.zeros(1, 4), plain_norm),
    ]
    sentence = read_sentence(prompt, known)
    assert sentence.text == text
    assert [sentence.text[:end].split()[-1].split("'")[0] for end, _ in sentence.words] == ends


def test_a_prompt_that_cannot_be_read_is_refused(place: Place) -> None:
    many = Worded("sks", "person", torch.zeros(80, 80), plain_norm)
    with pytest.raises(RecipeError, match="names 'sks' 2 times"):
        read_sentence("sks person and sks", [many])
    with pytest.raises(RecipeError, match="the photos do not fit"):
        Wording(place.base, [many]).encode_text([NAMED])
    few = replace(many, stacked=torch.zeros(2, 80), fuse=lambda words, stacked: words)
    long = Wording(place.base, [few]).encode_text([f"{NAMED} {'car ' * 90}"])
    assert long.text.shape == (1, 77, 80), "a long prompt is cut at its end"
    with (
        pytest.raises(RecipeError, match="prompt_2 is set"),
        PhotoMaker.attach(place.base, [Attachment(place.identity(1))]),
    ):
        latents(place.base, prompt_2="something else")
    assert place.unchanged()


def test_when_the_identity_is_heard() -> None:
    one = Worded("sks", "person", torch.zeros(1, 4), plain_norm)
    assert [one.plain_until(steps) for steps in (50, 5, 2, 1)] == [10, 1, 0, -1]
    assert replace(one, merge_after=1.0).plain_until(100) == 30 and replace(one, merge_after=0.0).plain_until(50) == -1
    assert replace(one, last_plain=10).plain_until(50) == 10 and replace(one, last_plain=10).plain_until(5) == 3
    assert replace(one, last_plain=-1).plain_until(50) == -1


# Drawing


@pytest.mark.parametrize("version", [1, 2])
def test_it_draws_the_identity_and_leaves_no_trace(place: Place, version: int) -> None:
    base, identity, far = place.base, place.identity(version), {}
    plain = latents(base)
    for scale in (0.0, 0.5, 1.0):
        with PhotoMaker.attach(base, [Attachment(identity, scale)]) as lent:
            assert lent is base
            far[scale] = (predict(base, NAMED) - place.bare).norm().item()
            drawn = latents(base)
            assert torch.equal(drawn, latents(base)), "the same identity gives the same picture"
            assert not any(value.requires_grad for part in base.parts().values() for value in part.parameters())
        assert torch.equal(drawn, plain) == (scale == 0)
        assert place.unchanged()
    assert far[0.0] == 0 < far[0.5] < far[1.0]
    with PhotoMaker.attach(base, [Attachment(place.identity(version, 30))]):
        assert not torch.allclose(latents(base), drawn), "another person, another picture"
    with pytest.raises(KeyError), PhotoMaker.attach(base, [Attachment(identity)]):
        raise KeyError("somebody else's mistake")
    assert place.unchanged()


def test_words_are_heard_first_and_then_the_identity(place: Place) -> None:
    base, seen = place.base, []
    prompts = [NAMED, "a red car"]
    with PhotoMaker.attach(base, [Attachment(place.identity(2, start_merge_step=0))]):
        with torch.no_grad():
            named = base.encode_text(prompts)
            plain = [base.encode_text([prompt]) for prompt in ("a photo of person on the beach", "a red car")]
        unet = base.parts()["unet"]
        hook = unet.register_forward_pre_hook(lambda module, args, told: seen.append(told), with_kwargs=True)
        try:
            latents(base, prompts, num_images_per_prompt=2, negative_prompt=["blurry"] * 2)
        finally:
            hook.remove()
    assert len(seen) == 3 and all(len(told["encoder_hidden_states"]) == 8 for told in seen)
    for told, rows, pooled in (
        (seen[0], [plain[0].text, plain[1].text], [plain[0].pooled, plain[1].pooled]),
        (seen[1], [named.text[:1], named.text[1:]], [named.pooled[:1], named.pooled[1:]]),
        (seen[2], [named.text[:1], named.text[1:]], [named.pooled[:1], named.pooled[1:]]),
    ):
        expected = torch.cat([rows[0], rows[0], rows[1], rows[1]])
        torch.testing.assert_close(told["encoder_hidden_states"][4:], expected, atol=1e-5, rtol=1e-5)
        expected = torch.cat([pooled[0], pooled[0], pooled[1], pooled[1]])
        torch.testing.assert_close(told["added_cond_kwargs"]["text_embeds"][4:], expected, atol=1e-5, rtol=1e-5)
    kept = [told["encoder_hidden_states"][:4] for told in seen]
    assert torch.equal(kept[0], kept[1]) and kept[0].abs().max() > 0, (
        "the unguided half hears what it is told throughout"
    )
    assert place.unchanged()


def test_a_prompt_without_the_token_and_other_pipelines(place: Place) -> None:
    base, start = place.base, Image.new("RGB", (64, 64), (90, 120, 150))
    with PhotoMaker.attach(base, [Attachment(place.identity(1, lora_scale=0.0))]):
        assert torch.equal(latents(base, "a red car"), latents(place.base, "a red car"))
        calm = latents(base, "a red car")
        drawn = {kind: latents(base, kind=kind, image=start, strength=0.9, **more) for kind, more in ASKS.items()}
        unguided = latents(base, guidance_scale=1.0)
    assert torch.equal(latents(base, "a red car"), calm), "it is the bare base's picture"
    for kind, more in ASKS.items():
        bare = latents(base, "a photo of person on the beach", kind=kind, image=start, strength=0.9, **more)
        assert (drawn[kind] - bare).abs().mean() > 1e-3
    assert not torch.allclose(unguided, latents(base, "a photo of person on the beach", guidance_scale=1.0))
    assert place.unchanged()


ASKS: dict[str, dict[str, Any]] = {"image": {}, "inpaint": {"mask_image": Image.new("L", (64, 64), 255)}}


def test_two_people_in_one_prompt_each_in_a_word(place: Place) -> None:
    ada, bob = place.identity(2, 90), replace(place.identity(2, 30), token="<bob>")
    drawn = []
    for second in (bob, replace(place.identity(2, 200), token="<bob>")):
        with PhotoMaker.attach(place.base, [Attachment(ada), Attachment(second)]):
            drawn.append(predict(place.base, "sks person beside <bob> person"))
    assert not torch.allclose(*drawn), "who the second one is matters"
    with (
        pytest.raises(RecipeError, match="two identities bear the token 'sks'"),
        PhotoMaker.attach(place.base, [Attachment(ada)] * 2),
    ):
        pass
    bounded = Sitting(ada, region=Image.new("L", (8, 8), 255))
    with pytest.raises(CapabilityError, match="has a region"), PhotoMaker.attach(place.base, [bounded]):
        pass
    assert place.unchanged()


def test_it_composes_with_an_image_adapter_in_either_order(place: Place, tmp_path: Path) -> None:
    write_adapter(tmp_path / "style", adapter("plain", place.base.parts()["unet"]))
    write_clip(tmp_path / "clip")
    options = IPAdapterOptions(weights=str(tmp_path))
    style = Attachment(IPAdapter.begin(place.base, subject(150), {}, options).identity())
    person, drawn = Attachment(place.identity(1)), {}
    with PhotoMaker.attach(place.base, [person]):
        drawn["person"] = latents(place.base)
        with IPAdapter.attach(place.base, [style]):
            drawn["style within"] = latents(place.base)
    with IPAdapter.attach(place.base, [style]), PhotoMaker.attach(place.base, [person]):
        drawn["style around"] = latents(place.base)
    torch.testing.assert_close(drawn["style within"], drawn["style around"], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(drawn["style within"], drawn["person"]) and place.unchanged()


# Files and encoders


def test_a_copy_as_safetensors_and_a_saved_identity_draw_the_same(place: Place, tmp_path: Path) -> None:
    copied = convert(place.folder / "v2" / "whatever.bin", tmp_path / "copy.safetensors", encoder=SPACE)
    assert copied.kind == "photomaker-v2" and copied.encoder == SPACE and copied.input_width == FACE
    options = PhotoMakerOptions(weights=str(copied.path))
    learner = PhotoMaker.begin(place.base, subject(90, 200), {"f": Faces()}, options)
    shown = learner.preview([NAMED], [0], DRAW)
    loaded = Identity.load(learner.identity().save(tmp_path / "identity.safetensors"))
    assert torch.equal(loaded.tensors["stacked"], place.identity(2).tensors["stacked"]) and loaded.tensors.keys() == {
        "stacked"
    }
    for identity in (loaded, place.identity(2)):
        with PhotoMaker.attach(place.base, [Attachment(identity)]):
            (again,) = draw_all(place.base.pipeline("text"), [NAMED], [0], DRAW)
        assert shown[0].tobytes() == again.tobytes()
    other = Faces()
    other.space = "toy-face:1"
    with pytest.raises(WeightsError, match="and these are of 'toy-face:1'"):
        PhotoMaker.begin(place.base, subject(90), {"f": other}, options)


def test_refuses_before_anything_is_drawn(place: Place, tmp_path: Path) -> None:
    begin = {"base": place.base, "subject": subject(90)}
    with pytest.raises(CapabilityError, match="looks at faces"):
        PhotoMaker.begin(**begin, encoders={}, options=place.options(2))
    with pytest.raises(WeightsError, match="trained with embeddings of 'insightface:"):
        PhotoMaker.begin(**begin, encoders={"f": Faces()}, options=place.options(2, face_space=None))
    with pytest.raises(SubjectError, match="no photo"):
        PhotoMaker.begin(place.base, subject(), {}, place.options(1))
    with pytest.raises(WeightsError, match="TencentARC/PhotoMaker are not on this machine") as told:
        PhotoMaker.begin(**begin, encoders={}, options=PhotoMakerOptions())
    assert LICENCE in told.value.needed
    strange = PhotoMaker.begin(**begin, encoders={}, options=place.options(1, crop="whole")).identity()
    elsewhere = photomaker(1, place.base.parts()["unet"], seed=77)
    write_adapter(tmp_path / "other", elsewhere)
    moved = replace(strange, options={**strange.options, "weights": str(tmp_path)})
    with (
        pytest.raises(WeightsError, match="fuses those of 'photomaker:"),
        PhotoMaker.attach(place.base, [Attachment(moved)]),
    ):
        pass
    del elsewhere["id_encoder"]["visual_projection.weight"]
    write_adapter(tmp_path / "other", elsewhere)
    with pytest.raises(WeightsError, match=r"missing or unknown, the first of them visual_projection\.weight"):
        PhotoMaker.begin(**begin, encoders={}, options=PhotoMakerOptions(weights=str(tmp_path)))
    del elsewhere["id_encoder"]["fuse_module.mlp1.fc1.weight"]
    write_adapter(tmp_path / "other", elsewhere)
    with pytest.raises(WeightsError, match="fuse_module"):
        PhotoMaker.begin(**begin, encoders={}, options=PhotoMakerOptions(weights=str(tmp_path)))
    with pytest.raises(CapabilityError, match="a few tokens"):
        PhotoMaker.export(strange, place.base, "kohya", tmp_path)
    assert place.unchanged()
