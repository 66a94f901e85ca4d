"""Our preparation of pixels is what transformers' own image processors do to the same picture."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ipseity.core.errors import WeightsError
from ipseity.core.image import to_pixels
from ipseity.vision.parts.preprocess import Preprocess

CLIP_LIKE = {"size": {"shortest_edge": 64}, "crop_size": {"height": 56, "width": 56}, "do_center_crop": True}
CASES = {
    "clip": (
        "CLIPImageProcessorPil",
        {**CLIP_LIKE, "resample": 3, "image_mean": [0.48, 0.45, 0.4], "image_std": [0.26, 0.25, 0.27]},
    ),
    "vit": (
        "ViTImageProcessorPil",
        {"size": {"height": 48, "width": 40}, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    ),
    "bit": ("BitImageProcessorPil", {**CLIP_LIKE, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.3] * 3}),
}


def picture(width, height):
    """A smooth picture with edges, so that filters show."""
    chance = np.random.default_rng(0)
    small = Image.fromarray(chance.integers(0, 255, (9, 9, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.NEAREST)


def write(folder, maker, config):
    import transformers

    processor = getattr(transformers, maker)(**config)
    processor.save_pretrained(folder)
    return processor


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("size", [(150, 110), (110, 150), (64, 64), (33, 50)])
def test_agrees_with_the_processor(kind, size, tmp_path):
    image = picture(*size)
    processor = write(tmp_path, *CASES[kind])
    theirs = torch.as_tensor(np.asarray(processor(image, return_tensors="np")["pixel_values"]))
    ours = Preprocess.read(tmp_path)(to_pixels([image]))
    assert ours.shape == theirs.shape
    levels = (ours - theirs).abs() * torch.tensor(processor.image_std).view(1, 3, 1, 1) * 255
    assert levels.max() < 2, "Pillow rounds to whole levels twice"
    assert levels.mean() < 0.5


def test_reads_the_old_spelling(tmp_path):
    old = {
        "feature_extractor_type": "CLIPFeatureExtractor",
        "size": 224,
        "crop_size": 224,
        "do_center_crop": True,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(old))
    assert (Preprocess.read(tmp_path).resize, Preprocess.read(tmp_path).crop) == (224, (224, 224))
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({**old, "feature_extractor_type": "ViTFeatureExtractor", "do_center_crop": False})
    )
    assert (Preprocess.read(tmp_path).resize, Preprocess.read(tmp_path).crop) == ((224, 224), None)


def test_is_differentiable():
    pixels = torch.zeros(1, 3, 20, 30, requires_grad=True)
    Preprocess(16, (16, 16), (0.5,) * 3, (0.5,) * 3)(pixels).sum().backward()
    assert pixels.grad.abs().sum() > 0


@pytest.mark.parametrize("change", [{"resample": 1}, {"rescale_factor": 1.0}, {"do_normalize": False}])
def test_refuses_what_it_does_not_do(tmp_path, change):
    write(tmp_path, *CASES["clip"])
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(WeightsError, match="another preparation"):
        Preprocess.read(tmp_path)


def test_refuses_a_folder_without_it(tmp_path):
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json"):
        Preprocess.read(tmp_path)
