"""Draw a learned identity in new scenes."""

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from ipseity.core.drawing import DrawOptions, draw, pipeline_for
from ipseity.core.errors import RunError
from ipseity.core.events import Event, Noticed, Progressed, Wrote
from ipseity.core.files import writing
from ipseity.core.identity import Attachment, Identity
from ipseity.core.registry import find
from ipseity.flows.consent import consent_of, holds_face
from ipseity.flows.provenance import Seal, identity_hash, open_seal
from ipseity.recipe import Recipe, make_recipe, parse
from ipseity.training.machine import code_version


@dataclass(frozen=True)
class Wish:
    """What shall be drawn."""

    prompts: tuple[str, ...]
    count: int = 4
    """Pictures a prompt."""
    seed: int = 0
    """Seed of the first picture; the next have the next."""
    scale: float = 1.0
    """Strength of the identity."""


def read_run(folder: Path) -> tuple[Recipe, Identity]:
    """Read what a finished run left: its recipe and its identity.

    Raises:
        RunError: the folder is no run, or the run has no identity yet.
    """
    if not (folder / "recipe.toml").is_file():
        raise RunError(
            f"{folder} is no run folder", "a folder with recipe.toml in it", "`ipseity list runs` shows them"
        )
    if not (folder / "identity.safetensors").is_file():
        raise RunError(
            f"{folder} holds no identity yet",
            "a run that finished",
            f"go on with `ipseity train {folder / 'recipe.toml'}`",
        )
    recipe = make_recipe(parse((folder / "recipe.toml").read_text(encoding="utf-8"), str(folder)), origin=str(folder))
    return recipe, Identity.load(folder / "identity.safetensors")


def generate_flow(
    base: Any, identity: Identity, wish: Wish, *, options: DrawOptions, folder: Path
) -> Generator[Event, None, list[Path]]:
    """Draw pictures with an identity attached and write them with what made them inside, signed.

    Returns:
        The paths of the pictures, prompt by prompt.
    """
    attached = [Attachment(identity, wish.scale)]
    seal = seal_for(base, attached)
    yield from (Noticed(note) for note in (*_remarks(base, identity, wish.prompts), *seal.notes))
    prompts = [prompt for prompt in wish.prompts for _ in range(wish.count)]
    seeds = [wish.seed + number for _ in wish.prompts for number in range(wish.count)]
    paths: list[Path] = []
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    with find("methods", identity.method).attach(base, attached):
        for images in draw(pipeline_for(base, options), prompts, seeds, options):
            for image in images:
                number = len(paths)
                facts = {"prompt": prompts[number], "seed": seeds[number], **options.model_dump(mode="json")}
                paths.append(write_picture(folder / f"{stamp}-{number:03d}.png", image, facts, identity, seal))
            yield Progressed("draw", len(paths), len(prompts))
    yield Wrote("pictures", folder)
    return paths


def _remarks(base: Any, identity: Identity, prompts: Sequence[str]) -> list[str]:
    remarks = []
    for prompt in prompts:
        if identity.token.lower() not in prompt.lower():
            remarks.append(
                f"The prompt '{prompt}' lacks the token '{identity.token}', so it asks for any {identity.class_noun}."
            )
    if identity.base_fingerprint != base.fingerprint():
        remarks.append("The identity was learned on other weights of this base; likeness may suffer.")
    return remarks


def write_picture(
    path: Path, image: Pillow.Image, facts: Mapping[str, Any], identity: Identity | None, seal: Seal | None = None
) -> Path:
    """Write a picture as PNG in one move, with what made it inside.

    Args:
        path: where.
        image: the picture.
        facts: prompt, seed and how it was drawn.
        identity: what was attached; None for the bare base.
        seal: signs what is taken away; None for pictures of a run or a benchmark, which stay in their folders.
    """
    words = {"parameters": json.dumps(seal.told(facts) if seal else dict(facts))}
    if identity is not None:
        about = {"method": identity.method, "base": identity.base, "token": identity.token}
        words["ipseity"] = json.dumps(about)
    if seal is not None:
        return seal.write(path, image, facts, words)
    info = PngInfo()
    for keyword, text in words.items():
        info.add_text(keyword, text)
    with writing(path) as draft:
        image.save(draft, format="PNG", pnginfo=info)
    return path


def seal_for(base: Any, attachments: Sequence[Attachment], environment: Mapping[str, str] | None = None) -> Seal:
    """Give what signs the pictures of a base and identities; hashing the identities is done here, once.

    Args:
        base: draws.
        attachments: identities with their strengths; none for the bare base.
        environment: variables that hold the user's wishes; those of the process when not given.

    Raises:
        RecipeError: the wishes hold an unknown word.
    """
    about = {
        "base": {"name": base.name, "fingerprint": base.fingerprint(), "licence": base.licence},
        "identities": [_told(one) for one in attachments],
    }
    return replace(open_seal(code_version(), environment), about=about)


def _told(attached: Attachment) -> dict[str, Any]:
    """Say which identity was attached. Who agreed to it is told by the identity alone; here only whether it is noted."""
    identity = attached.identity
    return {
        "method": identity.method,
        "token": identity.token,
        "class_noun": identity.class_noun,
        "scale": attached.scale,
        "sha256": identity_hash(identity.tensors),
        "learned_on": identity.base_fingerprint,
        "recipe_hash": identity.facts.get("recipe_hash"),
        "licence": getattr(find("methods", identity.method), "licence", None),
        "consent": "noted" if consent_of(identity.facts) else "not noted",
        "holds_face": holds_face(identity.method, identity.tensors),
    }
