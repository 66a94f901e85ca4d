"""Hold PhotoMaker over the stock pipeline against the code that its authors released, on random weights.

    PHOTOMAKER_DIR=checkout-of-TencentARC/PhotoMaker python -m benchmarks.photomaker_parity

The checkpoints are those of the released encoders themselves, with one layer in their CLIP; text is as wide as SDXL's, for the
released code writes these widths out. Two things of it are put right here: it imports a face library that this comparison
does not need, and it counts two tokens a photo for version 1, whose encoder gives one.
"""

import contextlib
import importlib
import importlib.util
import io
import os
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ipseity.bases.parts.tiny import tiny_checkpoint
from ipseity.bases.sdxl import SDXL
from ipseity.core.identity import Attachment, Identity
from ipseity.core.rng import Rng
from ipseity.methods.parts.stacked_id import fusing_of, stacked_tokens
from ipseity.methods.photomaker import PhotoMaker, PhotoMakerOptions

STEPS, MERGE, SIDE, WIDTHS, FACE = 4, 1, 64, (768, 1280), 512
ASKED: dict[str, Any] = {
    "num_inference_steps": STEPS,
    "guidance_scale": 4.0,
    "height": SIDE,
    "width": SIDE,
    "output_type": "latent",
    "negative_prompt": "blurry",
}


def main() -> None:
    """Print how far apart the latents are, for both versions."""
    if "PHOTOMAKER_DIR" not in os.environ:
        print("PHOTOMAKER_DIR names no checkout of the released code: nothing is compared.")
        return
    package = released_package(Path(os.environ["PHOTOMAKER_DIR"]))
    for version in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            print(f"version {version}: {compared(package, version, Path(folder))}")


def compared(package: Any, version: int, folder: Path) -> str:
    """Draw with both, and say how the latents differ."""
    checkpoint = make_checkpoint(package, version)
    torch.save(checkpoint, folder / "checkpoint.bin")
    theirs, own = released(package, checkpoint, version), ours(checkpoint, version, folder)
    plain = drawn(make_base().pipeline("text"), prompt="a photo of a person on the beach")
    return (
        f"largest difference {(theirs - own).abs().max():.2e} among latents up to {theirs.abs().max():.2f}; "
        f"without an identity the latents lie {(theirs - plain).abs().max():.2f} away"
    )


def make_base() -> SDXL:
    """SDXL at toy width but for its text, which is as wide as the released code writes out."""
    unet = {
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": WIDTHS[1] + 6 * 8,
    }
    return SDXL(tiny_checkpoint(SDXL.layout, 0, unet, WIDTHS))


def make_checkpoint(package: Any, version: int) -> dict[str, dict[str, Tensor]]:
    """Random weights under the names of the released encoder, and low-rank layers as it loads them."""
    torch.manual_seed(version)
    maker = package.PhotoMakerIDEncoder if version == 1 else package.PhotoMakerIDEncoder_CLIPInsightfaceExtendtoken
    unet: Any = make_base().parts()["unet"]
    layers, factors = dict(unet.named_modules()), {}
    for name in unet.attn_processors:
        layer: Any = layers[name.removesuffix("processor") + "to_q"]
        for part, shape in (("down", (4, layer.in_features)), ("up", (layer.out_features, 4))):
            factors[f"unet.{name}.to_q_lora.{part}.weight"] = torch.randn(shape) / shape[-1] ** 0.5
    return {"id_encoder": dict(maker().state_dict()), "lora_weights": factors}


def photos() -> list[Image.Image]:
    """Two pictures of noise."""
    pixels = Rng(3, ("photos",)).uniform((2, 300, 240, 3)).mul(255).byte().numpy()
    return [Image.fromarray(picture) for picture in pixels]


def faces() -> Tensor:
    """What a recognizer might give of them."""
    return Rng(4, ("faces",)).normal((2, FACE))


def drawn(pipeline: Any, **more: Any) -> Tensor:
    """Draw latents from one seed."""
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(generator=torch.Generator().manual_seed(0), **ASKED, **more).images


def ours(checkpoint: dict[str, dict[str, Tensor]], version: int, folder: Path) -> Tensor:
    """Draw with this package."""
    base, encoder = make_base(), checkpoint["id_encoder"]
    options = PhotoMakerOptions(
        weights=str(folder), start_merge_step=MERGE, id_space=fusing_of(encoder).space, face_space="any"
    )
    tokens = stacked_tokens(encoder, photos(), faces() if version == 2 else None)
    named = (base.name, base.fingerprint(), "photomaker", "sks", "person")
    identity = Identity({"stacked": tokens}, *named, options=options.model_dump(mode="json"))
    with PhotoMaker.attach(base, [Attachment(identity)]):
        return drawn(base.pipeline("text"), prompt="a photo of a sks person on the beach")


def released(package: Any, checkpoint: dict[str, dict[str, Tensor]], version: int) -> Tensor:
    """Draw with the released code."""
    stock: Any = make_base().pipeline("text")
    pipeline = package.PhotoMakerStableDiffusionXLPipeline(**stock.components, add_watermarker=False)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the whole checkpoint
        pipeline.load_photomaker_adapter(checkpoint, weight_name="", trigger_word="img", pm_version=f"v{version}")
    pipeline.num_tokens = version
    more = {"id_embeds": faces()} if version == 2 else {}
    asked = {"prompt": "a photo of a person img on the beach", "input_id_images": photos(), "start_merge_step": MERGE}
    return drawn(pipeline, **asked, **more)


def released_package(folder: Path) -> Any:
    """Import the released encoders and pipeline without the rest of their package."""
    package = types.ModuleType("photomaker")
    package.__path__ = [str(folder / "photomaker")]
    sys.modules["photomaker"] = package
    if importlib.util.find_spec("einops") is None:  # the part that needs it is not used
        layers = types.ModuleType("einops.layers.torch")
        layers.Rearrange = object  # type: ignore[attr-defined] # a stand-in
        einops = types.ModuleType("einops")
        einops.rearrange = None  # type: ignore[attr-defined] # a stand-in
        sys.modules |= {
            "einops": einops,
            "einops.layers": types.ModuleType("einops.layers"),
            "einops.layers.torch": layers,
        }
    for name in ("model", "model_v2"):
        module = importlib.import_module(f"photomaker.{name}")
        module.VISION_CONFIG_DICT.update(num_hidden_layers=1, intermediate_size=64)
        for key in ("PhotoMakerIDEncoder", "PhotoMakerIDEncoder_CLIPInsightfaceExtendtoken"):
            if hasattr(module, key):
                setattr(package, key, getattr(module, key))
    pipeline = importlib.import_module("photomaker.pipeline")
    package.PhotoMakerStableDiffusionXLPipeline = pipeline.PhotoMakerStableDiffusionXLPipeline  # type: ignore[attr-defined]
    return package


if __name__ == "__main__":
    main()
