"""What every captioner must keep."""

from pathlib import Path

import pytest
import torch

from ipseity.core import registry
from ipseity.core.errors import WeightsError
from ipseity.core.types import Photo, Subject
from ipseity.data.grammar import CLOSE_UP, says
from tests.fixtures.bad_images import disc, photo

NAMES = registry.names("captions")


@pytest.fixture
def subject() -> Subject:
    said = (
        {},
        {"caption": "a mug on a shelf, in the sun"},
        {"slots": {"background": "on a bench", "noun": "coffee mug"}},
        {"caption": "nothing of it"},
    )
    photos = tuple(
        Photo(Path(f"{n}.png"), photo(n), str(n), mask=disc() if n == 0 else None, **words)
        for n, words in enumerate(said)
    )
    return Subject("mug", photos, "mug", "sks")


@pytest.mark.parametrize("name", NAMES)
def test_each_photo_has_wordings_and_each_holds_the_token(name: str, subject: Subject):
    captioner = registry.find("captions", name)
    options = captioner.Options()
    examples = captioner.examples(subject, options)
    assert examples == captioner.examples(subject, options)
    assert [example.image for example in examples] == [photo.image for photo in subject.photos]
    assert [example.name for example in examples] == ["0.png", "1.png", "2.png", "3.png"]
    assert examples[0].mask is not None
    for example in examples:
        assert example.is_subject and example.captions and len(set(example.captions)) == len(example.captions)
        assert all(says(text, "sks") for text in example.captions)
        for word, texts in example.crop_words.items():
            assert len(texts) == len(example.captions) and all(says(text, word) and says(text, "sks") for text in texts)


def structured(**options):
    plugin = registry.find("captions", "structured")
    return plugin, plugin.Options(**options)


def test_structured_says_only_what_is_known(subject: Subject):
    plugin, options = structured()
    first, second, third, fourth = plugin.examples(subject, options)
    assert first.captions == ("a high quality photo of a sks mug", "a photo of a sks mug")
    assert second.captions == ("a sks mug on a shelf, in the sun", "a sks mug on a shelf")
    assert third.captions == (
        "a high quality photo of a sks coffee mug on a bench", "a photo of a sks coffee mug on a bench",
        "a high quality photo of a sks coffee mug", "a photo of a sks coffee mug",
    )  # fmt: skip
    assert fourth.captions[0] == "a photo of a sks mug, nothing of it"
    assert first.crop_words[CLOSE_UP][0] == "a high quality photo of a sks mug, close-up"


def test_structured_can_leave_the_users_words_alone(subject: Subject):
    plugin, options = structured(own_words=False, quality="", noun="tall mug", crop_words=False, num_variants=1)
    examples = plugin.examples(subject, options)
    assert {example.captions for example in examples} == {("a photo of a sks tall mug",)} and not examples[0].crop_words


def test_plain_takes_a_template(subject: Subject):
    plugin = registry.find("captions", "plain")
    assert plugin.examples(subject, plugin.Options())[0].captions == ("a photo of a sks mug",)
    assert plugin.examples(subject, plugin.Options(template="{token}, the {class_noun}"))[0].captions == (
        "sks, the mug",
    )
    for bad in ("a photo", "a photo of {class_noun}", "{subject} {place}"):
        with pytest.raises(ValueError, match="sentence"):
            plugin.Options(template=bad)


@pytest.fixture(scope="module")
def blip(tmp_path_factory) -> Path:
    """A BLIP of the true architecture with toy widths and random weights, in a folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertTokenizerFast, BlipConfig, BlipForConditionalGeneration, BlipProcessor
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "[DEC]",
        "[ENC]",
        *["a", "photo", "of", "mug", "on", "the", "table", "red", "in", "sun", "with", "its"],
    ]
    inner = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = BertTokenizerFast(tokenizer_object=inner, vocab={word: place for place, word in enumerate(words)})
    wide = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BlipConfig(
        text_config={
            **wide,
            "vocab_size": len(words),
            "encoder_hidden_size": 16,
            "projection_dim": 16,
            "bos_token_id": 5,
            "sep_token_id": 3,
            "eos_token_id": 3,
            "pad_token_id": 0,
        },
        vision_config={**wide, "image_size": 32, "patch_size": 8, "projection_dim": 16},
        projection_dim=16,
        image_text_hidden_size=16,
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("blip")
    BlipForConditionalGeneration(config).save_pretrained(folder)
    BlipProcessor(BlipImageProcessorPil(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return folder


def test_a_captioner_speaks_where_the_user_did_not(subject: Subject, blip: Path):
    plugin, options = structured(captioner=str(blip))
    first, second, third, fourth = plugin.examples(subject, options)
    assert first.captions[0] != "a high quality photo of a sks mug" and says(first.captions[0], "sks")
    assert second.captions[0] == "a sks mug on a shelf, in the sun" and third.captions[0].endswith("on a bench")
    assert plugin.examples(subject, options)[0].captions == first.captions


@pytest.mark.parametrize("broken", ["gone", "config", "weights"])
def test_captioners_that_cannot_be_loaded(subject: Subject, blip: Path, tmp_path: Path, broken: str):
    import shutil

    folder = tmp_path / "captioner"
    if broken != "gone":
        shutil.copytree(blip, folder)
        (folder / {"config": "config.json", "weights": "model.safetensors"}[broken]).write_bytes(b"{")
    plugin, options = structured(captioner=str(folder))
    with pytest.raises(WeightsError, match="captioner"):
        plugin.examples(subject, options)
