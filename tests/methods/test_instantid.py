"""InstantID over stock pipelines: tokens in place of text, files known by their keys, a base put back bit for bit."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, MultiControlNetModel
from PIL import Image, ImageDraw
from torch import Tensor

from ipseity.bases.sd15 import SD15
from ipseity.core.drawing import DrawOptions, draw_all
from ipseity.core.errors import CapabilityError, SubjectError, WeightsError
from ipseity.core.faces import Face
from ipseity.core.identity import Attachment, Identity, Sitting
from ipseity.core.rng import Rng
from ipseity.core.types import Photo, Subject
from ipseity.methods.instantid import PUBLISHED_SPACE, InstantID, InstantIDOptions, load_net
from ipseity.methods.parts import adapter_file
from ipseity.methods.parts.adapter_file import check_encoder, convert, describe, find_adapter, kind_of, read_adapter
from ipseity.methods.parts.identity_net import IdentityNet
from ipseity.methods.parts.image_adapter import adapters_inside
from tests.contracts.test_methods import batch_for, differences, predict, state
from tests.golden.instantid.toy import POINTS, SPACE, TOKENS, WIDTH, Toy, filled, make_toy

DRAW = DrawOptions(num_inference_steps=1, guidance_scale=3.0)
OUT = 80


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    made = make_toy(tmp_path_factory.mktemp("instantid"))
    draw_all(made.base.pipeline("text"), ["a mug"], [0], DRAW)  # libraries set themselves up when first used
    return made


# IdentityNet


def tokens(seed: int, rows: int = 1) -> Tensor:
    return torch.randn(rows, TOKENS, OUT, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def residuals(net: Any, rows: int, text: Tensor | None = None, **told: Any) -> list[Tensor]:
    chance = torch.Generator().manual_seed(5)
    sample, picture = (
        torch.randn(6, 4, 8, 8, generator=chance)[:rows],
        torch.rand(6, 3, 64, 64, generator=chance)[:rows],
    )
    added = {"text_embeds": torch.ones(rows, 48), "time_ids": torch.full((rows, 6), 64.0)}
    heard = torch.zeros(rows, 77, OUT) if text is None else text
    shown = [picture] * len(net.nets) if isinstance(net, MultiControlNetModel) else picture
    scale = [1.0] * len(shown) if isinstance(shown, list) else 1.0
    down, mid = net(
        sample, torch.tensor(500), encoder_hidden_states=heard, controlnet_cond=shown, conditioning_scale=scale,
        added_cond_kwargs=added, return_dict=False, **told,
    )  # fmt: skip
    return [*down, mid]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_it_hears_tokens_whatever_is_said(toy: Toy) -> None:
    net = IdentityNet.of(toy.net, tokens(0))
    expected = residuals(toy.net, 2, tokens(0).expand(2, -1, -1))
    assert same(residuals(net, 2), expected)
    assert same(residuals(net, 2, torch.randn(2, 77, OUT)), expected)
    assert not same(residuals(toy.net, 2), expected), "the net itself goes on hearing text"
    whole = IdentityNet.of(toy.net, tokens(0))(
        torch.zeros(1, 4, 8, 8), timestep=torch.tensor(1), encoder_hidden_states=None,
        controlnet_cond=torch.zeros(1, 3, 64, 64),
        added_cond_kwargs={"text_embeds": torch.ones(1, 48), "time_ids": torch.ones(1, 6)},
    )  # fmt: skip
    assert len(whole.down_block_res_samples) == len(expected) - 1


@pytest.mark.parametrize(("guided", "guess", "rows", "order"), [
    (False, False, 2, "ii"), (True, False, 2, "ni"), (True, False, 6, "nnniii"), (True, True, 3, "iii"),
    (False, True, 2, "ii"),
])  # fmt: skip
def test_each_half_hears_its_own(toy: Toy, guided: bool, guess: bool, rows: int, order: str) -> None:
    net = IdentityNet.of(toy.net, tokens(0), no_id_tokens=tokens(1), guided=guided)
    heard = torch.cat([tokens(0) if letter == "i" else tokens(1) for letter in order])
    assert same(residuals(net, rows, guess_mode=guess), residuals(toy.net, rows, heard, guess_mode=guess))


def test_one_identity_a_prompt_is_repeated_as_prompts_are(toy: Toy) -> None:
    net = IdentityNet.of(toy.net, tokens(0, rows=2))
    heard = tokens(0, rows=2)[[0, 0, 1, 1]]
    assert same(residuals(net, 4), residuals(toy.net, 4, heard))
    with pytest.raises(CapabilityError, match="3 pictures are drawn with 2 identities"):
        residuals(net, 3)
    with pytest.raises(CapabilityError, match="guided=False"):
        residuals(IdentityNet.of(toy.net, tokens(0), no_id_tokens=tokens(1), guided=True), 3)


def test_a_region_bounds_every_residual(toy: Toy) -> None:
    left = torch.zeros(1, 1, 64, 64)
    left[..., :32] = 1
    bounded = residuals(IdentityNet.of(toy.net, tokens(0), no_id_tokens=tokens(1), guided=True, region=left), 2)
    free = residuals(IdentityNet.of(toy.net, tokens(0), no_id_tokens=tokens(1), guided=True), 2)
    for part, whole in zip(bounded, free, strict=True):
        half = whole.shape[-1] // 2
        torch.testing.assert_close(part[..., :half], whole[..., :half])
        assert not part[..., half:].any() and whole[..., half:].any()


def test_two_people_share_one_nets_weights_and_other_nets_hear_text(toy: Toy) -> None:
    first, second = (IdentityNet.of(toy.net, tokens(seed)) for seed in (0, 1))
    both = MultiControlNetModel([first, second, toy.other])
    assert len(list(both.parameters())) == len(list(toy.net.parameters())) + len(list(toy.other.parameters()))
    text = torch.randn(2, 77, OUT, generator=torch.Generator().manual_seed(9))
    expected = [
        residuals(toy.net, 2, tokens(0).expand(2, -1, -1)), residuals(toy.net, 2, tokens(1).expand(2, -1, -1)),
        residuals(toy.other, 2, text),
    ]  # fmt: skip
    for found, parts in zip(residuals(both, 2, text), zip(*expected, strict=True), strict=True):
        torch.testing.assert_close(found, sum(parts))


def test_it_follows_moves_and_forgets_the_nets_hooks(toy: Toy) -> None:
    hooked = copy.deepcopy(toy.net)
    hooked.forward = hooked.forward  # bound to the net and kept on it, as offloading leaves it
    assert same(residuals(IdentityNet.of(hooked, tokens(0)), 1), residuals(toy.net, 1, tokens(0)))
    moved = IdentityNet.of(copy.deepcopy(toy.net).double(), tokens(0))
    down, _ = moved(
        torch.zeros(1, 4, 8, 8).double(), torch.tensor(1), encoder_hidden_states=None,
        controlnet_cond=torch.zeros(1, 3, 64, 64).double(), return_dict=False,
        added_cond_kwargs={"text_embeds": torch.ones(1, 48).double(), "time_ids": torch.ones(1, 6).double()},
    )  # fmt: skip
    assert down[0].dtype == torch.float64


# Adapter files


def shapes_of(*names: str, **more: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {**dict.fromkeys(names, (4,)), "ip_adapter.1.to_k_ip.weight": (4, 4), **more}


FILES = {
    "instantid": shapes_of("image_proj.latents", **{"image_proj.proj_in.weight": (1280, 512)}),
    "plus": shapes_of("image_proj.latents", **{"image_proj.proj_in.weight": (1280, 1280)}),
    "plain": shapes_of("image_proj.proj.weight", "image_proj.proj.bias", "image_proj.norm.weight"),
    "full-face": shapes_of("image_proj.proj.0.weight", "image_proj.proj.2.weight", "image_proj.proj.3.weight"),
    "faceid": shapes_of("image_proj.proj.0.weight", "image_proj.proj.2.weight", "image_proj.norm.weight"),
    "faceid-plus": shapes_of(
        "image_proj.proj.0.weight", "image_proj.proj.2.weight", "image_proj.perceiver_resampler.proj_in.weight"
    ),
    "photomaker-v1": {"id_encoder.fuse_module.mlp1.fc1.weight": (4, 4), "lora_weights.a": (4,)},
    "photomaker-v2": {"id_encoder.qformer_perceiver.token_norm.weight": (4,), "lora_weights.a": (4,)},
    "unknown": {"conv_in.weight": (4, 4)},
}


@pytest.mark.parametrize("kind", FILES)
def test_files_are_known_by_their_keys(kind: str) -> None:
    assert kind_of(FILES[kind]) == kind


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind not in ("instantid", "unknown")])
def test_another_kind_is_refused_by_what_it_is(kind: str, tmp_path: Path) -> None:
    sections: dict[str, dict[str, Tensor]] = {}
    for name, shape in FILES[kind].items():
        section, _, rest = name.partition(".")
        sections.setdefault(section, {})[rest] = torch.zeros(shape)
    torch.save(sections, tmp_path / "ip-adapter.bin")  # the published name, and another content
    with pytest.raises(WeightsError) as told:
        find_adapter(tmp_path)
    assert adapter_file.NAMES[kind] in str(told.value) and "InstantID" in told.value.needed


def test_the_file_is_found_whatever_it_is_called(toy: Toy, tmp_path: Path) -> None:
    torch.save(toy.adapter, tmp_path / "model_v3_final.pt")
    torch.save(
        {"image_proj": {"proj.weight": torch.zeros(4, 4)}, "ip_adapter": {"1.a": torch.zeros(1)}}, tmp_path / "a.bin"
    )
    found = find_adapter(tmp_path)
    assert found.path.name == "model_v3_final.pt" and found.input_width == WIDTH and found.output_width == OUT
    torch.save(toy.adapter, tmp_path / "again.bin")
    with pytest.raises(WeightsError, match="one file that is"):
        find_adapter(tmp_path)


def test_a_copy_as_safetensors_draws_the_same(toy: Toy, tmp_path: Path) -> None:
    copied = convert(toy.folder / "ip-adapter.bin", tmp_path / "copy.safetensors", encoder=SPACE)
    assert copied.kind == "instantid" and copied.encoder == SPACE
    read = read_adapter(copied.path)
    for section, tensors in toy.adapter.items():
        assert read[section].keys() == tensors.keys()
        assert all(torch.equal(read[section][name], value) for name, value in tensors.items())
    shutil.copytree(toy.folder / "ControlNetModel", tmp_path / "ControlNetModel")
    first, second = toy.identity(), toy.identity()
    second = replace(second, options={**second.options, "weights": str(tmp_path)})
    drawn = []
    for identity in (first, second):
        with InstantID.attach(toy.base, [Attachment(identity)]):
            drawn.append(predict(toy.base))
    assert torch.equal(*drawn)
    with pytest.raises(WeightsError, match="trained with embeddings of 'toy-face:0'"):
        convert(copied.path, tmp_path / "other.safetensors", encoder="another")


class Runs:
    """Something that a pickle would run."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return print, ("it ran",)


def test_pickles_that_run_code_and_cut_files_are_refused(toy: Toy, tmp_path: Path, capsys: Any) -> None:
    torch.save({"image_proj": Runs(), "ip_adapter": {}}, tmp_path / "bad.bin")
    with pytest.raises(WeightsError, match="nothing that runs"):
        describe(tmp_path / "bad.bin")
    assert "it ran" not in capsys.readouterr().out
    whole = (toy.folder / "ip-adapter.bin").read_bytes()
    (tmp_path / "cut.bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="cannot be read"):
        describe(tmp_path / "cut.bin")
    torch.save([1, 2], tmp_path / "list.bin")
    with pytest.raises(WeightsError, match="one of the sections"):
        describe(tmp_path / "list.bin")


def test_what_diffusers_would_cut_down_is_refused(toy: Toy, tmp_path: Path) -> None:
    def broken(name: str, change: Any) -> Any:
        tensors = copy.deepcopy(toy.adapter)
        change(tensors)
        torch.save(tensors, tmp_path / name)
        return describe(tmp_path / name)

    def add_layer(tensors: Any) -> None:
        extra = {name.replace("layers.3", "layers.4"): value for name, value in tensors["image_proj"].items()}
        tensors["image_proj"].update(extra)

    deeper = broken("deeper.bin", add_layer)
    headless = broken("head.bin", lambda t: t["image_proj"].update({"layers.0.0.to_q.weight": torch.zeros(32, 128)}))
    lacking = broken("lack.bin", lambda t: t["image_proj"].pop("norm_out.bias"))
    fewer = broken("few.bin", lambda t: [t["ip_adapter"].pop(f"19.to_{n}_ip.weight") for n in "kv"])
    wider = broken("wide.bin", lambda t: t["ip_adapter"].update({"5.to_k_ip.weight": torch.zeros(96, 2048)}))
    said = ["5 layers", "32 query rows", "norm_out.bias", "9 attention layers", r"layer 5 of shape \(96, 2048\)"]
    for file, words in zip((deeper, headless, lacking, fewer, wider), said, strict=True):
        with pytest.raises(WeightsError, match=words), adapters_inside(toy.base.pipeline("text"), [file], base="sdxl"):
            pass
    assert toy.base.parts()["unet"].encoder_hid_proj is None


def test_the_face_encoder_must_be_the_adapters_own(toy: Toy, tmp_path: Path) -> None:
    recorded = convert(toy.folder / "ip-adapter.bin", tmp_path / "a.safetensors", encoder=SPACE)
    check_encoder(recorded, SPACE, width=WIDTH)
    with pytest.raises(WeightsError, match="trained with embeddings of 'toy-face:0', and these are of 'toy-face:1'"):
        check_encoder(recorded, "toy-face:1", width=WIDTH)
    with pytest.raises(WeightsError, match="takes embeddings of width 32"):
        check_encoder(recorded, SPACE, width=512)
    with pytest.raises(WeightsError, match="trained with embeddings of 'toy-face:0'"):
        check_encoder(recorded, "toy-face:1", width=WIDTH, told="toy-face:1")
    silent = describe(toy.folder / "ip-adapter.bin")
    check_encoder(silent, SPACE, width=WIDTH, told=SPACE)
    with pytest.raises(WeightsError, match=r"set method\.face_space = 'toy-face:0'"):
        check_encoder(silent, SPACE, width=WIDTH)


def test_a_net_of_another_base_is_refused(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cross_attention_dim = 80"):
        load_net(toy.folder, SD15.tiny())
    with pytest.raises(WeightsError, match="0 ControlNets"):
        load_net(tmp_path, toy.base)


# The method


class Faces:
    """Finds one face in each photo, told by the photo's first pixel."""

    offers = frozenset({"image", "face"})
    name, licence, width, space = "faces", "none", WIDTH, SPACE

    def faces(self, image: Image.Image) -> list[Face]:
        value = float(image.getpixel((0, 0))[0])
        if value == 0:
            return []
        points = torch.tensor(POINTS) * value / 10
        return [Face((0.0, 0.0, 10 * value, 10 * value), points, torch.full((WIDTH,), value), 1.0)]


def subject(*values: int) -> Subject:
    photos = [Photo(Path(f"{v}.png"), Image.new("RGB", (400, 300), (v, 0, 0)), "0" * 64) for v in values]
    return Subject("ada", tuple(photos), "person", "sks")


def options(toy: Toy, **more: Any) -> InstantIDOptions:
    return InstantIDOptions(weights=str(toy.folder), **{"face_space": SPACE, **more})


def test_begins_with_the_mean_of_all_photos_and_nothing_to_learn(toy: Toy) -> None:
    before = state(toy.base)
    learner = InstantID.begin(toy.base, subject(10, 20), {"faces": Faces()}, options(toy))
    identity = learner.identity()
    assert not learner.trainable() and not differences(before, state(toy.base))
    torch.testing.assert_close(identity.tensors["embedding"], torch.full((WIDTH,), 15.0))
    (
        torch.testing.assert_close(identity.tensors["points"], torch.tensor(POINTS) * 2),
        "the face that fills most of its photo",
    )
    assert identity.tensors["size"].tolist() == [300, 400] and identity.options["face_space"] == SPACE
    assert InstantIDOptions(**identity.options).model_dump(mode="json") == identity.options
    assert all(value.dtype == torch.float32 for value in identity.tensors.values())
    losses = learner(batch_for(toy.base, cached=False), Rng(0))
    assert {name: tuple(values.shape) for name, values in losses.items()} == {"subject": (2,), "regularization": (2,)}
    unit = InstantID.begin(toy.base, subject(10, 30), {"faces": Faces()}, options(toy, mean="unit")).identity()
    torch.testing.assert_close(unit.tensors["embedding"], torch.full((WIDTH,), 20.0))
    learner.restore(unit.tensors)
    assert torch.equal(learner.identity().tensors["embedding"], unit.tensors["embedding"])
    with pytest.raises(WeightsError, match="checkpoint was made of"):
        learner.restore({"embedding": torch.zeros(3)})


def test_refuses_before_anything_is_drawn(toy: Toy) -> None:
    with pytest.raises(CapabilityError, match="looks at faces"):
        InstantID.begin(toy.base, subject(10), {}, options(toy))
    with pytest.raises(SubjectError, match=r"0\.png: encoder 'faces' finds no face"):
        InstantID.begin(toy.base, subject(10, 0), {"faces": Faces()}, options(toy))
    with pytest.raises(SubjectError, match="no photo"):
        InstantID.begin(toy.base, subject(), {"faces": Faces()}, options(toy))
    with pytest.raises(WeightsError, match="and these are of 'toy-face:0'"):
        InstantID.begin(toy.base, subject(10), {"faces": Faces()}, options(toy, face_space=PUBLISHED_SPACE))
    with pytest.raises(WeightsError, match="InstantX/InstantID are not on this machine.*non-commercial"):
        InstantID.begin(toy.base, subject(10), {"faces": Faces()}, InstantIDOptions())
    with pytest.raises(CapabilityError, match="one embedding"):
        InstantID.export(toy.identity(), toy.base, "kohya", toy.folder)


def test_attach_draws_the_identity_and_leaves_no_trace(toy: Toy) -> None:
    before, bare, modes = state(toy.base), predict(toy.base), vars(toy.base).keys() - {"pipeline"}
    identity = toy.identity()
    drawn, predicted = {}, {}
    for scale in (1.0, 0.5, 0.0):
        with InstantID.attach(toy.base, [Attachment(identity, scale)]) as lent:
            assert lent is toy.base
            assert not any(value.requires_grad for part in toy.base.parts().values() for value in part.parameters())
            predicted[scale] = predict(toy.base)
            drawn[scale] = draw_all(toy.base.pipeline("text"), ["a person", "a man"], [0, 1], DRAW)
        assert not differences(before, state(toy.base)) and vars(toy.base).keys() == modes
    assert torch.equal(predicted[0.0], bare) and torch.equal(predict(toy.base), bare)
    assert (predicted[0.5] - bare).norm() < (predicted[1.0] - bare).norm()
    plain = draw_all(toy.base.pipeline("text"), ["a person", "a man"], [0, 1], DRAW)
    assert [image.tobytes() for image in drawn[0.0]] == [image.tobytes() for image in plain]
    assert drawn[1.0][0].tobytes() != plain[0].tobytes() and drawn[1.0][0].size == (64, 64)
    with pytest.raises(KeyError), InstantID.attach(toy.base, [Attachment(identity)]):
        raise KeyError("somebody else's mistake")
    assert not differences(before, state(toy.base)) and vars(toy.base).keys() == modes


def test_previews_and_saved_files_draw_the_same(toy: Toy, tmp_path: Path) -> None:
    learner = InstantID.begin(toy.base, subject(10), {"faces": Faces()}, options(toy))
    shown = learner.preview(["a person"], [0], DRAW)
    loaded = Identity.load(learner.identity().save(tmp_path / "identity.safetensors"))
    with InstantID.attach(toy.base, [Attachment(loaded)]):
        (again,) = draw_all(toy.base.pipeline("text"), ["a person"], [0], DRAW)
    assert shown[0].tobytes() == again.tobytes()


def test_predict_is_what_the_pipeline_asks_the_denoiser(toy: Toy) -> None:
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    unet, base = toy.base.parts()["unet"], toy.base
    with InstantID.attach(base, [Attachment(toy.identity())]):
        hook = unet.register_forward_hook(
            lambda module, args, told, out: seen.append((args[0], torch.as_tensor(args[1]), out[0])), with_kwargs=True
        )
        try:
            draw_all(base.pipeline("text"), ["a person"], [0], DRAW.model_copy(update={"guidance_scale": 1.0}))
            latents, step, expected = seen[0]
            hints = base.size_hints([(64, 64)], [(0, 0)])
            with torch.no_grad():
                cond = replace(base.encode_text(["a person"]), size_hints=hints)
                level = (step.float() + 1) / base.path.num_levels
                own = base.predict(latents, level.reshape(1), cond)
            assert torch.equal(seen[-1][1].flatten()[:1], step.flatten()[:1]), "the same noise level"
        finally:
            hook.remove()
    torch.testing.assert_close(own, expected, atol=1e-5, rtol=1e-4)


def half(side: int) -> Image.Image:
    mask = Image.new("L", (64, 64))
    ImageDraw.Draw(mask).rectangle((32 * side, 0, 32 * side + 31, 63), fill=255)
    return mask


def test_two_people_each_in_their_place(toy: Toy, tmp_path: Path) -> None:
    ada, bob = toy.identity(0), toy.identity(1)
    with (
        pytest.raises(CapabilityError, match="2 identities are attached, and 'sks' has no region"),
        InstantID.attach(toy.base, [Attachment(ada), Attachment(bob)]),
    ):
        pass
    before, drawn = state(toy.base), {}
    for name, right in (("bob", bob), ("ada", ada)):
        sitters = [Sitting(ada, region=half(0)), Sitting(right, 0.9, points=POINTS, size=(64, 64), region=half(1))]
        with InstantID.attach(toy.base, sitters):
            drawn[name] = predict(toy.base)
    assert not torch.allclose(drawn["bob"], drawn["ada"]), "who stands on the right matters"
    other = make_toy(tmp_path)
    pair = [Sitting(ada, region=half(0)), Sitting(replace(bob, options=other.identity(1).options), region=half(1))]
    with InstantID.attach(toy.base, pair):  # two files with two adapters
        (image,) = draw_all(toy.base.pipeline("text"), ["two people"], [0], DRAW)
    assert not differences(before, state(toy.base)) and image.size == (64, 64)


def test_face_only_leaves_the_far_side_to_the_prompt(toy: Toy) -> None:
    from ipseity.methods.instantid import _moved

    box = _moved(torch.tensor([0.0, 0, 10, 10]), torch.tensor([[2.0, 2], [8, 8]]), torch.tensor([[12.0, 12], [24, 24]]))
    assert box == (8.0, 8.0, 28.0, 28.0), "twice as large, and along with the points"
    with InstantID.attach(toy.base, [Attachment(toy.identity())]):
        free = predict(toy.base)
    with InstantID.attach(toy.base, [Attachment(toy.identity(face_only=True))]):
        assert not torch.allclose(predict(toy.base), free)
        draw_all(toy.base.pipeline("text"), ["a person"], [0], DRAW)


def test_other_stock_pipelines_draw_it_too(toy: Toy) -> None:
    start = Image.new("RGB", (64, 64), (90, 120, 150))
    told = {"num_inference_steps": 1, "guidance_scale": 3.0, "strength": 1.0, "image": start}
    drawn = {}
    for scale in (0.0, 1.0):
        with InstantID.attach(toy.base, [Attachment(toy.identity(), scale)]):
            for kind, more in (("image", {}), ("inpaint", {"mask_image": half(0)})):
                pipeline = toy.base.pipeline(kind)
                pipeline.set_progress_bar_config(disable=True)
                chance = torch.Generator().manual_seed(0)
                drawn[kind, scale] = pipeline(prompt="a person", generator=chance, **told, **more).images[0]
    for kind in ("image", "inpaint"):
        assert drawn[kind, 1.0].size == (64, 64)
        assert drawn[kind, 1.0].tobytes() != drawn[kind, 0.0].tobytes()


def test_a_net_alone_says_that_it_needs_an_identity(toy: Toy) -> None:
    alone = IdentityNet.from_config(toy.net.config)
    with pytest.raises(AssertionError, match=r"IdentityNet\.of"):
        residuals(filled(alone, 0), 1)
    assert isinstance(toy.net, ControlNetModel) and not isinstance(toy.net, IdentityNet)
