"""Identity from faces, with nothing to learn: an embedding as image tokens, five points as a picture (arXiv:2401.07519)."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ipseity.core.errors import CapabilityError, SubjectError, WeightsError
from ipseity.core.faces import Face, choose_face, find_face_encoder, mean_embedding
from ipseity.core.files import read_json
from ipseity.core.identity import Attachment, Identity, Sitting
from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import ExportForm, Method
from ipseity.core.rng import Rng
from ipseity.core.types import Subject
from ipseity.core.weights import check_loaded, locate, quiet, unreadable, weight_files
from ipseity.methods.parts.adapter_file import check_encoder, find_adapter
from ipseity.methods.parts.portrait import STOCK, Portrait, Sitter, drawn_by, prediction_told
from ipseity.methods.parts.settled import SettledLearner, attached, no_export

LICENCE = "the published InstantID weights and the face model that they need are for non-commercial research only"
PATTERNS = ("*.bin", "*.safetensors", "*.json", "*/*.safetensors", "*/*.json")
PUBLISHED = "InstantX/InstantID"
PUBLISHED_SPACE = "insightface:4ab1d6435d63"
"""Recognizer of the pack antelopev2 (glintr100.onnx): the published adapter was trained with its embeddings."""


class InstantIDOptions(Options):
    """Which adapter and IdentityNet, and how strongly they act."""

    use: Literal["instantid"] = "instantid"
    """One embedding of a face, and its five points; nothing is trained."""
    weights: str = PUBLISHED
    """Folder or Hub id with an image adapter (.safetensors or .bin) and an IdentityNet in the diffusers layout; both are found by what they hold."""
    revision: str | None = None
    """Branch, tag or commit of a Hub id."""
    download: bool = False
    """Whether a Hub id may be fetched from the network; to say yes is to accept the licence of the weights."""
    face_encoder: str = "face_insightface"
    """Name of the encoder that looks at the photos."""
    face_space: str | None = None
    """Space of the face embeddings that the adapter was trained on; unset means what its file records, or the published one's."""
    mean: Literal["raw", "unit"] = "raw"
    """How several photos become one embedding: the mean of raw vectors, as in the paper, or of unit vectors."""
    adapter_scale: float = Field(0.8, ge=0, le=5)
    """Strength of the image adapter."""
    block_scales: Mapping[str, float] = Field(default_factory=dict)
    """Factors of the adapter's strength for parts of the denoiser: "down", "mid", "up", or one block such as "up.0"; for the
    rest 1. Later parts of the denoiser decide more of style than of likeness."""
    negative_noise: float = Field(0.0, ge=0, le=1)
    """Noise that the unguided half hears in place of no face, as a share of the face embedding's size: against burnt colors."""
    control_scale: float = Field(0.8, ge=0, le=5)
    """Strength of the IdentityNet; 0 leaves it out, so that pose and framing follow the prompt."""
    control_start: float = Field(0.0, ge=0, le=1)
    """Share of the steps after which the IdentityNet begins."""
    control_end: float = Field(1.0, ge=0, le=1)
    """Share of the steps after which it ends."""
    face_only: bool = False
    """Whether both act inside the face's box only, so that the rest of the picture follows the prompt."""


class InstantID:
    """One photo is enough and no step is trained; pose and framing follow the photo unless points are given."""

    Options: ClassVar[type[AnyOptions]] = InstantIDOptions
    licence: ClassVar[str] = LICENCE
    needs: ClassVar[frozenset[str]] = frozenset({"text", "pooled_text", "cross_attention"})
    needs_encoders: ClassVar[frozenset[str]] = frozenset({"face"})
    exports: ClassVar[frozenset[str]] = frozenset()

    @staticmethod
    def begin(base: Any, subject: Subject, encoders: Mapping[str, Any], options: InstantIDOptions) -> SettledLearner:
        """Look at the photos: one embedding of them all, and the points of the face that is largest in its photo.

        Raises:
            CapabilityError: no encoder looks at faces.
            SubjectError: there is no photo, or one shows no face that can be used.
            WeightsError: the adapter was trained with another face encoder, or is not here.
        """
        encoder = find_face_encoder(encoders)
        adapter = find_adapter(_folder(options))
        check_encoder(adapter, encoder.space, width=encoder.width, told=_told(options))
        seen = [choose_face(encoder, photo.image, photo.path.name) for photo in subject.photos]
        if not seen:
            raise SubjectError("the subject has no photo", "one photo of a face", "add one to subject.photos")
        faces = [face for face, _ in seen]
        sizes = [(photo.image.height, photo.image.width) for photo in subject.photos]
        shown = max(range(len(faces)), key=lambda index: _prominence(faces[index], sizes[index]))
        tensors = {
            "embedding": mean_embedding(faces, unit=options.mean == "unit"),
            "points": faces[shown].points.float(),
            "box": torch.tensor(faces[shown].box, dtype=torch.float32),
            "size": torch.tensor(sizes[shown], dtype=torch.float32),
        }
        told = options.model_copy(update={"face_encoder": encoder.name, "face_space": encoder.space})
        notes = [note for _, notes in seen for note in notes]
        return SettledLearner(InstantID, base, subject, options=told, tensors=tensors, facts={"notes": notes})

    @staticmethod
    def attach(base: Any, attachments: Sequence[Attachment]) -> AbstractContextManager[Any]:
        """Put identities into a base for the length of a block: its pipelines for text, image and inpaint draw them.

        A scale multiplies both strengths; at 0 the base stays bare. Identities of one adapter file share its weights.

        Raises:
            CapabilityError: several identities, and one has no region.
            WeightsError: an adapter or an IdentityNet does not fit the base or the embedding.
        """
        return attached(base, attachments, _attach)

    @staticmethod
    def export(identity: Identity, base: Any, form: ExportForm, folder: Path) -> list[Path]:
        """Refuse: what would be written is the embedding, which no other program's format holds.

        Raises:
            CapabilityError: always.
        """
        raise no_export("instantid", "one embedding")


def _attach(base: Any, strong: Sequence[Attachment], undo: ExitStack) -> None:
    from ipseity.methods.parts.image_adapter import adapters_inside

    _check_regions(strong)
    told = [InstantIDOptions(**one.identity.options) for one in strong]
    folders = [_folder(options) for options in told]
    slots = list(dict.fromkeys(folders))
    files = [find_adapter(folder) for folder in slots]
    for one, options, folder in zip(strong, told, folders, strict=True):
        width, space = len(one.identity.tensors["embedding"]), options.face_space or "unknown"
        check_encoder(files[slots.index(folder)], space, width=width, told=options.face_space)
    steered = {folder for folder, options in zip(folders, told, strict=True) if options.control_scale > 0}
    nets = [load_net(folder, base) if folder in steered else None for folder in slots]
    stock, loader = {kind: base.pipeline(kind) for kind in STOCK}, _loader(base)
    projections = undo.enter_context(adapters_inside(loader, files, base=base.name))
    where = [slots.index(folder) for folder in folders]
    sitters = [
        _sitter(one, options, slot=slot, net=nets[slot], projection=projections[slot])
        for one, options, slot in zip(strong, told, where, strict=True)
    ]
    loader.set_ip_adapter_scale([_scales(sitters, slot) for slot in range(len(slots))])
    _scale_blocks(base.parts()["unet"], [[told[row].block_scales for row in _rows(where, slot)] for slot in range(len(slots))])  # fmt: skip
    undo.enter_context(prediction_told(base.parts()["unet"], sitters, stride=base.latent_stride))
    portraits = {kind: Portrait(stock[kind], kind, sitters, resolution=base.resolution) for kind in STOCK}
    undo.enter_context(drawn_by(base, portraits))


def _loader(base: Any) -> Any:
    """Make a pipeline that nobody else holds: loading an adapter registers parts on it."""
    stock = type(base).pipeline(base, "text")
    return type(stock)(**stock.components, add_watermarker=False)


def _sitter(one: Attachment, told: InstantIDOptions, *, slot: int, net: Any, projection: Any) -> Sitter:
    from ipseity.methods.parts.image_adapter import tokens_of

    tensors, given = one.identity.tensors, one if isinstance(one, Sitting) else Sitting(one.identity, one.scale)
    own = (int(tensors["size"][0]), int(tensors["size"][1]))
    points = tensors["points"] if given.points is None else torch.as_tensor(given.points, dtype=torch.float32)
    id_tokens, no_id_tokens = tokens_of(projection, tensors["embedding"])
    nobody = _noise_like(tensors["embedding"], told.negative_noise) if told.negative_noise else None
    if nobody is not None:
        no_id_tokens, _ = tokens_of(projection, nobody)
    return Sitter(
        tensors["embedding"],
        points,
        size=own if given.points is None or given.size is None else given.size,
        net=net if told.control_scale > 0 else None,
        slot=slot,
        id_tokens=id_tokens,
        no_id_tokens=no_id_tokens,
        adapter_scale=told.adapter_scale * one.scale,
        control_scale=told.control_scale * one.scale,
        region=given.region,
        box=_moved(tensors["box"], tensors["points"], points) if told.face_only else None,
        start=told.control_start,
        end=told.control_end,
        nobody=nobody,
    )


def _noise_like(embedding: Float[Tensor, "D"], share: float) -> Float[Tensor, "D"]:
    """Give noise as large as a share of an embedding, the same each time."""
    noise = Rng(0, ("nobody",)).normal(tuple(embedding.shape)).to(embedding)
    return noise * share * embedding.square().mean().sqrt()


def _rows(where: Sequence[int], slot: int) -> list[int]:
    return [row for row, place in enumerate(where) if place == slot]


def _scale_blocks(unet: Any, factors: Sequence[Sequence[Mapping[str, float]]]) -> None:
    """Weaken or strengthen adapters block by block; their processors are new ones, so nothing has to be put back.

    Args:
        unet: with the adapters inside and their strengths set.
        factors: for each adapter, for each identity that it carries.

    Raises:
        WeightsError: a factor names a part that the denoiser does not have.
    """
    names = [name for name, one in unet.attn_processors.items() if hasattr(one, "scale")]
    for part in {part for slot in factors for one in slot for part in one}:
        if not any(_is_within(name, part) for name in names):
            blocks = sorted({".".join(_block(name)) for name in names})
            raise WeightsError(f"method.block_scales names '{part}'", f"down, mid, up or one of: {', '.join(blocks)}", "correct the name")  # fmt: skip
    for name in names:
        processor = unet.attn_processors[name]
        for slot, (scale, own) in enumerate(zip(list(processor.scale), factors, strict=True)):
            now = [_factor(name, one) for one in own]
            scales = scale if isinstance(scale, list) else [scale]
            scaled = [value * factor for value, factor in zip(scales, now, strict=True)]
            processor.scale[slot] = scaled if isinstance(scale, list) else scaled[0]


def _factor(name: str, factors: Mapping[str, float]) -> float:
    fitting = [part for part in factors if _is_within(name, part)]
    return factors[max(fitting, key=len)] if fitting else 1.0


def _is_within(name: str, part: str) -> bool:
    return _block(name)[: part.count(".") + 1] == tuple(part.split("."))


def _block(name: str) -> tuple[str, ...]:
    """Give the block of an attention processor: ("up", "0") of "up_blocks.0.attentions.1...", ("mid",) of "mid_block..."."""
    head, number = name.split(".")[:2]
    return (head.split("_")[0], number) if number.isdigit() else (head.split("_")[0],)


def _moved(box: Tensor, points: Tensor, target: Tensor) -> tuple[float, float, float, float]:
    """Move a face's box along with its points."""
    (low, high), (new_low, new_high) = ((some.amin(0), some.amax(0)) for some in (points, target))
    corners = (box.view(2, 2) - low) / (high - low).clamp(min=1e-6) * (new_high - new_low) + new_low
    left, top, right, bottom = corners.flatten().tolist()
    return left, top, right, bottom


def _scales(sitters: Sequence[Sitter], slot: int) -> Any:
    scales = [one.adapter_scale for one in sitters if one.slot == slot]
    return scales[0] if len(scales) == 1 else scales


def _check_regions(attachments: Sequence[Attachment]) -> None:
    bare = [one for one in attachments if not (isinstance(one, Sitting) and one.region is not None)]
    if len(attachments) > 1 and bare:
        raise CapabilityError(
            f"{len(attachments)} identities are attached, and '{bare[0].identity.token}' has no region",
            "a region for each, or every face becomes a mixture",
            "attach each as a Sitting with `region` and `points`",
        )


def _folder(options: InstantIDOptions) -> Path:
    return locate(
        options.weights, allow=PATTERNS, revision=options.revision, download=options.download, licence=LICENCE
    )


def _told(options: InstantIDOptions) -> str | None:
    """Give the face encoder of an adapter that records none: what the user says, or what the published one needs."""
    return options.face_space or (PUBLISHED_SPACE if options.weights == PUBLISHED else None)


def _prominence(face: Face, size: tuple[int, int]) -> float:
    """Give how much of its photo a face fills; one seen from the side counts half."""
    return face.area_px / (size[0] * size[1]) * (0.5 if face.turned else 1.0)


def load_net(folder: Path, base: Any, *, what: str = "the IdentityNet") -> Any:
    """Find the ControlNet in a folder and those below it, and put it beside a base.

    Args:
        folder: where it is, in the diffusers layout.
        base: loaded.
        what: what messages call it.

    Raises:
        WeightsError: there is none, there are several, or it does not fit the base's denoiser.
    """
    from diffusers.models.controlnets.controlnet import ControlNetModel

    kinds = {path.parent: read_json(path).get("_class_name") for path in sorted(folder.rglob("config.json"))}
    found = [place for place, kind in kinds.items() if kind in ("ControlNetModel", "IdentityNet")]
    if len(found) != 1:
        raise WeightsError(
            f"{folder} holds {len(found)} ControlNets in the diffusers layout",
            f"one, with its config.json: {what}",
            "name the folder that has it",
        )
    weight_files(found[0])
    maker: Any = ControlNetModel
    try:
        with quiet():
            net, told = maker.from_pretrained(
                found[0], torch_dtype=base.dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise unreadable(found[0], error) from error
    check_loaded(str(found[0]), net, told)
    unet = base.parts()["unet"]
    for key in ("cross_attention_dim", "block_out_channels", "layers_per_block", "down_block_types"):
        ours, theirs = unet.config[key], net.config[key]
        if (list(ours) if isinstance(ours, (list, tuple)) else ours) != (
            list(theirs) if isinstance(theirs, (list, tuple)) else theirs
        ):
            raise WeightsError(
                f"{found[0]} has {key} = {theirs}, and base '{base.name}' has {ours}",
                f"{what} that was made for this base",
                "choose the base that its card names",
            )
    return net.to(base.device).eval().requires_grad_(False)


PLUGIN: type[Method] = InstantID
