"""What a user asks of a portrait, and the recipe that follows from it; what was derived is told with its reason."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ipseity.core.errors import CapabilityError, RecipeError
from ipseity.core.identity import Identity
from ipseity.core.registry import find, names
from ipseity.flows.consent import consent_facts
from ipseity.flows.people import KEPT, Person, parse_person
from ipseity.flows.styles import dress, find_style
from ipseity.recipe import Recipe, change, make_recipe

CLEAN = "ip_adapter"
"""Method whose published weights have a licence that allows all uses."""
READ = ("base", "method", "draw", "engine", "subject")
"""Tables of a recipe that a portrait reads."""
USUAL = {"num_inference_steps": 30, "guidance_scale": 5.0, "batch_size": 1}
"""Steps and guidance that the released InstantID code is shown with; one picture at a time, so that each is seen early."""
FEW = {"num_inference_steps": 6, "guidance_scale": 1.5}
"""With an LCM-LoRA: four to eight steps, guidance from 1 to 2."""
SECOND_PASSES = ("auto", "off", "always")
BY_PROMPT = "prompt"
ALSO = {"adapter_scale": "scale"}
"""What some methods call an option otherwise."""
PLUS_FACE = {
    "sdxl": "sdxl_models/ip-adapter-plus-face_sdxl_vit-h.safetensors",
    "sd15": "models/ip-adapter-plus-face_sd15.safetensors",
}
"""Files of the published IP-Adapter repository that look at faces and need no research licence."""
WORDS = {"weights": "adapter"}
"""Options of methods that the command line calls otherwise, so that a base's weights are not taken for them."""
TUNE = ("weights", "mean", "adapter_scale", "control_scale", "control_start", "control_end")
DRAW = {"guidance": "guidance_scale", "steps": "num_inference_steps", "negative": "negative_prompt"}


@dataclass(frozen=True)
class Start:
    """A picture to start from."""

    picture: Path
    strength: float | None = None
    """Share of the steps that are walked, in (0, 1]: 1 leaves nothing of the picture where it may change."""
    mask: Path | None = None
    """White where the picture may change; unset means everywhere."""


@dataclass(frozen=True)
class ControlWish:
    """Another ControlNet with its picture."""

    name: str
    folder: Path
    picture: Path
    scale: float = 0.5


@dataclass(frozen=True)
class LoraWish:
    """A LoRA of style or of something else, beside the identity."""

    file: Path
    scale: float = 1.0


@dataclass(frozen=True)
class PortraitWish:
    """What a user says; everything else is derived."""

    prompt: str
    people: tuple[Person, ...]
    class_noun: str = "person"
    method: str | None = None
    base: str = "sdxl"
    weights: str | None = None
    """Of the base."""
    face_encoder: str | None = None
    download: bool = False
    count: int = 4
    seed: int = 0
    draw: Mapping[str, Any] = field(default_factory=dict)
    """Options of `DrawOptions` that were given."""
    tune: Mapping[str, Any] = field(default_factory=dict)
    """Options of the method that were given: weights, mean, adapter_scale, control_scale, control_start, control_end."""
    pose: str | None = None
    """A picture, or "prompt": pose and framing follow the prompt alone."""
    style: str | None = None
    start: Start | None = None
    controls: tuple[ControlWish, ...] = ()
    loras: tuple[LoraWish, ...] = ()
    few_step: Path | None = None
    """An LCM-LoRA."""
    guidance_rescale: float = 0.0
    second_pass: str = "auto"
    consent: str | None = None
    """Who agreed, when and to what; travels with the identity."""
    keep: Path | None = None
    """Where the identity goes; unset stores nothing of the face."""
    out: Path = Path("portraits")


def commission(wish: PortraitWish, settings: Iterable[str] = ()) -> tuple[Recipe, list[str]]:
    """Make the recipe of a portrait, with a sentence for each value that was derived.

    Raises:
        RecipeError: an unknown method, style, key or value.
        CapabilityError: the base has no face adapter, or lacks what the method needs.
    """
    settings = tuple(settings)
    _check(wish, settings)
    method, told = _method(wish)
    plugin = find("methods", method)
    style = find_style(wish.style) if wish.style else None
    prompt, negative = dress(wish.prompt, wish.draw.get("negative_prompt"), style)
    usual = USUAL | (FEW if wish.few_step else {})
    drawn = {**usual, **wish.draw} | ({"negative_prompt": negative} if negative else {})
    tune = dict(wish.tune) | ({"face_encoder": wish.face_encoder} if wish.face_encoder else {})
    if wish.pose == BY_PROMPT:
        if "control_scale" in plugin.Options.model_fields:
            tune["control_scale"] = 0.0
            told.append("Pose and framing follow the prompt alone: no keypoints, and the IdentityNet is not read.")
    elif wish.pose is not None:
        _offers(plugin, method, "control_scale", "--pose PICTURE")
    tune = _named(tune, plugin.Options.model_fields)
    if "crop" in plugin.Options.model_fields and any(path.suffix != KEPT for one in wish.people for path in one.photos):
        tune = {**_plus_face(wish), "crop": "face", **tune}
    for key in tune:
        _offers(plugin, method, key, f"--{WORDS.get(key, key).replace('_', '-')}")
    base: dict[str, Any] = {"use": wish.base} | ({"weights": wish.weights} if wish.weights else {})
    if wish.download:
        base["download"] = True
        tune["download"] = True
    data = {
        "name": "portrait",
        "seed": wish.seed,
        "runs": str(wish.out),
        "subject": {"photos": str(wish.people[0].photos[0].parent), "class_noun": wish.class_noun},
        "base": base,
        "method": {"use": method, **tune},
        "draw": drawn,
    }
    recipe = make_recipe(change(data, settings), origin="portrait")
    if wish.style:
        told.append(f"Style {wish.style}: {prompt}")
    return recipe, [*told, *_terms(recipe)]


def _named(tune: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """Call options as the method calls them; a face encoder that it does not know serves the second pass alone."""
    known = set(fields)
    called = {ALSO[key] if key in ALSO and key not in known else key: value for key, value in tune.items()}
    return {key: value for key, value in called.items() if key != "face_encoder" or key in known}


def _plus_face(wish: PortraitWish) -> dict[str, Any]:
    """Name the published file that was made for faces, where no other weights are named."""
    file = PLUS_FACE.get(wish.base)
    return {"file": file} if file and not wish.tune.get("weights") else {}


def make_wish(words: Sequence[str], given: Mapping[str, Any]) -> PortraitWish:
    """Turn what was typed into a wish.

    Args:
        words: photos and, last, the prompt.
        given: options by their names on the command line; those that are None were not given.

    Raises:
        RecipeError: a word has another form than it must.
    """
    said = {key: value for key, value in given.items() if value is not None}
    *faces, prompt = words or ("",)
    named = [one for person in said.pop("person", ()) for one in parse_person(person, face=said.get("face"))]
    if faces and named:
        raise RecipeError(f"{len(faces)} photos are named beside --person", "one way to say who is drawn", "move the photos into --person")  # fmt: skip
    if Path(prompt).is_file() or not (faces or named):
        found = f"'{prompt}' is a file, and it stands last" if Path(prompt).is_file() else "nobody is named" if words else "nothing is named"  # fmt: skip
        raise RecipeError(found, "one photo or more, and the prompt as the last word", 'write for example `ipseity portrait ada.jpg "an oil painting of a woman"`')  # fmt: skip
    alone = Person(tuple(Path(face) for face in faces), face=said.pop("face", None))
    start = _start(said)
    draw = {DRAW[key]: said.pop(key) for key in DRAW if key in said} | size_of(said.pop("size", None))
    tune = {key: said.pop(WORDS.get(key, key)) for key in TUNE if WORDS.get(key, key) in said}
    said["controls"] = tuple(parse_control(one) for one in said.pop("control", ()))
    said["loras"] = tuple(parse_lora(one) for one in said.pop("lora", ()))
    return PortraitWish(prompt, tuple(named) or (alone,), draw=draw, tune=tune, start=start, **said)


def size_of(words: str | None) -> dict[str, int]:
    """Read "1024" or "1152x896", height first, as everywhere here.

    Raises:
        RecipeError: it has another form.
    """
    if words is None:
        return {}
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", words.strip().lower())
    if match is None:
        raise RecipeError(f"--size {words!r}", "pixels a side, or HEIGHTxWIDTH", "write for example --size 1152x896")
    return {"height": int(match[1]), "width": int(match[2] or match[1])}


def parse_control(words: str) -> ControlWish:
    """Read `NAME=FOLDER:PICTURE[:SCALE]`.

    Raises:
        RecipeError: it has another form.
    """
    name, sign, rest = words.partition("=")
    folder, *more = rest.split(":")
    if not sign or not name or not folder or len(more) not in (1, 2) or not more[0]:
        raise RecipeError(f"--control {words!r}", "NAME=FOLDER:PICTURE or NAME=FOLDER:PICTURE:SCALE", "write for example --control pose=openpose-sdxl:stance.png:0.4")  # fmt: skip
    scale = {"scale": _strength(more[1], "--control", words)} if len(more) == 2 else {}
    return ControlWish(name, Path(folder), Path(more[0]), **scale)


def parse_lora(words: str) -> LoraWish:
    """Read `FILE[:SCALE]`.

    Raises:
        RecipeError: the scale is no number.
    """
    file, sign, scale = words.rpartition(":")
    if not sign or words.endswith(".safetensors"):
        return LoraWish(Path(words))
    return LoraWish(Path(file), _strength(scale, "--lora", words))


def _strength(text: str, option: str, words: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 5:
        raise RecipeError(f"{option} {words!r}: the scale is {text!r}", "a number from 0 to 5", "write for example 0.8")
    return value


def _start(said: dict[str, Any]) -> Start | None:
    """Take the picture to start from out of what was said."""
    picture, strength, mask = (said.pop(key, None) for key in ("start", "strength", "mask"))
    if picture is None and (strength is not None or mask is not None):
        what = "--mask" if mask is not None else "--strength"
        raise RecipeError(f"{what} without a picture", "the picture to start from", "name it with --from PICTURE")
    return None if picture is None else Start(picture, strength, mask)


def dressed_prompt(wish: PortraitWish) -> str:
    """Give the prompt with the words of its style."""
    return dress(wish.prompt, None, find_style(wish.style) if wish.style else None)[0]


def _check(wish: PortraitWish, settings: Iterable[str]) -> None:
    assert wish.people, "nobody shall be drawn"
    consent_facts(wish.consent)  # refuses an empty note before anything is looked at
    if not wish.prompt.strip():
        raise RecipeError("the prompt is empty", "what shall be drawn, in words", 'write for example "an oil painting of a person"')  # fmt: skip
    if wish.second_pass not in SECOND_PASSES:
        raise RecipeError(f"--second-pass {wish.second_pass!r}", f"one of: {', '.join(SECOND_PASSES)}", "choose one of them")  # fmt: skip
    for setting in settings:
        table = setting.partition(".")[0]
        if table not in READ:
            raise RecipeError(f"--set {setting!r}", f"a portrait reads {', '.join(READ)} only", "name one of these tables")  # fmt: skip
    if wish.start is not None and not 0 < (wish.start.strength or 1.0) <= 1:
        raise RecipeError(f"--strength {wish.start.strength}", "a share above 0, at most 1", "write for example --strength 0.6")  # fmt: skip
    if not 0 <= wish.guidance_rescale <= 1:
        raise RecipeError(f"--guidance-rescale {wish.guidance_rescale}", "a share from 0 to 1", "0.7 is usual")


def _method(wish: PortraitWish) -> tuple[str, list[str]]:
    """Choose the method: what the user names; of none, the kept identity's; else the one with a clean licence."""
    if wish.base == "toybox" and not wish.tune.get("weights"):
        raise CapabilityError(
            "base 'toybox' has no face adapter yet",
            "a base that a face adapter was trained for",
            "name it with --base sdxl (and --weights if it lies in a folder), or name an adapter of your own with --adapter",
        )
    if wish.method is not None:
        return wish.method, []
    kept = {_kept_method(path) for person in wish.people for path in person.photos if path.suffix == KEPT}
    if len(kept) == 1:
        (method,) = kept
        return method, [f"Method: {method}, which the identity file was made with."]
    if CLEAN not in names("methods"):
        raise CapabilityError(
            f"method '{CLEAN}', which needs no research licence, is not in this version",
            "a method that draws faces without training",
            "name one: --method instantid (its published weights are for non-commercial research only)",
        )
    return CLEAN, [f"Method: {CLEAN}, whose published weights may be used commercially (--method for another)."]


def _kept_method(path: Path) -> str:
    return Identity.load(path).method


def _offers(plugin: Any, method: str, key: str, what: str) -> None:
    if key not in plugin.Options.model_fields:
        able = [name for name in names("methods") if key in find("methods", name).Options.model_fields]
        raise CapabilityError(
            f"method '{method}' has no '{key}', which {what} sets",
            f"a method that has it: {', '.join(able) or 'none is installed'}",
            "leave it out, or change --method",
        )


def _terms(recipe: Recipe) -> list[str]:
    """Say under which licence the method's published weights stand."""
    licence = getattr(recipe.method.plugin, "licence", None)
    return [f"Licence: {licence}."] if licence else []
