"""What a picture says of itself, and whether that still holds.

Facts stand as JSON in a PNG text chunk, with a hash of the pixels and an Ed25519 signature, so that they are read and checked
wherever PNG is; the same facts stand in content credentials (`ipseity.flows.credentials`) where that package is installed.
Other programs read the chunks `parameters` and `ipseity`, which stay as they were.
"""

import base64
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import torch
from PIL.Image import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ipseity.core.errors import MissingPackage, RecipeError, Refusal
from ipseity.core.files import writing
from ipseity.flows.credentials import add_credentials, can_credential
from ipseity.flows.signing import SigningKey, config_folder, holds, key_name, own_key

FORMAT = "ipseity.picture.1"
CHUNK = "ipseity.provenance"
"""Keyword of the text chunk."""
WISHES = "IPSEITY_PROVENANCE"
"""Environment variable: `hide-prompts`, `unsigned`, or both with a comma."""
WORDS = ("prompt", "negative_prompt")
"""What `hide-prompts` leaves out."""
Signature = Literal["holds", "broken", "none", "unchecked"]
_HELD: Mapping[bool | None, Signature] = {True: "holds", False: "broken", None: "unchecked"}
_SHOWN_OTHERWISE = frozenset({"icc_profile", "gamma", "chromaticity", "srgb", "transparency", "exif"})
"""Chunks that make viewers show the same pixels otherwise; none is written with facts, so each was added later."""


@dataclass(frozen=True)
class Seal:
    """Writes pictures that say what made them."""

    version: str
    """Of ipseity."""
    key: SigningKey | None = None
    """Signs; None leaves the facts unsigned, which they then say."""
    credentials: bool = False
    """Whether content credentials are written too."""
    hide_prompts: bool = False
    """Whether words are left out, and only their hash is told: who guesses a prompt can check the guess."""
    notes: tuple[str, ...] = ()
    """Why pictures are signed less well than they could be."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What all pictures have in common: base, identities, licence."""

    def told(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Give what was asked for with its words as this seal tells them."""
        hidden = [key for key in WORDS if self.hide_prompts and asked.get(key)]
        kept = {key: value for key, value in asked.items() if key not in hidden}
        return kept | {f"{key}_sha256": _hash(str(asked[key])) for key in hidden}

    def write(self, path: Path, image: Image, asked: Mapping[str, Any], words: Mapping[str, str]) -> Path:
        """Write a picture as PNG in one move, with its facts inside.

        Args:
            path: where.
            image: the picture.
            asked: prompt, seed and how it was drawn, as plain data; words as they were.
            words: more text chunks, by keyword; they are not signed by the text chunk, only by content credentials.

        Raises:
            RunError: the disk is full or cannot be written.
        """
        facts = self._facts(image, asked)
        chunk: dict[str, Any] = {"facts": facts, "signed": "no"}
        if self.key is not None:
            signature = self.key.sign(_message(facts))
            chunk |= {"signed": "ed25519", "key": _text(self.key.public), "signature": _text(signature)}
        info = PngInfo()
        for keyword, text in words.items():
            info.add_text(keyword, text)
        info.add_itxt(CHUNK, canonical(chunk))
        file = io.BytesIO()
        image.save(file, format="PNG", pnginfo=info)
        data = self._credentialed(file.getvalue(), facts)
        with writing(path) as draft:
            draft.write_bytes(data)
        return path

    def _facts(self, image: Image, asked: Mapping[str, Any]) -> dict[str, Any]:
        facts = {
            "format": FORMAT,
            "generated": True,
            "tool": {"name": "ipseity", "version": self.version},
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            **self.about,
            "asked": self.told(asked),
            "pixels": pixels_hash(image),
        }
        return json.loads(canonical(facts))  # as it will be read back

    def _credentialed(self, png: bytes, facts: Mapping[str, Any]) -> bytes:
        if not self.credentials or self.key is None:
            return png
        try:
            return add_credentials(png, facts, self.key, version=self.version)
        except MissingPackage:  # a picture that took a minute is not lost for it: its text chunk is signed, and says so
            return png


@dataclass(frozen=True)
class Statement:
    """What a picture's text chunk says, and whether it holds."""

    facts: Mapping[str, Any]
    signature: Signature
    """"unchecked" where the package that checks is not installed."""
    pixels_same: bool
    """Whether the pixels, and how viewers show them, are what the facts were written with."""
    key: str | None = None
    """Name of the key that signed; None where nothing is signed."""


def open_seal(version: str, environment: Mapping[str, str] | None = None) -> Seal:
    """Give the best seal that this machine and the user's wishes allow; the signing key is made at first use.

    Args:
        version: of ipseity.
        environment: variables; those of the process when not given.

    Raises:
        RecipeError: `IPSEITY_PROVENANCE` holds an unknown word.
    """
    told = os.environ if environment is None else environment
    wishes = {word.strip() for word in told.get(WISHES, "").split(",") if word.strip()}
    if unknown := sorted(wishes - {"hide-prompts", "unsigned"}):
        raise RecipeError(f"{WISHES} holds '{unknown[0]}'", "hide-prompts or unsigned", "mend or unset that variable")
    plain = Seal(version, hide_prompts="hide-prompts" in wishes)
    if "unsigned" in wishes:
        return plain
    try:
        key = own_key(config_folder(told))
    except Refusal as error:
        return replace(plain, notes=(f"Pictures are not signed: {error}",))
    notes = () if can_credential() else (_NO_CREDENTIALS,)
    return replace(plain, key=key, credentials=can_credential(), notes=notes)


_NO_CREDENTIALS = "Pictures are signed, but carry no content credentials: pip install 'ipseity[provenance]' for those."


def read_statement(image: Image) -> Statement | None:
    """Read and check what a picture's text chunk says, or give None where it has none.

    Args:
        image: as loaded from the file, pixels untouched; nobody vouches for it.
    """
    text = image.info.get(CHUNK)
    if text is None:
        return None
    try:
        chunk = json.loads(text)
        facts, is_signed = dict(chunk["facts"]), chunk["signed"] != "no"
        same = facts["pixels"] == pixels_hash(image) and _is_shown_as_written(image)
        if not is_signed:
            return Statement(facts, "none", same)
        public, signature = (base64.b64decode(chunk[part], validate=True) for part in ("key", "signature"))
        held = _HELD[holds(public, signature, _message(facts))]
    except (ValueError, TypeError, KeyError, RecursionError):
        return Statement({}, "broken", False)
    return Statement(facts, held, same, key_name(public))


def pixels_hash(image: Image) -> dict[str, Any]:
    """Hash a picture's pixels with its mode and size, whatever file they came from."""
    digest = sha256(image.tobytes())
    return {"mode": image.mode, "width": image.width, "height": image.height, "sha256": digest.hexdigest()}


def identity_hash(tensors: Mapping[str, Tensor]) -> str:
    """Hash what was learned: names, shapes, formats and numbers, in no order; nothing of it can be got back."""
    digest = sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def canonical(data: Mapping[str, Any]) -> str:
    """Write plain data as JSON in the one way that is signed: keys in order, no spaces, ASCII; no NaN."""
    return json.dumps(dict(data), sort_keys=True, separators=(",", ":"), allow_nan=False, default=str)


def _hash(words: str) -> str:
    return sha256(words.encode("utf-8", "surrogatepass")).hexdigest()


def _message(facts: Mapping[str, Any]) -> bytes:
    """Give the bytes that are signed; the first line keeps them apart from whatever else a key may sign."""
    return f"{FORMAT}\n{canonical(facts)}".encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _is_shown_as_written(image: Image) -> bool:
    return not _SHOWN_OTHERWISE & image.info.keys() and getattr(image, "n_frames", 1) == 1
