"""An identity in one word: the class word's embedding fused with those of photos, nothing trained (arXiv:2312.04461)."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ipseity.core.errors import CapabilityError, RecipeError, SubjectError, WeightsError
from ipseity.core.faces import Face, choose_face, find_face_encoder
from ipseity.core.identity import Attachment, Identity
from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import ExportForm, Method
from ipseity.core.types import Subject
from ipseity.core.weights import locate
from ipseity.methods.parts.adapter_file import AdapterFile, Kind, check_encoder, find_adapter, read_adapter
from ipseity.methods.parts.face_crop import framed
from ipseity.methods.parts.low_rank import added_beside, read_low_rank
from ipseity.methods.parts.portrait import drawn_by
from ipseity.methods.parts.settled import SettledLearner, attached, no_export
from ipseity.methods.parts.stacked_id import Fusing, fusing_of, stacked_tokens
from ipseity.methods.parts.worded import Worded, WordedPipeline, Wording, texts_by

LICENCE = (
    "PhotoMaker's version 1 is Apache-2.0 and may be used in business; version 2 is bound to InsightFace's face model, "
    "which is for non-commercial research only"
)
PUBLISHED_SPACE = "insightface:4c06341c33c2"
"""Recognizer of the pack buffalo_l (w600k_r50.onnx): version 2 was trained with its embeddings."""
PATTERNS = ("*.bin", "*.safetensors")
KINDS: tuple[Kind, ...] = ("photomaker-v1", "photomaker-v2")
PIPELINES = ("text", "image", "inpaint")


class PhotoMakerOptions(Options):
    """Which checkpoint, and when it begins to act.

    The default, version 1, is fit for business: it is Apache-2.0 and looks at photos through a CLIP of its own. Version 2
    (TencentARC/PhotoMaker-V2) also needs a face's embedding by InsightFace's pack buffalo_l: for research only.
    """

    use: Literal["photomaker"] = "photomaker"
    """Photos in place of the class word; nothing is trained."""
    weights: str = "TencentARC/PhotoMaker"
    """Folder, file or Hub id with a PhotoMaker checkpoint (.bin or .safetensors) of either version, known by what it holds."""
    revision: str | None = None
    """Branch, tag or commit of a Hub id."""
    download: bool = False
    """Whether a Hub id may be fetched from the network; to say yes is to accept the licence of the weights."""
    face_encoder: str | None = None
    """Name of the encoder that finds faces: for version 2, and for `crop = "face"`."""
    face_space: str | None = None
    """Space of the face embeddings that version 2 was trained on; unset means what its file records, or the published one's."""
    id_space: str | None = None
    """Space of the photos' tokens, by the checkpoint that made them; written when the photos are seen."""
    crop: Literal["whole", "face"] = "whole"
    """What its CLIP is shown: whole photos, or the square around each face."""
    merge_after: float = Field(0.2, ge=0, le=1)
    """Share of the steps, 30 at most, that hear the words alone: more gives more of the prompt's style, less gives more likeness."""
    start_merge_step: int | None = Field(None, ge=-1)
    """Index of the last such step, as the released code counts; unset means `merge_after` decides."""
    lora_scale: float = Field(1.0, ge=0, le=2)
    """Strength of the low-rank layers that the checkpoint brings along."""


class PhotoMaker:
    """Any number of photos, no training step; the prompt names the subject once, by token and class noun."""

    Options: ClassVar[type[AnyOptions]] = PhotoMakerOptions
    licence: ClassVar[str] = LICENCE
    needs: ClassVar[frozenset[str]] = frozenset({"text", "pooled_text", "cross_attention"})
    needs_encoders: ClassVar[frozenset[str]] = frozenset({"face"})
    exports: ClassVar[frozenset[str]] = frozenset()

    @staticmethod
    def begin(base: Any, subject: Subject, encoders: Mapping[str, Any], options: PhotoMakerOptions) -> SettledLearner:
        """Look at the photos once, with the encoder inside the checkpoint; the tokens that it gives are the identity.

        Raises:
            CapabilityError: faces are needed, and no encoder looks at them.
            SubjectError: there is no photo, or one shows no face that can be used.
            WeightsError: the checkpoint is not here, is not whole, does not fit the base, or wants another face encoder.
        """
        file = find_adapter(_place(options), KINDS)
        encoder = read_adapter(file.path)["id_encoder"]
        fusing = _fusing(encoder, file, base)
        pictures = [photo.image for photo in subject.photos]
        if not pictures:
            raise SubjectError("the subject has no photo", "one photo", "add one to subject.photos")
        faces, notes, told = None, list[str](), options
        if file.kind == "photomaker-v2" or options.crop == "face":
            looking = find_face_encoder(encoders)
            if file.kind == "photomaker-v2":
                known = options.face_space or (None if file.encoder else PUBLISHED_SPACE)
                check_encoder(file, looking.space, width=looking.width, told=known)
            chosen = [choose_face(looking, photo.image, photo.path.name) for photo in subject.photos]
            seen: list[Face] = [face for face, _ in chosen]
            notes = [note for _, remarks in chosen for note in remarks]
            faces = torch.stack([face.embedding for face in seen]).float()
            told = told.model_copy(update={"face_encoder": looking.name, "face_space": looking.space})
            if options.crop == "face":
                pictures = [framed(image, face.box) for image, face in zip(pictures, seen, strict=True)]
        tokens = stacked_tokens(encoder, pictures, faces, device=base.device)
        told = told.model_copy(update={"id_space": fusing.space})
        facts = {"notes": notes, "kind": file.kind}
        return SettledLearner(PhotoMaker, base, subject, options=told, tensors={"stacked": tokens}, facts=facts)

    @staticmethod
    def attach(base: Any, attachments: Sequence[Attachment]) -> AbstractContextManager[Any]:
        """Teach a base what identities' tokens stand for, for the length of a block.

        A prompt without the token is drawn as it is, with the checkpoint's low-rank layers on. A scale below 1 lies between
        the word and the identity, and weakens those layers.

        Raises:
            CapabilityError: an identity has a region, which words do not know.
            RecipeError: two identities bear the same token.
            WeightsError: a checkpoint is another than the identity was made with, or does not fit the base.
        """
        return attached(base, attachments, _attach)

    @staticmethod
    def export(identity: Identity, base: Any, form: ExportForm, folder: Path) -> list[Path]:
        """Refuse: tokens of photos are nothing that other programs' formats hold.

        Raises:
            CapabilityError: always.
        """
        raise no_export("photomaker", "a few tokens for one checkpoint")


def _attach(base: Any, strong: Sequence[Attachment], undo: ExitStack) -> None:
    _check_apart(strong)
    told = [PhotoMakerOptions(**one.identity.options) for one in strong]
    places = [_place(options) for options in told]
    found = {place: find_adapter(place, KINDS) for place in dict.fromkeys(places)}
    read = {place: read_adapter(file.path) for place, file in found.items()}
    fusing = {place: _fusing(read[place]["id_encoder"], file, base) for place, file in found.items()}
    identities = [_worded(*each) for each in zip(strong, told, (fusing[place] for place in places), strict=True)]
    for place, file in found.items():
        own = [
            one.scale * options.lora_scale
            for one, options, its in zip(strong, told, places, strict=True)
            if its == place
        ]
        factors = read_low_rank(read[place].get("lora_weights", {}), where=file.path.name)
        undo.enter_context(added_beside(base.parts()["unet"], factors, max(own), where=file.path.name))
    wording = Wording(base, identities)
    undo.enter_context(texts_by(base, wording.encode_text))
    undo.enter_context(drawn_by(base, {kind: WordedPipeline(base.pipeline(kind), wording) for kind in PIPELINES}))


def _worded(one: Attachment, told: PhotoMakerOptions, fusing: Fusing) -> Worded:
    stacked: Tensor = one.identity.tensors["stacked"]
    if told.id_space != fusing.space:
        raise WeightsError(
            f"the identity's tokens are of '{told.id_space}', and the checkpoint at hand fuses those of '{fusing.space}'",
            "the checkpoint that the photos were seen with: two checkpoints have nothing to do with each other",
            "set method.weights to that one, or begin again from the photos",
        )
    return Worded(
        one.identity.token,
        one.identity.class_noun,
        stacked.flatten(0, 1),
        fusing,
        scale=one.scale,
        merge_after=told.merge_after,
        last_plain=told.start_merge_step,
    )


def _check_apart(strong: Sequence[Attachment]) -> None:
    tokens = [one.identity.token.lower() for one in strong]
    if twice := next((token for token in tokens if tokens.count(token) > 1), None):
        raise RecipeError(
            f"two identities bear the token '{twice}'", "a token for each", "begin one again with another subject.token"
        )
    if bounded := next((one for one in strong if getattr(one, "region", None) is not None), None):
        raise CapabilityError(
            f"'{bounded.identity.token}' has a region, and method 'photomaker' is heard through words",
            "a method whose attention can be bounded",
            "leave the region out, or use ip_adapter or instantid",
        )


def _fusing(encoder: Mapping[str, Tensor], file: AdapterFile, base: Any) -> Fusing:
    fusing, width = fusing_of(encoder), base.parts()["unet"].config.cross_attention_dim
    if fusing.width != width:
        raise WeightsError(
            f"{file.path.name} fuses words of width {fusing.width}, and base '{base.name}' hears {width}",
            "a checkpoint for this base",
            "choose the base that its card names",
        )
    return fusing


def _place(told: PhotoMakerOptions) -> Path:
    return locate(told.weights, allow=PATTERNS, revision=told.revision, download=told.download, licence=LICENCE)


PLUGIN: type[Method] = PhotoMaker
