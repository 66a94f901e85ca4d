"""CLIP (arXiv:2103.00020): pictures and texts in one space, from any checkpoint in the transformers layout."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Encoder
from ipseity.vision.parts.folder import EncoderOptions
from ipseity.vision.parts.preprocess import Preprocess
from ipseity.vision.parts.published import Published


class CLIPOptions(EncoderOptions):
    """Which CLIP."""

    use: Literal["clip"] = "clip"
    """CLIP."""
    weights: str = "openai/clip-vit-base-patch32"
    """Folder in the transformers layout, or a Hub id ("owner/name")."""


class CLIP(Published):
    """Pictures and prompts as comparable unit vectors."""

    Options: ClassVar[type[AnyOptions]] = CLIPOptions
    offers: ClassVar[frozenset[str]] = frozenset({"image", "text"})
    makers: ClassVar = {"clip": "CLIPModel"}
    name = "clip"

    def __init__(self, model: Any, folder: Path, licence: str) -> None:
        from transformers import CLIPTokenizer

        self.licence = licence
        self.width: int = model.config.projection_dim
        self._model = model
        self._tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        self._prepare = Preprocess.read(folder)

    def embed(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Give one unit vector a picture: the projected class token."""
        seen = self._model.vision_model(pixel_values=self._prepare(pixels.to(self._model.device)))
        return normalize(self._model.visual_projection(seen.pooler_output), dim=-1)

    def embed_text(self, prompts: Sequence[str]) -> Float[Tensor, "B D"]:
        """Give one unit vector a prompt: the projected end token. Words beyond the encoder's length are cut off."""
        length = self._model.config.text_config.max_position_embeddings
        words = self._tokenizer(
            list(prompts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).to(self._model.device)
        heard = self._model.text_model(input_ids=words.input_ids, attention_mask=words.attention_mask)
        return normalize(self._model.text_projection(heard.pooler_output), dim=-1)


PLUGIN: type[Encoder] = CLIP
