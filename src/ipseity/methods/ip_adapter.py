"""Pictures as prompts, with nothing to learn: IP-Adapter in all its kinds (arXiv:2308.06721), over diffusers' own loader."""

import inspect
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from PIL.Image import Image
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from ipseity.core.errors import SubjectError, WeightsError
from ipseity.core.faces import FaceEncoder, choose_face, find_face_encoder
from ipseity.core.identity import Attachment, Identity
from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import ExportForm, Method
from ipseity.core.types import Subject
from ipseity.core.weights import locate
from ipseity.methods.parts.adapter_file import (
    PICTURES,
    AdapterFile,
    check_encoder,
    check_layers,
    find_adapter,
    read_adapter,
)
from ipseity.methods.parts.face_crop import aligned, framed
from ipseity.methods.parts.image_adapter import adapters_inside, cross_attentions, own_processors
from ipseity.methods.parts.low_rank import added_beside, attention_factors, read_low_rank
from ipseity.methods.parts.picture_encoder import check_width, find_picture_encoder, load_picture_encoder
from ipseity.methods.parts.picture_prompts import PicturePrompt, PicturePrompts, Prompted
from ipseity.methods.parts.picture_tokens import FACES, averaged, check_seen, picture_tokens, seen_by_clip
from ipseity.methods.parts.portrait import drawn_by
from ipseity.methods.parts.settled import SettledLearner, attached, no_export

LICENCE = (
    "h94/IP-Adapter is Apache-2.0 and its CLIP encoders are MIT, so its files may be used in business; "
    "h94/IP-Adapter-FaceID and the face model it needs are for non-commercial research only"
)
PUBLISHED = "h94/IP-Adapter"
PUBLISHED_FACES = "h94/IP-Adapter-FaceID"
PUBLISHED_SPACE = "insightface:4c06341c33c2"
"""Recognizer of the pack buffalo_l (w600k_r50.onnx): the published FaceID adapters were trained with its embeddings."""
USUAL: Mapping[int, str] = {
    768: "models/ip-adapter-plus_sd15.safetensors",
    2048: "sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors",
}
"""Width of the base's text -> the file of the published repository that is taken where none is named."""
KINDS = ("text", "image", "inpaint")
MODEL = ("*.json", "model.safetensors", "model-0*.safetensors")
"""Files of a picture encoder."""


class IPAdapterOptions(Options):
    """Which adapter, what it looks at, and how strongly it acts.

    The default is fit for business: every file of h94/IP-Adapter is Apache-2.0 and its two CLIP encoders are MIT. For
    people take its plus-face file with `crop = "face"` and a face encoder whose models may be used too, such as
    face_opencv. FaceID files are for research only, and so is the InsightFace pack buffalo_l that they need.
    """

    use: Literal["ip_adapter"] = "ip_adapter"
    """Photos as prompts beside the text; nothing is trained."""
    weights: str = PUBLISHED
    """Folder, file or Hub id with an IP-Adapter (.safetensors or .bin), told apart by what it holds, and its picture encoder."""
    file: str | None = None
    """Which file below `weights`, where there are several; unset means the only one, or the published Plus for this base."""
    revision: str | None = None
    """Branch, tag or commit of a Hub id."""
    download: bool = False
    """Whether a Hub id may be fetched from the network; to say yes is to accept the licence of the weights."""
    image_encoder: str | None = None
    """Folder or Hub id of the adapter's CLIP; unset means the one below `weights` whose widths fit."""
    image_space: str | None = None
    """Space of the CLIP that the adapter was trained with; needed only where `image_encoder` lies elsewhere."""
    face_encoder: str | None = None
    """Name of the encoder that finds faces: for FaceID adapters, and for `crop = "face"`."""
    face_space: str | None = None
    """Space of the face embeddings that a FaceID adapter was trained on; unset means what its file records, or the published one's."""
    crop: Literal["whole", "face"] = "whole"
    """What CLIP is shown: whole photos, or the square around each face, as plus-face adapters want it. FaceID-Plus has a way of its own."""
    several: Literal["stack", "average"] = "stack"
    """How several photos are heard: the tokens of all of them, or those of their mean."""
    scale: float = Field(0.6, ge=0, le=5)
    """Strength."""
    blocks: dict[str, float | dict[str, float | list[float]]] | None = None
    """Shares of the strength by block, as diffusers takes them; what is not named is 0. {up = {block_0 = [0, 1, 0]}} is SDXL's style."""
    start: float = Field(0.0, ge=0, le=1)
    """Share of the steps after which it begins."""
    end: float = Field(1.0, ge=0, le=1)
    """Share of the steps after which it ends."""
    plus_version: Literal["v1", "v2"] = "v2"
    """Version of a FaceID-Plus adapter, which its keys do not tell."""
    structure_scale: float = Field(1.0, ge=0, le=5)
    """How much a FaceID-Plus adapter hears of the picture beside the embedding."""
    lora_scale: float = Field(1.0, ge=0, le=2)
    """Strength of the low-rank layers that a FaceID adapter brings along."""


class IPAdapter:
    """One photo is enough and no step is trained: tokens of the photos are heard beside the words."""

    Options: ClassVar[type[AnyOptions]] = IPAdapterOptions
    licence: ClassVar[str] = LICENCE
    needs: ClassVar[frozenset[str]] = frozenset({"text", "cross_attention"})
    needs_encoders: ClassVar[frozenset[str]] = frozenset({"face"})
    exports: ClassVar[frozenset[str]] = frozenset()

    @staticmethod
    def begin(base: Any, subject: Subject, encoders: Mapping[str, Any], options: IPAdapterOptions) -> SettledLearner:
        """Look at the photos with the encoders that the adapter was trained with; what they give is the identity.

        Raises:
            CapabilityError: faces are needed, and no encoder looks at them.
            SubjectError: there is no photo, or one shows no face that can be used.
            WeightsError: the adapter or its picture encoder is not here, does not fit, or is another's.
        """
        told = options.model_copy(update={"file": options.file or _usual(base, options)})
        file = find_adapter(_place(told), PICTURES)
        check_layers(file, cross_attentions(base.parts()["unet"]), base.name)
        pictures: Sequence[Image] = [photo.image for photo in subject.photos]
        if not pictures:
            raise SubjectError("the subject has no photo", "one photo", "add one to subject.photos")
        tensors: dict[str, Tensor] = {}
        notes: list[str] = []
        if file.kind in FACES or told.crop == "face":
            encoder = _face_encoder(encoders, file, told)
            found = [choose_face(encoder, photo.image, photo.path.name) for photo in subject.photos]
            notes = [note for _, remarks in found for note in remarks]
            faces = [face for face, _ in found]
            pairs = zip(pictures, faces, strict=True)
            pictures = [
                aligned(image, face.points) if file.kind == "faceid-plus" else framed(image, face.box)
                for image, face in pairs
            ]
            told = told.model_copy(update={"face_encoder": encoder.name})
            if file.kind in FACES:
                tensors["faces"] = normalize(torch.stack([face.embedding for face in faces]).float(), dim=-1)
                told = told.model_copy(update={"face_space": encoder.space})
        if file.picture_width is not None:
            seen, space = _look(file, pictures, told, base.device)
            tensors, told = {**tensors, **seen}, told.model_copy(update={"image_space": space})
        tensors = averaged(tensors) if told.several == "average" else tensors
        return SettledLearner(
            IPAdapter, base, subject, options=told, tensors=tensors, facts={"notes": notes, "kind": file.kind}
        )

    @staticmethod
    def attach(base: Any, attachments: Sequence[Attachment]) -> AbstractContextManager[Any]:
        """Put identities into a base for the length of a block: whatever asks its denoiser draws them.

        Each is heard by itself and added at its own strength; a `Sitting` is heard in its region alone. Identities of one
        file share its weights. Low-rank and other adapters that are attached around or within go on working.

        Raises:
            WeightsError: an adapter does not fit the base or the identity.
            RecipeError: `blocks` names blocks that the base does not have.
        """
        return attached(base, attachments, _attach)

    @staticmethod
    def export(identity: Identity, base: Any, form: ExportForm, folder: Path) -> list[Path]:
        """Refuse: what would be written is an encoder's view of photos, which no other program's format holds.

        Raises:
            CapabilityError: always.
        """
        raise no_export("ip_adapter", "what an encoder saw of photos")


def _attach(base: Any, strong: Sequence[Attachment], undo: ExitStack) -> None:
    unet: Any = base.parts()["unet"]
    told = [IPAdapterOptions(**one.identity.options) for one in strong]
    places = [_place(options) for options in told]
    found = {place: find_adapter(place, PICTURES) for place in dict.fromkeys(places)}
    files = [found[place] for place in places]
    for one, options, file in zip(strong, told, files, strict=True):
        _check(one.identity, options, file)
    processors, loader = own_processors(unet), _loader(base)
    projections = undo.enter_context(adapters_inside(loader, files, base=base.name, beside=True))
    slots = zip(strong, told, files, projections, strict=True)
    prompts = PicturePrompts(loader, [_prompt(*slot) for slot in slots], stride=base.latent_stride)
    for file in found.values():
        own = [(one, options) for one, options, its in zip(strong, told, files, strict=True) if its is file]
        scale = max(min(one.scale, 1.0) * options.lora_scale for one, options in own)
        factors = attention_factors(read_adapter(file.path).get("ip_adapter", {}), processors)
        named = read_low_rank(factors, where=file.path.name)
        undo.enter_context(added_beside(unet, named, scale, where=file.path.name))
    undo.enter_context(prompts.told())
    undo.enter_context(drawn_by(base, {kind: Prompted(base.pipeline(kind), prompts) for kind in KINDS}))


def _prompt(one: Attachment, told: IPAdapterOptions, file: AdapterFile, projection: Any) -> PicturePrompt:
    tokens, no_tokens = picture_tokens(
        projection, file, one.identity.tensors, shortcut=told.plus_version == "v2", structure=told.structure_scale
    )
    return PicturePrompt(
        tokens,
        no_tokens,
        scale=told.scale * one.scale,
        blocks=told.blocks,
        region=getattr(one, "region", None),
        start=told.start,
        end=told.end,
    )


def _check(identity: Identity, told: IPAdapterOptions, file: AdapterFile) -> None:
    """Refuse an identity whose encoders are not the adapter's, even where widths agree."""
    check_seen(file, identity.tensors)
    key = "face_space" if file.kind in FACES else "image_space"
    space = getattr(told, key) or "unknown"
    check_encoder(file, space, width=file.input_width, told=getattr(told, key), key=key)


def _loader(base: Any) -> Any:
    """Make a pipeline that nobody else holds, over the base's modules whatever draws them: loading registers parts on it."""
    stock = type(base).pipeline(base, "text")
    known = inspect.signature(type(stock).__init__).parameters
    quietly = {key: False for key in ("requires_safety_checker", "add_watermarker") if key in known}
    return type(stock)(**stock.components, **quietly)


def _usual(base: Any, options: IPAdapterOptions) -> str | None:
    published = options.weights == PUBLISHED
    return USUAL.get(base.parts()["unet"].config.cross_attention_dim) if published else None


def _place(told: IPAdapterOptions) -> Path:
    """Find the adapter's file, or the folder that it is looked for in."""
    if told.file is None and not Path(told.weights).expanduser().exists():
        raise WeightsError(
            f"{told.weights} is no folder or file here, and a Hub repository holds many adapters",
            "the name of the one that is meant",
            f"set method.file, for example '{USUAL[2048]}'",
        )
    root = _located(told, ("*/config.json", *([told.file] if told.file else [])))
    place = root if told.file is None else root / told.file
    if not place.exists():
        raise WeightsError(
            f"{root} has no {told.file}", "an IP-Adapter file there", "check method.file, or set method.download = true"
        )
    return place


def _located(told: IPAdapterOptions, allow: Sequence[str]) -> Path:
    return locate(told.weights, allow=allow, revision=told.revision, download=told.download, licence=LICENCE)


def _look(
    file: AdapterFile, pictures: Sequence[Image], told: IPAdapterOptions, device: torch.device
) -> tuple[dict[str, Tensor], str]:
    """Run the adapter's CLIP once; give what it saw, and its space."""
    assert file.picture_width is not None, "this kind looks at no picture"
    width, pooled = file.picture_width, file.kind == "plain"
    root = _located(told, ("*/config.json",))
    root = root.parent if root.is_file() else root
    named = None if told.image_encoder is None else root / told.image_encoder
    if named is not None and not named.is_dir():
        named = locate(told.image_encoder or "", allow=MODEL, download=told.download)
    folder = named or find_picture_encoder(root, width=width, pooled=pooled)
    if folder.is_relative_to(root) and folder != root:
        _located(told, [f"{folder.relative_to(root)}/{name}" for name in MODEL])
    check_width(folder, width=width, pooled=pooled)
    encoder = load_picture_encoder(folder, device)
    own = folder.is_relative_to(root)  # what is published beside the adapter is its own
    told_space = told.image_space or (encoder.space if own and (file.kind in FACES or file.encoder is None) else None)
    if file.kind not in FACES:
        check_encoder(file, encoder.space, width=width, told=told_space, key="image_space")
    elif told_space != encoder.space:
        raise WeightsError(
            f"{folder} is the CLIP '{encoder.space}', and method.image_space is {told_space!r}",
            "the picture encoder that the adapter was trained with",
            f"set method.image_space = '{encoder.space}' if that is the one its card names",
        )
    return seen_by_clip(file, encoder, pictures), encoder.space


def _face_encoder(encoders: Mapping[str, Any], file: AdapterFile, told: IPAdapterOptions) -> FaceEncoder:
    encoder = find_face_encoder(encoders)
    if file.kind in FACES:
        known = told.face_space or (PUBLISHED_SPACE if told.weights == PUBLISHED_FACES else None)
        check_encoder(file, encoder.space, width=encoder.width, told=known)
    return encoder


PLUGIN: type[Method] = IPAdapter
