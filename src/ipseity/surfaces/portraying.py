"""`ipseity portrait`: one face, or several people, in new pictures without training."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ipseity.surfaces.edge import run as _run
from ipseity.surfaces.edge import tell as _say
from ipseity.surfaces.flags import Debug, Dry, Json, Settings

MODELS, PEOPLE, LOOKS, STEERING, KEEPING = "Models", "Who", "How it looks", "Pictures that steer", "What is kept"


def _option(*names: str, panel: str, says: str, **more: Any) -> Any:
    return typer.Option(*names, help=says, rich_help_panel=panel, **more)


Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FACE... PROMPT",
        help="Photos of one person (files, folders, or an identity that was kept), and the prompt as the last word.",
    ),
]
People = Annotated[
    list[str] | None,
    _option("--person", panel=PEOPLE, says="One of several people: NAME:PHOTOS or NAME:PHOTOS:REGION (left, middle, right, 0.1,0.2,0.5,0.9 or a mask), or a TOML file."),
]  # fmt: skip
WhichFace = Annotated[
    str | None, _option("--face", panel=PEOPLE, says="Of several faces in a photo: largest, left, right, or a number counted from the left."),
]  # fmt: skip
ClassNoun = Annotated[str | None, _option("--class", panel=PEOPLE, says="What they are, as the prompt says it: woman, man (photomaker: the word they stand for).")]  # fmt: skip
Mean = Annotated[str | None, _option("--mean", panel=PEOPLE, says="How several photos become one: raw or unit vectors are averaged.")]  # fmt: skip
MethodName = Annotated[str | None, _option("--method", panel=MODELS, says="instantid, ip_adapter or photomaker; unset: the one with a clean licence.")]  # fmt: skip
BaseName = Annotated[str, _option("--base", panel=MODELS, says="The base that draws.")]
Weights = Annotated[str | None, _option("--weights", panel=MODELS, says="Hub id, folder or .safetensors file of the base.")]  # fmt: skip
Adapter = Annotated[str | None, _option("--adapter", panel=MODELS, says="Hub id, folder or file of the face adapter.")]
FaceEncoderName = Annotated[str | None, _option("--face-encoder", panel=MODELS, says="The encoder that looks at faces (`ipseity list encoders`).")]  # fmt: skip
Download = Annotated[bool, _option("--download", panel=MODELS, says="Fetch what is missing, accepting its licence.")]
Loras = Annotated[list[str] | None, _option("--lora", panel=MODELS, says="FILE or FILE:SCALE of a LoRA beside the identity. May be repeated.")]  # fmt: skip
FewStep = Annotated[Path | None, _option("--few-step", panel=MODELS, says="An LCM-LoRA: four to eight steps, guidance from 1 to 2.")]  # fmt: skip
Count = Annotated[int, typer.Option("-n", "--count", min=1, max=1000, help="How many pictures.")]
FirstSeed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the first picture; the next have the next.")]
Style = Annotated[str | None, _option("--style", panel=LOOKS, says="Words around the prompt; `--style list` shows them.")]  # fmt: skip
Negative = Annotated[str | None, _option("--negative", panel=LOOKS, says="What the picture shall not show.")]
Guidance = Annotated[float | None, _option("--guidance", panel=LOOKS, says="Classifier-free guidance; lower it where colors burn.", min=0)]  # fmt: skip
Rescale = Annotated[float | None, _option("--guidance-rescale", panel=LOOKS, says="Against burnt colors, 0 to 1: brings guided predictions back to their own spread.")]  # fmt: skip
Steps = Annotated[int | None, _option("--steps", panel=LOOKS, says="Denoising steps.", min=1)]
Size = Annotated[str | None, _option("--size", panel=LOOKS, says="Pixels a side, or HEIGHTxWIDTH.")]
SecondPass = Annotated[str | None, _option("--second-pass", panel=LOOKS, says="auto (small faces are drawn again), off or always.")]  # fmt: skip
Scale = Annotated[float | None, _option("--adapter-scale", panel=STEERING, says="Strength of the face adapter; lower it to follow the prompt more.", min=0)]  # fmt: skip
ControlScale = Annotated[float | None, _option("--control-scale", panel=STEERING, says="instantid: strength of the IdentityNet.", min=0)]  # fmt: skip
ControlStart = Annotated[float | None, _option("--control-start", panel=STEERING, says="instantid: share of the steps after which it begins.", min=0, max=1)]  # fmt: skip
ControlEnd = Annotated[float | None, _option("--control-end", panel=STEERING, says="instantid: share of the steps after which it ends.", min=0, max=1)]  # fmt: skip
Pose = Annotated[str | None, _option("--pose", panel=STEERING, says="instantid: a picture whose faces give the pose, or `prompt`: the prompt alone decides.")]  # fmt: skip
StartPicture = Annotated[Path | None, _option("--from", panel=STEERING, says="A picture to start from.")]
Strength = Annotated[float | None, _option("--strength", panel=STEERING, says="How much of it may change, 0 to 1.")]
Mask = Annotated[Path | None, _option("--mask", panel=STEERING, says="White where it may change.")]
Controls = Annotated[list[str] | None, _option("--control", panel=STEERING, says="NAME=FOLDER:PICTURE or NAME=FOLDER:PICTURE:SCALE of another ControlNet.")]  # fmt: skip
Keep = Annotated[Path | None, _option("--keep", panel=KEEPING, says="Store the identity, which is personal data, in this file; else nothing of the face is stored.")]  # fmt: skip
Consent = Annotated[str | None, _option("--consent", panel=KEEPING, says="Who agreed to it, when and to what; travels with the identity.")]  # fmt: skip
Out = Annotated[Path, _option("--out", panel=KEEPING, says="Where the pictures' folder is made.")]


def portrait(  # noqa: PLR0917 - typer reads parameters as options
    words: Words = None, person: People = None, face: WhichFace = None, class_noun: ClassNoun = None, mean: Mean = None, method: MethodName = None,
    base: BaseName = "sdxl", weights: Weights = None, adapter: Adapter = None, face_encoder: FaceEncoderName = None,
    download: Download = False, lora: Loras = None, few_step: FewStep = None, count: Count = 4, seed: FirstSeed = 0,
    style: Style = None, negative: Negative = None, guidance: Guidance = None, guidance_rescale: Rescale = None,
    steps: Steps = None, size: Size = None, second_pass: SecondPass = None, adapter_scale: Scale = None,
    control_scale: ControlScale = None, control_start: ControlStart = None, control_end: ControlEnd = None,
    pose: Pose = None, start: StartPicture = None, strength: Strength = None, mask: Mask = None,
    control: Controls = None, keep: Keep = None, consent: Consent = None, out: Out = Path("portraits"),
    settings: Settings = None, dry_run: Dry = False, as_json: Json = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Draw one face, or several people, in new pictures. Nothing is trained, and nothing of the face is stored."""
    given: dict[str, Any] = {
        "person": person, "face": face, "class_noun": class_noun, "mean": mean, "method": method, "base": base, "weights": weights,
        "adapter": adapter, "face_encoder": face_encoder, "download": download, "lora": lora, "few_step": few_step,
        "count": count, "seed": seed, "style": style, "negative": negative, "guidance": guidance,
        "guidance_rescale": guidance_rescale, "steps": steps, "size": size, "second_pass": second_pass,
        "adapter_scale": adapter_scale, "control_scale": control_scale, "control_start": control_start,
        "control_end": control_end, "pose": pose, "start": start, "strength": strength, "mask": mask,
        "control": control, "keep": keep, "consent": consent, "out": out,
    }  # fmt: skip
    from ipseity import api

    if style == "list":
        _say(api.list_styles, as_json=as_json, debug=debug)
        return
    _run(
        lambda: api.portrait(api.make_wish(words or (), given), settings=settings or (), dry_run=dry_run),
        as_json=as_json,
        debug=debug,
    )
