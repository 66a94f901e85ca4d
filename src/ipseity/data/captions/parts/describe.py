"""Asks an image captioner (BLIP or another image-to-text model of transformers) that lies on this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from ipseity.core.errors import WeightsError

MAX_WORDS = 40
"""Longest answer, in the captioner's own tokens."""
BATCH = 4


def describe(images: Sequence[Image], source: str) -> list[str]:
    """Describe images in a sentence each, greedily, so that equal images get equal words.

    Args:
        images: what to describe; none loads nothing.
        source: folder of the captioner, or its Hub id if it is in the local cache.

    Raises:
        WeightsError: it is not there, not a captioner, or says nothing.
    """
    if not images:
        return []
    import torch

    processor, model = _load(source)
    texts: list[str] = []
    with torch.no_grad():
        for start in range(0, len(images), BATCH):
            inputs = processor(images=list(images[start : start + BATCH]), return_tensors="pt")
            answers = model.generate(
                pixel_values=inputs["pixel_values"], max_new_tokens=MAX_WORDS, do_sample=False, num_beams=1
            )
            texts += [" ".join(text.split()) for text in processor.batch_decode(answers, skip_special_tokens=True)]
    if not all(texts):
        raise WeightsError(
            f"the captioner {source} says nothing of some photos",
            "a trained captioner",
            "name another with captions.captioner, or leave it out",
        )
    return texts


def _load(source: str) -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText, AutoProcessor

    place = str(Path(source).resolve()) if Path(source).exists() else source
    trusted: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        processor = AutoProcessor.from_pretrained(place, **trusted)
        model = AutoModelForImageTextToText.from_pretrained(place, use_safetensors=True, **trusted)
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"the captioner '{source}' cannot be loaded ({reason})",
            "a folder with an image-to-text model of transformers (config, processor, safetensors weights)",
            "name such a folder with captions.captioner, or leave it out",
        ) from error
    return processor, model.eval()
