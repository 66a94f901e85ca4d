"""Hold InstantID over stock pipelines against the code that its authors released, on random weights at toy width.

    INSTANTID_DIR=checkout-of-instantX-research/InstantID python -m benchmarks.instantid_parity [--write]

The released code runs as it is, but for one import that current diffusers lacks and the resampler's size, which it writes out
as a constant. `--write` keeps its latents as `tests/golden/instantid/released.safetensors`.
"""

import functools
import importlib
import os
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ipseity.core.files import write_tensors
from ipseity.core.identity import Attachment
from ipseity.core.keypoints import draw_keypoints
from ipseity.core.rng import Rng
from ipseity.methods.instantid import InstantID
from ipseity.methods.parts.identity_net import IdentityNet
from tests.golden.instantid.toy import HIDDEN, POINTS, TOKENS, WIDTH, Toy, make_toy

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "instantid" / "released.safetensors"
STEPS, SIDE = 3, 64
CASES: dict[str, dict[str, Any]] = {
    "text": {},
    "text-unguided": {"guidance_scale": 1.0},
    "text-two-images": {"num_images_per_prompt": 2},
    "image": {"strength": 0.7},
    "two-nets": {},
    "region": {},
}


def common(toy: Toy, case: str) -> dict[str, Any]:
    """What both are asked: the same words, already encoded, the same noise, the same steps."""
    base, more = toy.base, CASES[case]
    with torch.no_grad():
        words, pooled = (getattr(base.encode_text(["a photo of a person"]), name) for name in ("text", "pooled"))
        nothing, none_pooled = (getattr(base.encode_text(["blurry"]), name) for name in ("text", "pooled"))
    count = more.get("num_images_per_prompt", 1)
    chance = [torch.Generator().manual_seed(number) for number in range(count)]
    return {
        "prompt_embeds": words,
        "pooled_prompt_embeds": pooled,
        "negative_prompt_embeds": nothing,
        "negative_pooled_prompt_embeds": none_pooled,
        "num_inference_steps": STEPS if case != "image" else 4,
        "guidance_scale": 5.0,
        "height": SIDE,
        "width": SIDE,
        "generator": chance if count > 1 else chance[0],
        "output_type": "latent",
        **more,
    }


def photo() -> Tensor:
    """Something to start image-to-image from, (1, 3, 64, 64) in [0, 1]."""
    return Rng(3, ("photo",)).uniform((1, 3, SIDE, SIDE))


def region() -> Any:
    """The left half, white: its edge lies on an edge of every attention map."""
    from PIL import Image

    mask = Image.new("RGB", (SIDE, SIDE))
    mask.paste((255, 255, 255), (0, 0, SIDE // 2, SIDE))
    return mask


def ours(toy: Toy, case: str) -> Tensor:
    """Draw with stock pipelines, through the method where it has the case."""
    from diffusers import MultiControlNetModel, StableDiffusionXLControlNetPipeline

    from ipseity.core.identity import Sitting

    identity, asked = toy.identity(), common(toy, case)
    sitting = Sitting(identity, region=region()) if case == "region" else Attachment(identity)
    with torch.no_grad(), InstantID.attach(toy.base, [sitting]):
        if case == "image":
            return quiet(toy.base.pipeline("image"))(image=photo(), **asked).images
        drawer = quiet(toy.base.pipeline("text"))
        if case != "two-nets":
            return drawer(**asked).images
        sitter = drawer._sitters[0]
        net = IdentityNet.of(toy.net, sitter.id_tokens, no_id_tokens=sitter.no_id_tokens, guided=True)
        stock = StableDiffusionXLControlNetPipeline(
            **drawer.components, controlnet=MultiControlNetModel([net, toy.other]), add_watermarker=False
        )
        embedding = identity.tensors["embedding"][None, None, None]
        told = {"image": pictures(), "controlnet_conditioning_scale": [0.8, 0.5]}
        rows = torch.cat([torch.zeros_like(embedding), embedding])
        return quiet(stock)(**asked, **told, ip_adapter_image_embeds=[rows]).images


def pictures() -> list[Any]:
    """The face's points, and an upside-down picture of them for the other net."""
    face = draw_keypoints(POINTS, (SIDE, SIDE))
    return [face, face.rotate(180)]


def quiet(pipeline: Any) -> Any:
    """No progress bar."""
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@contextmanager
def released_modules() -> Iterator[Callable[[str], Any]]:
    """Make the released code importable for the length of a block, and leave no module of it behind."""
    from diffusers import MultiControlNetModel

    before, path = dict(sys.modules), list(sys.path)
    gone = types.ModuleType("diffusers.pipelines.controlnet.multicontrolnet")
    gone.MultiControlNetModel = MultiControlNetModel  # type: ignore[attr-defined]
    sys.modules[gone.__name__] = gone
    for optional in ("cv2",):  # the released drawing of points alone needs it
        try:
            importlib.import_module(optional)
        except ImportError:
            sys.modules[optional] = types.ModuleType(optional)
    sys.path.insert(0, os.environ["INSTANTID_DIR"])

    def find(name: str) -> Any:
        module = importlib.import_module(name)
        module.Resampler = functools.partial(_small, module.Resampler)
        return module

    try:
        yield find
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - set(before):
            if name == gone.__name__ or name.startswith(("ip_adapter", "pipeline_stable_diffusion_xl_instantid")):
                del sys.modules[name]


def _small(maker: Any, **sizes: Any) -> Any:
    maker = maker.args[0] if isinstance(maker, functools.partial) else maker
    return maker(**{**sizes, "dim": HIDDEN, "heads": HIDDEN // 64})


def released(toy: Toy, case: str) -> Tensor:
    """Draw with the released pipelines over a copy of the same modules."""
    from diffusers import MultiControlNetModel

    suffix = {"image": "_img2img", "two-nets": "_full", "region": "_full"}.get(case, "")
    kind = "StableDiffusionXLInstantIDImg2ImgPipeline" if case == "image" else "StableDiffusionXLInstantIDPipeline"
    stock = toy.base.pipeline("text")
    with released_modules() as find, torch.no_grad():
        maker = getattr(find(f"pipeline_stable_diffusion_xl_instantid{suffix}"), kind)
        net = MultiControlNetModel([toy.net, toy.other]) if case == "two-nets" else toy.net
        parts = {**stock.components, "scheduler": type(stock.scheduler).from_config(stock.scheduler.config)}
        drawer = quiet(maker(**parts, controlnet=net, add_watermarker=False))
        drawer.load_ip_adapter_instantid(
            str(toy.folder / "ip-adapter.bin"), image_emb_dim=WIDTH, num_tokens=TOKENS, scale=0.8
        )
        asked = {**common(toy, case), "image_embeds": toy.identity().tensors["embedding"]}
        if case == "image":
            asked |= {"image": photo(), "control_image": pictures()[0], "controlnet_conditioning_scale": 0.8}
        elif case == "two-nets":
            asked |= {"image": pictures(), "controlnet_conditioning_scale": [0.8, 0.5]}
        else:
            asked |= {"image": pictures()[0], "controlnet_conditioning_scale": 0.8}
        return drawer(**asked, **({"control_mask": region()} if case == "region" else {})).images


def main() -> None:
    """Print the largest difference of each case, and keep the released latents where asked."""
    if "INSTANTID_DIR" not in os.environ:
        raise SystemExit(
            "INSTANTID_DIR names no checkout of the released code. Clone instantX-research/InstantID and set it."
        )
    kept = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            own = ours(make_toy(Path(folder), own_unet=True), case)
            theirs = released(make_toy(Path(folder), own_unet=True), case)
        kept[case] = theirs
        largest = (own - theirs).abs().max().item()
        print(f"{case:16} largest {theirs.abs().max().item():9.3f}  difference {largest:.2e}")
    if "--write" in sys.argv[1:]:
        write_tensors(GOLDEN, kept, {"made_by": "python -m benchmarks.instantid_parity --write"})
        print(f"wrote {GOLDEN}")


if __name__ == "__main__":
    main()
