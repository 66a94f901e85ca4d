"""The ControlNet that listens to identity tokens instead of words (arXiv:2401.07519, section 3.2)."""

import copy
from typing import Any, Self

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel, ControlNetOutput
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from ipseity.core.errors import CapabilityError

# left on a net by offloading and by compiling: they lead to the net itself, which would hear text
_BOUND_TO_THE_NET = ("forward", "_hf_hook", "_old_forward", "_diffusers_hook", "_compiled_call_impl")


class IdentityNet(ControlNetModel):
    """An SDXL ControlNet whose cross-attention hears the tokens of one identity; all else is stock.

    One is made for each identity and each way of drawing by `of`, and never changed: the weights are those of the net it is
    made of, so that two people cost no second copy, and two calls cannot disturb each other. Inside a stock
    `MultiControlNetModel` each hears its own tokens while other nets go on hearing the text. Pooled text and size hints reach
    it as they reach every ControlNet.
    """

    id_tokens: Float[Tensor, "K N D"] | None = None
    """Of the identity, one row for all pictures or one a picture."""
    no_id_tokens: Float[Tensor, "1 N D"] | None = None
    """What a zero embedding gives; the unguided half hears them."""
    guided: bool = False
    """Whether the pipeline asks for both halves, the unguided one first."""
    region: Float[Tensor, "K 1 H W"] | None = None
    """Where it may act, 1 inside."""

    @classmethod
    def of(
        cls,
        net: ControlNetModel,
        id_tokens: Float[Tensor, "K N D"],
        *,
        no_id_tokens: Float[Tensor, "1 N D"] | None = None,
        guided: bool = False,
        region: Float[Tensor, "K 1 H W"] | None = None,
    ) -> Self:
        """Lend a ControlNet's weights to an identity.

        Args:
            net: an SDXL ControlNet; it stays as it is.
            id_tokens: what is heard in place of text.
            no_id_tokens: what the unguided half hears; needed where `guided`.
            guided: whether the pipeline draws with guidance.
            region: multiplies all residuals, scaled to each one's size; unset means everywhere.

        Source:
            The released code masks residuals bilinearly; guess mode sends the guided half alone.
        """
        assert no_id_tokens is not None or not guided, "guidance needs the tokens of nobody"
        lent: Any = copy.copy(net)
        for name in _BOUND_TO_THE_NET:
            vars(lent).pop(name, None)
        lent.__class__ = cls
        lent.id_tokens, lent.no_id_tokens = id_tokens.detach(), None if no_id_tokens is None else no_id_tokens.detach()
        lent.guided, lent.region = guided, region
        return lent

    def forward(self, sample: Tensor, *rest: Any, **told: Any) -> Any:
        """Give residuals as every ControlNet does, whatever text is passed.

        Args:
            sample: noisy latents (B, C, h, w).
            rest: the timestep, where it is not named.
            told: as for any ControlNet; `encoder_hidden_states` is put aside.

        Raises:
            CapabilityError: the batch cannot be shared out among the identity's rows.
        """
        assert len(rest) <= 1, "arguments behind the timestep are passed by name"
        halves = self.guided and not told.get("guess_mode", False)
        told["encoder_hidden_states"] = self._heard(len(sample), halves=halves).to(sample)
        as_tuple = told.pop("return_dict", True) is False
        down, mid = super().forward(sample, *rest, **told, return_dict=False)
        if self.region is not None:
            rows = self._shared_out(self.region, len(sample) // (1 + halves))
            region = torch.cat([rows] * (1 + halves)).to(sample)
            down, mid = [_within(part, region) for part in down], _within(mid, region)
        if as_tuple:
            return down, mid
        output: Any = ControlNetOutput
        return output(down_block_res_samples=tuple(down), mid_block_res_sample=mid)

    def _heard(self, rows: int, *, halves: bool) -> Tensor:
        assert self.id_tokens is not None, "an IdentityNet is made for an identity: IdentityNet.of(net, tokens)"
        if not halves:
            return self._shared_out(self.id_tokens, rows)
        assert self.no_id_tokens is not None, "guidance needs the tokens of nobody"
        if rows % 2:
            raise CapabilityError(
                f"{rows} rows reach an IdentityNet that was made for drawing with guidance",
                "an even number, the unguided half first",
                "make it with guided=False where guidance_scale is 1 or less",
            )
        guided = self._shared_out(self.id_tokens, rows // 2)
        return torch.cat([self.no_id_tokens.to(guided).expand_as(guided), guided])

    def _shared_out(self, values: Tensor, rows: int) -> Tensor:
        """Repeat rows to a batch as pipelines repeat prompts: all pictures of the first, then those of the second."""
        if rows % len(values):
            raise CapabilityError(
                f"{rows} pictures are drawn with {len(values)} identities",
                "one identity, or one for each prompt",
                "give as many identities as prompts",
            )
        return values.repeat_interleave(rows // len(values), dim=0)


def _within(residual: Tensor, region: Tensor) -> Tensor:
    return residual * interpolate(region, residual.shape[-2:], mode="bilinear")
