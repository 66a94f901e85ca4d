"""What learns, beside a base that does not: a resampler of face embeddings, keys and values for its tokens, an IdentityNet."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers import ControlNetModel
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from torch import nn

from ipseity.core.noise import NoisePath
from ipseity.methods.parts.adapter_file import DEPTH, HEAD_WIDTH
from ipseity.methods.parts.image_adapter import cross_attentions
from toybox.instantid.batches import Batch, squared_error

CHANNELS = (16, 32, 96, 256)
"""Widths of the layers that look at the drawn face; each but the first halves the side. The released net has all four."""


@dataclass(frozen=True)
class Make:
    """What is built.

    Attributes:
        width: of the face embeddings.
        tokens: that an embedding becomes.
        hidden: width of the resampler, a multiple of 64; the released one has 1280.
        learns: "both", or one of the two alone.
        net_hears: whether the IdentityNet's attention hears the identity's tokens, as in the paper, or the text.
        start: "silent" begins with values of zero, so that the first prediction is the base's own; "copied" begins with the
            keys and values that the base has for text.
    """

    width: int
    tokens: int = 16
    hidden: int = 256
    learns: Literal["both", "adapter", "net"] = "both"
    net_hears: Literal["identity", "text"] = "identity"
    start: Literal["silent", "copied"] = "silent"

    def __post_init__(self) -> None:
        if self.hidden % HEAD_WIDTH:
            raise ValueError(
                f"hidden is {self.hidden}. Loaders count heads of {HEAD_WIDTH}. Choose a multiple of {HEAD_WIDTH}."
            )
        if self.learns == "net" and self.net_hears == "text":
            raise ValueError(
                "a net alone that hears text never hears who it draws. Something must hear the identity. "
                "Let the net hear the identity, or train the adapter too."
            )


def halvings(stride: int) -> tuple[int, ...]:
    """Returns the widths of the layers that bring a drawn face down to the side of latents.

    Args:
        stride: pixels to a latent's side, a power of two.
    """
    steps = round(math.log2(stride))
    return CHANNELS[: steps + 1] if steps < len(CHANNELS) else (*CHANNELS, *CHANNELS[-1:] * (steps + 1 - len(CHANNELS)))


class Student(nn.Module):
    """The parts that learn; calling it gives the loss of a batch, so that wrappers of many processes see every gradient.

    Args:
        base: in the SDXL layout, loaded and frozen. Its denoiser receives the new attention processors.
        make: what is built.
        seed: of the random weights.
    """

    def __init__(self, base: Any, make: Make, *, seed: int = 0) -> None:
        super().__init__()
        unet = base.parts()["unet"]
        self.make = make
        self._frozen = (base,)  # in a tuple, so that it is no part of this module
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.projection = IPAdapterPlusImageProjection(
                embed_dims=make.width,
                output_dims=unet.config.cross_attention_dim,
                hidden_dims=make.hidden,
                depth=DEPTH,
                dim_head=HEAD_WIDTH,
                heads=make.hidden // HEAD_WIDTH,
                num_queries=make.tokens,
            )
            # before the processors are in, whose weights it would want to copy
            self.net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=halvings(base.latent_stride))
            self.processors = nn.ModuleDict(self._processors(unet))
        self.net.float().train()
        self.path: NoisePath = base.path
        self.register_buffer("alphas", base.path.alphas_cumprod.float(), persistent=False)
        with torch.no_grad():
            nothing = base.encode_text([""])
        self.register_buffer("no_text", nothing.text.detach().clone(), persistent=False)
        self.register_buffer("no_pooled", nothing.pooled.detach().clone(), persistent=False)
        for part in (self.projection, self.net, self.processors):
            part.requires_grad_(True)
        if make.learns == "adapter":
            self.net.requires_grad_(False)
        if make.learns == "net":
            self.processors.requires_grad_(False)
        else:
            self._install(unet)

    def _processors(self, unet: Any) -> dict[str, IPAdapterAttnProcessor2_0]:
        """Makes a processor for each cross-attention, under its place among all of them."""
        names, layers = list(unet.attn_processors), dict(unet.named_modules())
        made = {}
        for index, (width, heard) in cross_attentions(unet).items():
            one = IPAdapterAttnProcessor2_0(width, heard, num_tokens=(self.make.tokens,), scale=1.0)
            attention = layers[names[index].removesuffix(".processor")]
            with torch.no_grad():
                one.to_k_ip[0].weight.copy_(attention.to_k.weight)
                values = attention.to_v.weight if self._loud else torch.zeros_like(attention.to_v.weight)
                one.to_v_ip[0].weight.copy_(values)
            made[str(index)] = one
        return made

    @property
    def _loud(self) -> bool:
        return self.make.start == "copied" and self.make.learns != "net"

    def _install(self, unet: Any) -> None:
        names = list(unet.attn_processors)
        own = {names[int(index)]: one for index, one in self.processors.items()}
        unet.set_attn_processor({**unet.attn_processors, **own})

    def learning(self) -> dict[str, nn.Parameter]:
        """Returns what learns, by name, in a fixed order."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def forward(self, batch: Batch) -> torch.Tensor:
        """Returns the loss (B,) of a batch: the error of what the base itself was trained to predict.

        Source: arXiv:2401.07519, equation 4; arXiv:2202.00512 for v.
        """
        a = self.alphas[batch.t][:, None, None, None]
        noisy = a.sqrt() * batch.clean + (1 - a).sqrt() * batch.noise
        kind = self.path.prediction_type
        wanted = batch.clean if kind == "sample" else batch.noise
        if kind == "v_prediction":
            wanted = a.sqrt() * batch.noise - (1 - a).sqrt() * batch.clean
        return squared_error(self.predict(noisy, batch), wanted, batch.weight)

    def predict(self, noisy: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Returns what the denoiser says of noisy latents (B, C, h, w), told of face, points, text and size."""
        text, pooled = self.encode(batch.ids, batch.keep)
        added = {"text_embeds": pooled, "time_ids": batch.hints}
        tokens = self.projection(batch.embedding[:, None])
        told: dict[str, Any] = {}
        if self.make.learns != "adapter":
            heard = tokens if self.make.net_hears == "identity" else text
            down, mid = self.net(
                noisy,
                batch.t,
                encoder_hidden_states=heard,
                controlnet_cond=batch.control,
                added_cond_kwargs=dict(added),
                return_dict=False,
            )
            told = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        said: Any = text if self.make.learns == "net" else (text, [tokens[:, None]])
        unet = self._frozen[0].parts()["unet"]
        noisy = noisy.to(unet.dtype)
        return unet(noisy, batch.t, encoder_hidden_states=said, added_cond_kwargs=added, return_dict=False, **told)[0]

    @torch.no_grad()
    def encode(self, ids: torch.Tensor, keep: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns text (B, T, E) and pooled text as the stock pipeline gives them; where `keep` is 0, its empty prompt."""
        parts = self._frozen[0].parts()
        first = parts["text_encoder"](ids[:, 0], output_hidden_states=True)
        second = parts["text_encoder_2"](ids[:, 1], output_hidden_states=True)
        text = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
        kept = keep > 0
        return torch.where(kept[..., None], text, self.no_text), torch.where(kept, second.text_embeds, self.no_pooled)
