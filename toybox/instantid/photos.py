"""Rows from a folder of photos: captions beside them, or said by a model that looks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps

from toybox.instantid.rows import Candidate

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@dataclass(frozen=True)
class Photos:
    """A folder of photos as a source of rows.

    A caption is the text file of the same name. Where photos lie in folders, a folder is a person if `people` says so.

    Attributes:
        folder: the photos, in folders below it too.
        per_shard: photos in a shard.
        people: whether the folder that a photo lies in names who it shows.
        longest_px: longer photos are shrunk to this side.
    """

    folder: Path
    per_shard: int = 1024
    people: bool = False
    longest_px: int = 2048

    def __post_init__(self) -> None:
        if not self.paths():
            raise FileNotFoundError(
                f"{self.folder} holds no photo. Files ending in {', '.join(sorted(SUFFIXES))} are needed. Check the path."
            )

    def paths(self) -> list[Path]:
        """Lists the photos in order."""
        return sorted(path for path in self.folder.rglob("*") if path.suffix.lower() in SUFFIXES)

    @property
    def shards(self) -> int:
        """Returns the number of shards."""
        return -(-len(self.paths()) // self.per_shard)

    def facts(self) -> dict[str, Any]:
        """Returns what decides every row."""
        told = {"folder": str(self.folder), "photos": len(self.paths()), "per_shard": self.per_shard}
        return {"kind": "photos", **told, "people": self.people, "longest_px": self.longest_px}

    def shard(self, index: int) -> Iterator[Candidate | str]:
        """Opens the photos of a shard, upright; one that cannot be opened is a reason."""
        for path in self.paths()[index * self.per_shard : (index + 1) * self.per_shard]:
            try:
                image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
            except (OSError, ValueError, SyntaxError):  # what Pillow raises for broken files
                yield "unreadable"
                continue
            image.thumbnail((self.longest_px, self.longest_px), Image.Resampling.LANCZOS)
            beside = path.with_suffix(".txt")
            caption = " ".join(beside.read_text().split()) if beside.is_file() else ""
            name = path.relative_to(self.folder)
            who = str(name.parent) if self.people and name.parent != Path() else None
            yield Candidate(image, caption, str(name), identity=who)


def blip(folder: Path, *, most: int = 40, device: str = "cpu") -> Callable[[Image.Image], str]:
    """Makes a captioner of a model that turns pictures into text, of BLIP's kind, in the transformers layout.

    Args:
        folder: the model and its processor; nothing is fetched.
        most: new tokens at most.
        device: where it runs.

    Returns:
        A function that says what a picture shows, without chance.

    Raises:
        FileNotFoundError: no model is there.
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder} has no config.json. A model that captions pictures (BLIP, BLIP-2) in the transformers layout is needed. "
            "Name its folder, or put a .txt file beside each photo."
        )
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    model = model.to(device).eval()
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True)

    @torch.no_grad()
    def say(image: Image.Image) -> str:
        seen = processor(images=image, return_tensors="pt").to(device)
        made = model.generate(**seen, max_new_tokens=most, do_sample=False)
        return " ".join(processor.batch_decode(made, skip_special_tokens=True)[0].split())

    return say
