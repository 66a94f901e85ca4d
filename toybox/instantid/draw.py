"""Draws people with packaged weights: by `ipseity`'s own InstantID, or, for what it does not know, by the same stock parts told by hand."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ipseity.core.drawing import DrawOptions, draw_all
from ipseity.core.identity import Identity
from ipseity.core.image import contact_sheet
from ipseity.core.keypoints import draw_keypoints, place
from ipseity.methods.instantid import InstantID, InstantIDOptions, Sitting, load_net
from ipseity.methods.parts.adapter_file import find_adapter
from ipseity.methods.parts.identity_net import IdentityNet
from ipseity.methods.parts.image_adapter import adapters_inside, tokens_of
from toybox.instantid.batches import draw_dense
from toybox.instantid.package import FACTS
from toybox.instantid.rows import Row, read_rows


@dataclass(frozen=True)
class Manner:
    """How people are drawn.

    Attributes:
        adapter_scale: strength of the adapter.
        control_scale: strength of the IdentityNet.
        steps: of the sampler.
        guidance: classifier-free guidance.
        batch: pictures at once.
    """

    adapter_scale: float = 0.8
    control_scale: float = 0.8
    steps: int = 25
    guidance: float = 4.0
    batch: int = 4

    def options(self) -> DrawOptions:
        """Returns what pipelines are asked."""
        return DrawOptions(num_inference_steps=self.steps, guidance_scale=self.guidance, batch_size=self.batch)


class Artist:
    """A base with packaged weights.

    Args:
        folder: what `package` wrote.
        base: the base that they were trained for, loaded.
        manner: how it draws.

    Raises:
        FileNotFoundError: the folder was not packaged.
    """

    def __init__(self, folder: Path, base: Any, manner: Manner) -> None:
        if not (folder / FACTS).is_file():
            raise FileNotFoundError(
                f"{folder / FACTS} is not there. A packaged training is needed. Run `python -m toybox.instantid package` first."
            )
        self.folder, self.base, self.manner = folder, base, manner
        self.facts = json.loads((folder / FACTS).read_text())
        recipe = self.facts["recipe"]
        self.dense = recipe["shown"]["landmarks"] == "dense"
        self.hears_text = recipe["net_hears"] == "text"

    def draw(
        self, row: Row, prompts: Sequence[str], seeds: Sequence[int], *, posed: Row | None = None
    ) -> list[Image.Image]:
        """Draws the person of a row.

        Args:
            row: gives the embedding; its space must be the one of the weights.
            prompts: one a picture.
            seeds: one a picture.
            posed: gives the points; unset means `row`.

        Raises:
            ValueError: the row's embedding lies in another space.
        """
        if row.space != self.facts["space"]:
            raise ValueError(
                f"row {row.key} has an embedding of '{row.space}', the weights are of '{self.facts['space']}'. "
                "One face encoder must make both. Make the rows again with that encoder."
            )
        told = row if posed is None else posed
        way = self._by_hand if self.dense or self.hears_text else self._by_method
        with torch.no_grad(), way(row, told) as pipeline:
            return draw_all(pipeline, prompts, seeds, self.manner.options())

    def bare(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """Draws with the base alone."""
        with torch.no_grad():
            return draw_all(self.base.pipeline("text"), prompts, seeds, self.manner.options())

    @contextmanager
    def _by_method(self, row: Row, posed: Row) -> Iterator[Any]:
        size = (posed.image.height, posed.image.width)
        sitting = Sitting(self._identity(row), points=posed.points, size=size)
        with InstantID.attach(self.base, [sitting]) as base:
            yield base.pipeline("text")

    def _identity(self, row: Row) -> Identity:
        told = InstantIDOptions(
            weights=str(self.folder),
            face_space=row.space,
            adapter_scale=self.manner.adapter_scale,
            control_scale=self.manner.control_scale,
        )
        tensors = {
            "embedding": torch.from_numpy(row.embedding),
            "points": torch.from_numpy(row.points),
            "box": torch.from_numpy(row.box),
            "size": torch.tensor([row.image.height, row.image.width], dtype=torch.float32),
        }
        known = (self.base.name, self.base.fingerprint(), "instantid", "<somebody>", "person")
        return Identity(tensors, *known, options=told.model_dump(mode="json"))

    @contextmanager
    def _by_hand(self, row: Row, posed: Row) -> Iterator[Any]:
        from diffusers import StableDiffusionXLControlNetPipeline

        stock, guided = self.base.pipeline("text"), self.manner.guidance > 1
        net: Any = load_net(self.folder, self.base)
        loader = type(stock)(**stock.components, add_watermarker=False)
        with adapters_inside(loader, [find_adapter(self.folder)], base=self.base.name) as (projection,):
            loader.set_ip_adapter_scale([self.manner.adapter_scale])
            embedding = torch.from_numpy(row.embedding).to(self.base.device, self.base.dtype)
            tokens, nobody = tokens_of(projection, embedding)
            if not self.hears_text:
                net = IdentityNet.of(net, tokens, no_id_tokens=nobody, guided=guided)
            pipeline = StableDiffusionXLControlNetPipeline(**stock.components, controlnet=net, add_watermarker=False)
            yield _Told(
                pipeline,
                image=self._control(posed),
                controlnet_conditioning_scale=self.manner.control_scale,
                ip_adapter_image_embeds=[
                    torch.stack([torch.zeros_like(embedding), embedding])[:, None, None][0 if guided else 1 :]
                ],
            )

    def _control(self, posed: Row) -> Image.Image:
        size = (self.base.resolution, self.base.resolution)
        points = posed.dense if self.dense else posed.points
        if points is None:
            raise ValueError(
                f"row {posed.key} lacks dense points. These weights were trained with them. Run `rows --dense`."
            )
        placed = place(points, (posed.image.height, posed.image.width), size)
        return draw_dense(placed, size) if self.dense else draw_keypoints(placed, size)


class _Told:
    """A pipeline that is told more with each call; one picture a call, since a face is told once a call."""

    def __init__(self, pipeline: Any, **told: Any) -> None:
        self._pipeline, self._told = pipeline, told

    def set_progress_bar_config(self, **settings: Any) -> None:
        self._pipeline.set_progress_bar_config(**settings)

    def __call__(
        self, *, prompt: Sequence[str], negative_prompt: Sequence[str] | None, generator: Sequence[Any], **asked: Any
    ) -> Any:
        images = []
        for index, (words, chance) in enumerate(zip(prompt, generator, strict=True)):
            negative = None if negative_prompt is None else negative_prompt[index]
            told = {"prompt": words, "negative_prompt": negative, "generator": chance}
            images += self._pipeline(**told, **asked, **self._told).images
        return type("Drawn", (), {"images": images})


def couples(rows: Path, count: int) -> list[tuple[Row, Row]]:
    """Reads two views of each of the first people of a set.

    Args:
        rows: a finished set in which people are shown more than once.
        count: people at most.

    Raises:
        ValueError: nobody is shown twice.
    """
    seen: dict[str, Row] = {}
    found: dict[str, tuple[Row, Row]] = {}
    for row in read_rows(rows):
        if row.identity is None or row.identity in found:
            continue
        if row.identity in seen:
            found[row.identity] = (seen[row.identity], row)
        seen[row.identity] = row
        if len(found) == count:
            break
    if not found:
        raise ValueError(
            f"nobody is shown twice in {rows}. A reference and another view are needed. Make rows with views."
        )
    return list(found.values())


def sheet(artist: Artist, rows: Path, prompts: Sequence[str], *, people: int = 6, seed: int = 0) -> Image.Image:
    """Draws people across prompts: each line shows the reference, its points, and a picture a prompt.

    Args:
        artist: draws.
        rows: people whom training never saw.
        prompts: what they do.
        people: how many.
        seed: of every picture.
    """
    side, cells = artist.base.resolution, []
    for reference, _ in couples(rows, people):
        points = draw_keypoints(
            place(reference.points, (reference.image.height, reference.image.width), (side, side)), (side, side)
        )
        drawn = artist.draw(reference, prompts, [seed] * len(prompts))
        cells += [reference.image.resize((side, side), Image.Resampling.LANCZOS), points, *drawn]
    return contact_sheet(cells, columns=2 + len(prompts))


def spread(values: np.ndarray, *, draws: int = 2000) -> tuple[float, float, float]:
    """Gives a mean and its 95 % interval, drawn again over the rows (people) of some values.

    Args:
        values: (people,) or (people, seeds); NaN where nothing was found.
        draws: how often people are drawn again.
    """
    each = values if values.ndim == 1 else _row_means(values)
    each = each[~np.isnan(each)]
    if not len(each):
        return float("nan"), float("nan"), float("nan")
    again = np.random.default_rng(0).integers(0, len(each), (draws, len(each)))
    low, high = np.percentile(each[again].mean(1), (2.5, 97.5))
    return float(each.mean()), float(low), float(high)


def _row_means(values: np.ndarray) -> np.ndarray:
    counts = (~np.isnan(values)).sum(1)
    return np.where(counts > 0, np.nansum(values, 1) / np.maximum(counts, 1), np.nan)
