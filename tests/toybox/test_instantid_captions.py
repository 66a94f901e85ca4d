"""Captions by a model of BLIP's kind that lies in a folder: tiny, with random weights, so that only the way is tested."""

from pathlib import Path

from PIL import Image
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

from ipseity.core.weights import quiet
from toybox.instantid.photos import blip

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "a", "photo", "of", "person", "snow"]


def write_blip(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    small = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "projection_dim": 16,
    }
    ids = {"bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    text = {**small, **ids, "vocab_size": len(WORDS), "encoder_hidden_size": 32}
    model = BlipForConditionalGeneration(
        BlipConfig(text_config=text, vision_config={**small, "image_size": 32, "patch_size": 16}, projection_dim=16)
    )
    model.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    BlipProcessor(BlipImageProcessor(size=size), BertTokenizer(str(folder / "vocab.txt"))).save_pretrained(folder)


def test_a_model_in_a_folder_says_what_it_sees(tmp_path: Path) -> None:
    with quiet():
        write_blip(tmp_path)
        say = blip(tmp_path, most=8)
    picture = Image.new("RGB", (50, 40), (200, 30, 30))
    said = say(picture)
    assert said == say(picture) and 0 < len(said.split()) <= 9 and set(said.split()) <= set(WORDS)
