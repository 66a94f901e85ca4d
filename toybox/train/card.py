"""Writes the model card of the shipped folder from the measured figures, whatever they are."""

import json
from pathlib import Path

from toybox.train.measure import GOALS
from toybox.train.package import SHIPPED
from toybox.train.runs import BUILD

CARD = """# toybox: a very small SDXL of a painted world

A trained latent diffusion model in the plain diffusers layout of SDXL, {megabytes:.1f} MB in fp16, 128 x 128 pixels. It
draws the {classes} kinds of things and {places} places of one drawn world, and it is made to *learn subjects*: it exists so that every
part of ipseity runs for real on a processor, without a download. It knows nothing else.

```python
import torch
from diffusers import StableDiffusionXLPipeline

pipe = StableDiffusionXLPipeline.from_pretrained("src/ipseity/assets/toybox", dtype=torch.float32)
pipe("a photo of a red car in the city", num_inference_steps=25, guidance_scale=4.0).images[0]
```

Pass `dtype=torch.float32` on a processor: the files hold fp16. No negative prompt means zeros (`force_zeros_for_empty_prompt`), as in
SDXL; the empty prompt was trained too.

| folder | what | trained on |
|---|---|---|
| `unet`, `text_encoder`, `text_encoder_2` | v-prediction, zero terminal SNR, trailing steps; learned together; the last run: {steps} steps, ending in calm scenes | renders |
| `vae` | 4 latent channels, stride 4, `scaling_factor` says it all; latents at half size decode to pictures at half size | renders; photos without people of scikit-image |
| `tokenizer`, `tokenizer_2` | own byte-level BPE of {vocab} entries in CLIP's form; `sks zwx ohwx qrv vlk xyz xyz1` are one token each | captions |
| `toy_clip` | a CLIP of pictures and captions, a judge | renders of other seeds |
| `toy_vit` | a ViT whose class token tells individuals apart, a judge | individuals of other seeds |

The judges share no weight with the model that they judge.

## Where it comes from

Everything was learned from pictures that the toybox's own world draws: cut-outs of Fluent Emoji 3D (MIT) and own drawings, on own
painted places, with captions from a grammar. No photo of a person, no real person's face, no text or picture from the web. `toybox/` holds
all that is needed to make it again; the licence of the weights is that of ipseity (Apache-2.0).

## Figures

All by `python -m toybox.train measure` (checker trained by `python -m toybox.train checker`). Intervals are Wilson's, 95 %.

{count} combinations of thing, colour and place that were never shown in training, one plain prompt and one seed each, drawn by
`StableDiffusionXLPipeline` with guidance 4 and 25 steps, marked by a classifier
trained on renders (it looks through EfficientNet-Lite2, frozen, and through a small net of its own):

| right | drawn | goal | the classifier itself, on renders it never saw | the same renders through the VAE |
|---|---|---|---|---|
{rows}

| part | figure |
|---|---|
| VAE, round trip of renders never seen | {psnr_renders:.1f} dB PSNR |
{photos}| VAE: capitals of 10 px read right after a round trip (before: {letters_crisp:.1%}) | {letters:.1%} |
| toy_clip: right caption of 100, held-out renders | {retrieval:.1%} |
| toy_clip: right class / colour by words | {clip_class:.1%} / {clip_colour:.1%} |
| toy_vit: same individual against another of its class (AUC), individuals never seen | {auc:.3f} |
| toy_vit: nearest other view is the same individual (recall@1 of {gallery}) | {recall:.1%} |

## Limits

{limits}
"""


def _rows(figures: dict) -> str:
    base, own = figures["base"], figures["checker"]
    out = []
    for key, goal in GOALS.items():
        share, low, high = base[key]
        out.append(
            f"| {key} | {share:.1%} ({low:.1%} to {high:.1%}) | {goal:.0%} | {own[key]:.1%} | {own[key + '_decoded']:.1%} |"
        )
    return "\n".join(out)


def _limits(figures: dict) -> str:
    missed = [key for key, goal in GOALS.items() if figures["base"][key][0] < goal]
    lines = [
        "* It draws only the words of its world, at 128 pixels; other words are taken as nothing or as what they sound like.",
        "* Real photos come back a little soft from the autoencoder (figures above).",
    ]
    if missed:
        lines.append(
            f"* This version misses its goal for: {', '.join(missed)}. Things are the weakest: it was trained for a short"
        )
        lines.append(
            "  time on two processor cores; more training on the same data goes on from these weights (`unet --from-shipped`)."
        )
    if figures["base"]["class"][0] < 0.3:
        lines.append(
            "* Look before you use it: colours obey the prompt and most places do; sneakers, gifts, glasses, tractors and trees have their shape, but"
            "\n  most things are still rough, surfaces show a mosaic, and what must be read (letters, badges, dials) is not there."
        )
    lines.append("* Its judges know this world alone: they say nothing about photos of other things.")
    return "\n".join(lines)


def write_card(build: Path = BUILD, folder: Path = SHIPPED) -> Path:
    """Fills the card with the figures of build/toybox/figures.json.

    Args:
        build: folder of work products.
        folder: the shipped folder.

    Returns:
        The card's path.
    """
    from toybox.world import classes, places

    figures = json.loads((build / "figures.json").read_text())
    clip, vit, vae = figures["judges"]["toy_clip"], figures["judges"]["toy_vit"], figures["vae"]
    photos = f"| VAE, round trip of the {vae['photos']} DreamBench photos | {vae['psnr_photos']:.1f} dB PSNR |\n"
    text = CARD.format(
        megabytes=figures["size"]["megabytes"],
        classes=len(classes()),
        places=len(places()),
        steps=figures["size"]["steps"],
        vocab=figures["size"]["vocab"],
        count=figures["base"]["count"],
        rows=_rows(figures),
        psnr_renders=vae["psnr_renders"],
        letters=vae["letters"],
        letters_crisp=vae["letters_crisp"],
        photos=photos if "psnr_photos" in vae else "",
        retrieval=clip["retrieval_top1_of_100"],
        clip_class=clip["class_top1"],
        clip_colour=clip["colour_top1"],
        auc=vit["auc_same_class"],
        recall=vit["recall_at_1"],
        gallery=vit["gallery"],
        limits=_limits(figures),
    )
    path = folder / "README.md"
    path.write_text(text)
    return path
