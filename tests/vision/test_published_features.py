"""From a picture's file to its unit vector: what transformers' own processor and model give, with random weights."""

import pytest
import torch
import transformers
from torch.nn.functional import normalize

from ipseity.core.image import to_pixels
from ipseity.core.weights import quiet
from ipseity.evaluation.metrics.parts.looking import embed
from ipseity.vision.clip import CLIP
from ipseity.vision.dino import DINO
from tests.vision.test_encoders import BODY, clip_folder
from tests.vision.test_preprocess import picture

__all__ = ["clip_folder"]
BYTES = {"do_center_crop": True, "resample": 3, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
SHAPES = [(300, 300), (420, 300), (500, 777)]


def smooth(width, height):
    """A picture that is no edges only, as photos are."""
    return picture(9, 9).resize((width, height), 3)


@pytest.fixture(scope="module")
def dino_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dino")
    torch.manual_seed(0)
    with quiet():
        transformers.ViTModel(transformers.ViTConfig(**BODY, image_size=224, patch_size=32)).save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 224, "width": 224}, resample=2).save_pretrained(folder)
    return folder


@torch.no_grad()
@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("prepare", ["checkpoint", "dreambench"])
def test_dino_from_a_picture(dino_folder, size, prepare):
    """DreamBench's scripts: resize to 256 (bicubic), cut 224, ImageNet's colors, class token after the last norm."""
    image = smooth(*size)
    published = transformers.BitImageProcessorPil(
        size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224}, **BYTES
    )
    processor = (
        published
        if prepare == "dreambench"
        else transformers.ViTImageProcessorPil.from_pretrained(dino_folder, local_files_only=True)
    )
    with quiet():
        model = transformers.ViTModel.from_pretrained(dino_folder, dtype=torch.float32).eval()
    seen = torch.as_tensor(processor(image, return_tensors="np")["pixel_values"])
    theirs = normalize(model(seen).last_hidden_state[:, 0], dim=-1)
    ours = DINO.load(DINO.Options(weights=str(dino_folder), prepare=prepare))
    assert ours.embed(to_pixels([image])).mul(theirs).sum() > 0.9999
    assert embed([image], ours).mul(theirs).sum() > 0.999, "shrinking to 512 px first moves little"


@torch.no_grad()
@pytest.mark.parametrize("size", SHAPES)
def test_clip_from_a_picture(clip_folder, size):  # noqa: F811 - the fixture of the neighbor
    image = smooth(*size)
    processor = transformers.CLIPImageProcessorPil.from_pretrained(clip_folder, local_files_only=True)
    with quiet():
        model = transformers.CLIPModel.from_pretrained(clip_folder, dtype=torch.float32).eval()
    seen = torch.as_tensor(processor(image, return_tensors="np")["pixel_values"])
    pooled = model.visual_projection(model.vision_model(pixel_values=seen).pooler_output)
    ours = CLIP.load(CLIP.Options(weights=str(clip_folder)))
    assert ours.embed(to_pixels([image])).mul(normalize(pooled, dim=-1)).sum() > 0.9999
