"""From what encoders gave of photos to the tokens that attention hears, for each kind of IP-Adapter."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ipseity.core.errors import WeightsError
from ipseity.methods.parts.adapter_file import AdapterFile
from ipseity.methods.parts.picture_encoder import PictureEncoder

FACES = ("faceid", "faceid-plus")
"""Kinds that take a recognizer's embedding."""


def seen_by_clip(file: AdapterFile, encoder: PictureEncoder, pictures: Any) -> dict[str, Tensor]:
    """Give what an adapter wants of a CLIP: projected embeddings, or hidden states with those of nobody.

    Args:
        file: the adapter.
        encoder: its CLIP.
        pictures: one photo or cut face each.
    """
    if file.kind == "plain":
        return {"pictures": encoder.pooled(pictures)}
    return {"pictures": encoder.states(pictures), "nobody": encoder.nobody()}


def averaged(seen: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make one row of those of several photos; the mean of unit vectors is made a unit vector again."""
    rows = {name: value.mean(0, keepdim=True) for name, value in seen.items()}
    return {name: normalize(value, dim=-1) if name == "faces" else value for name, value in rows.items()}


def expected_of(file: AdapterFile) -> dict[str, int]:
    """Say which tensors an identity of a kind of adapter holds, and how wide each is."""
    wide: dict[str, int] = {"faces": file.input_width} if file.kind in FACES else {}
    if file.picture_width is not None:
        wide["pictures"] = file.picture_width
        if file.kind != "plain":
            wide["nobody"] = file.picture_width
    return wide


def check_seen(file: AdapterFile, seen: Mapping[str, Tensor]) -> None:
    """Refuse an identity that was made for another kind of adapter.

    Raises:
        WeightsError: it holds other tensors, or such of other widths.
    """
    expected, found = expected_of(file), {name: value.shape[-1] for name, value in seen.items()}
    if expected != found:
        raise WeightsError(
            f"the identity holds {found}, and {file.path.name} takes {expected}",
            "the adapter that the identity was made for, or another of its kind",
            "set method.weights and method.file to that one, or begin again from the photos",
        )


@torch.no_grad()
def picture_tokens(
    projection: Any, file: AdapterFile, seen: Mapping[str, Tensor], *, shortcut: bool, structure: float
) -> tuple[Float[Tensor, "1 N E"], Float[Tensor, "1 N E"]]:
    """Give an identity's tokens, all photos in one row, and as many of nobody's.

    Args:
        projection: as diffusers loaded it.
        file: the adapter it is of.
        seen: what the identity holds.
        shortcut: whether FaceID-Plus adds the face's own tokens back, as its second version does.
        structure: how much FaceID-Plus hears of the picture beside the embedding.

    Source:
        diffusers' pipelines and IP-Adapter's released code: nobody is a zero embedding, or the hidden states of a picture of
        zeros; both go through the projection.
    """
    like = next(projection.parameters())
    moved = {name: value.to(like.device, like.dtype) for name, value in seen.items()}
    if file.kind == "faceid-plus":
        projection.shortcut, projection.shortcut_scale = shortcut, structure
        faces = moved["faces"][:, None]
        nobody = moved["nobody"].expand(len(faces), -1, -1)
        heard = [_plus(projection, *pair) for pair in ((faces, moved["pictures"]), (torch.zeros_like(faces), nobody))]
    elif file.kind == "faceid":
        heard = [projection(rows[:, None]) for rows in (moved["faces"], torch.zeros_like(moved["faces"]))]
    else:
        rows = moved["pictures"]
        blank = moved["nobody"].expand(len(rows), -1, -1) if "nobody" in moved else torch.zeros_like(rows)
        heard = [projection(rows), projection(blank)]
    shown, unshown = (tokens.reshape(1, -1, tokens.shape[-1]) for tokens in heard)
    return shown, unshown


def _plus(projection: Any, faces: Tensor, pictures: Tensor) -> Tensor:
    """Set the states that diffusers keeps on the projection, for this one call."""
    projection.clip_embeds = pictures[None]
    try:
        return projection(faces)
    finally:
        projection.clip_embeds = None
