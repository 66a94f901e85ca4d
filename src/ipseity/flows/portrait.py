"""From photos of a face to portraits, in order; nothing is trained, and nothing of the face is stored unless asked for."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL.Image import Image

from ipseity.core.drawing import DrawOptions, draw, pipeline_for
from ipseity.core.errors import CapabilityError, MissingPackage
from ipseity.core.events import Event, Noticed, Progressed, Wrote
from ipseity.core.faces import FaceEncoder
from ipseity.core.files import write_json
from ipseity.core.identity import Identity, Sitting
from ipseity.core.registry import find, names
from ipseity.flows.additions import few_steps, heard_by, loras_on, read_controls, rescaled
from ipseity.flows.commission import BY_PROMPT, LoraWish, PortraitWish
from ipseity.flows.consent import consent_facts, consent_of, consent_reminder
from ipseity.flows.generate import seal_for, write_picture
from ipseity.flows.licences import before_fetching
from ipseity.flows.people import KEPT, Guest, meet
from ipseity.flows.provenance import Seal
from ipseity.flows.scene import Scene, check_pose, read_props, set_scene
from ipseity.flows.second_pass import Cut, cut_around, draw_again, is_small, whose
from ipseity.flows.setting import load_encoders, start_engine
from ipseity.flows.weighing import weigh
from ipseity.recipe import Recipe

FORMAT = "ipseity.portrait.1"


@dataclass(frozen=True)
class Eyes:
    """The encoders that look: those of the method, and one that finds faces, if any does."""

    loaded: Mapping[str, Any]
    face: FaceEncoder | None
    notes: tuple[str, ...] = ()


@dataclass
class Drawn:
    """One picture on its way: what it shows now, and what made it."""

    path: Path
    image: Image
    identity: Identity
    seal: Seal
    facts: dict[str, Any] = field(default_factory=dict)

    def write(self) -> None:
        """Put the picture into its file, in place of what is there."""
        write_picture(self.path, self.image, self.facts, self.identity, self.seal)


def portrait_flow(
    wish: PortraitWish, recipe: Recipe, told: Sequence[str], *, dry_run: bool = False
) -> Generator[Event, None, Path | None]:
    """Look at the photos, load the base, attach the people, draw, and draw small faces again; gives the pictures' folder.

    Args:
        wish: what the user says.
        recipe: what `commission` made of it.
        told: what was derived.
        dry_run: look, count weights and draw nothing.

    Raises:
        SubjectError: a photo cannot be used.
        MissingPackage: the method's face encoder is not installed.
        WeightsError: weights are not here, or do not fit.
        CapabilityError: the method cannot do what is asked.
    """
    yield from (Noticed(line) for line in told)
    engine = start_engine(recipe.engine, alone=True)
    eyes = open_eyes(wish, recipe, engine.device)
    yield from (Noticed(line) for line in eyes.notes)
    guests = yield from meet(wish.people, eyes.face, options=recipe.subject)
    props = read_props(wish, eyes.face)
    if dry_run:
        yield from weigh(wish, recipe, engine.device)
        return None
    yield from (Noticed(line) for line in before_fetching(recipe))
    base = recipe.base.plugin.load(recipe.base.options, engine.device)
    identities = yield from recognize(base, wish, recipe, guests=guests, eyes=eyes)
    check_pose(wish, identities)
    yield from _keep(wish, identities)
    yield from _remind(identities)
    scene = set_scene(base, wish, recipe.draw, guests=guests, identities=identities, props=props)
    yield from (Noticed(line) for line in scene.notes)
    folder = _fresh(wish.out / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{recipe.method.name}")
    pictures = yield from _draw(base, wish, recipe, scene=scene, eyes=eyes, folder=folder)
    write_json(folder / "portrait.json", _manifest(base, wish, recipe, pictures))
    yield Wrote("portraits", folder)
    return folder


def open_eyes(wish: PortraitWish, recipe: Recipe, device: Any) -> Eyes:
    """Load the encoders that the photos, the poses and the second pass want.

    Raises:
        MissingPackage: one that is needed is not installed.
    """
    options, needs = recipe.method.options, recipe.method.plugin.needs_encoders
    photos = any(path.suffix != KEPT for person in wish.people for path in person.photos)
    others = [getattr(options, f"{ability}_encoder", None) for ability in sorted(needs - {"face"})]
    loaded = _load([name for name in others if name], device) if photos else {}
    own = getattr(options, "face_encoder", None) if photos else None
    cropped = photos and getattr(options, "crop", None) == "face"
    asked = wish.second_pass == "always" or wish.pose not in (None, BY_PROMPT) or any(one.face for one in wish.people)
    found = wish.face_encoder or own or _installed_face_encoder()
    if found is None and (cropped or asked):
        raise MissingPackage(
            "no face encoder is installed", "one that is", "`ipseity list encoders` says what each lacks"
        )
    if found is None:
        told = "No face encoder is installed, so there is no second pass over small faces."
        return Eyes(loaded, None, (told,) if wish.second_pass == "auto" else ())
    if not (wish.face_encoder or own or cropped or asked or wish.start or wish.second_pass == "auto"):
        return Eyes(loaded, None)
    face = _load([found], device)[found]
    return Eyes({**loaded, found: face}, face, (f"Faces are looked at by {face.name}: {face.licence}.",))


def _load(wanted: Sequence[str], device: Any) -> dict[str, Any]:
    loaded, missing = load_encoders(wanted, device)
    if missing:
        gone = next(name for name in wanted if name not in loaded)
        reason = find("encoders", gone).missing() or "install it"
        raise MissingPackage(f"encoder '{gone}' cannot be loaded", "its packages and weights, or another with --face-encoder", reason)  # fmt: skip
    return loaded


def recognize(
    base: Any, wish: PortraitWish, recipe: Recipe, *, guests: Sequence[Guest], eyes: Eyes
) -> Generator[Event, None, tuple[Identity, ...]]:
    """Compute each person's identity from the photos, or take the one that was kept, with this call's options in it.

    Raises:
        CapabilityError: a kept identity belongs to another method or base, or the method has to train.
        RecipeError: the note of consent is empty or too long.
    """
    method, identities, consent = recipe.method, [], consent_facts(wish.consent)
    said = {name: getattr(method.options, name) for name in method.options.model_fields_set}
    for guest in guests:
        if guest.identity is not None:
            kept = _fitting(guest.identity, base, method.name)
            if kept.base_fingerprint != base.fingerprint():
                yield Noticed(f"{guest.person.name}: the identity was made for other weights of this base.")
            identities.append(replace(kept, options={**kept.options, **said}, facts={**kept.facts, **consent}))
            continue
        looking = {
            name: guest.encoder if one is eyes.face and guest.encoder else one for name, one in eyes.loaded.items()
        }
        learner = method.plugin.begin(base, guest.subject, looking, method.options)
        try:
            if learner.trainable():
                raise CapabilityError(
                    f"method '{method.name}' learns in steps",
                    "a method that draws faces without training",
                    "name --method ip_adapter or instantid, or `ipseity personalize` the photos",
                )
            made = learner.identity()
            identities.append(replace(made, facts={**made.facts, **consent}))
        finally:
            learner.close()
    return tuple(identities)


def _draw(
    base: Any, wish: PortraitWish, recipe: Recipe, *, scene: Scene, eyes: Eyes, folder: Path
) -> Generator[Event, None, list[Drawn]]:
    """Draw all pictures, each written as soon as it is there, and then small faces again."""
    options, plugin = recipe.draw, recipe.method.plugin
    loras = [*wish.loras, *([LoraWish(wish.few_step)] if wish.few_step else [])]
    with ExitStack() as beside:
        beside.enter_context(loras_on(base, loras))
        beside.enter_context(few_steps(base) if wish.few_step else nullcontext())
        denoiser = base.parts().get("unet", base.parts().get("transformer"))
        beside.enter_context(rescaled(denoiser, options.guidance_scale, wish.guidance_rescale))
        with plugin.attach(base, scene.sittings):
            pictures = yield from _first_pass(base, wish, recipe, scene=scene, folder=folder)
        yield from _second_pass(base, wish, recipe, scene=scene, eyes=eyes, pictures=pictures)
    return pictures


def _first_pass(
    base: Any, wish: PortraitWish, recipe: Recipe, *, scene: Scene, folder: Path
) -> Generator[Event, None, list[Drawn]]:
    prompt, pipeline = scene.prompt, pipeline_for(base, recipe.draw, scene.kind)
    seeds = [wish.seed + number for number in range(wish.count)]
    options = recipe.draw.model_copy(update={"height": scene.size[0], "width": scene.size[1]})
    told = {**scene.told, **heard_by(pipeline, read_controls(base, wish.controls), recipe.method.name)}
    pictures: list[Drawn] = []
    seal = seal_for(base, scene.sittings)
    yield from (Noticed(note) for note in seal.notes)
    yield Progressed("draw", 0, wish.count)
    for images in draw(pipeline, [prompt] * wish.count, seeds, options, told):
        for image in images:
            number = len(pictures)
            facts = {"prompt": prompt, **_facts(wish, recipe, options), "seed": seeds[number]}
            pictures.append(Drawn(folder / f"{number:02d}.png", image, scene.sittings[0].identity, seal, facts))
            pictures[-1].write()
        yield Progressed("draw", len(pictures), wish.count)
    return pictures


def _second_pass(
    base: Any, wish: PortraitWish, recipe: Recipe, *, scene: Scene, eyes: Eyes, pictures: Sequence[Drawn]
) -> Generator[Event, None, None]:
    """Find each picture's faces and draw the small ones again, person by person."""
    if wish.second_pass == "off" or eyes.face is None:
        return
    plan: dict[int, list[tuple[Drawn, Cut]]] = {}
    for drawn in pictures:
        cuts, note = _small_faces(drawn, wish, scene, eyes.face)
        if note:
            yield Noticed(f"{drawn.path.name}: {note}")
        for person, cut in cuts.items():
            plan.setdefault(person, []).append((drawn, cut))
    total, done = sum(len(work) for work in plan.values()), 0
    for person, work in sorted(plan.items()):
        alone = Sitting(scene.sittings[person].identity, scene.sittings[person].scale)
        with recipe.method.plugin.attach(base, [alone]):
            for drawn, cut in work:
                seed, prompt = drawn.facts["seed"], drawn.facts["prompt"]
                drawn.image = draw_again(
                    pipeline_for(base, recipe.draw, "inpaint"), drawn.image, cut,
                    prompt=prompt, seed=seed, options=recipe.draw, resolution=base.resolution,
                )  # fmt: skip
                drawn.facts["faces_drawn_again"] = drawn.facts.get("faces_drawn_again", 0) + 1
                drawn.write()
                done += 1
                yield Progressed("draw small faces again", done, total)
                wide = f"{cut.face.shorter_px:.0f} pixels wide"
                yield Noticed(f"{drawn.path.name}: a face {wide} was drawn again at {base.resolution} pixels.")


def _small_faces(
    drawn: Drawn, wish: PortraitWish, scene: Scene, encoder: FaceEncoder
) -> tuple[dict[int, Cut], str | None]:
    """Say which faces of a picture are drawn again, and what is to be told of it."""
    found = encoder.faces(drawn.image)
    if not found:
        return {}, f"{encoder.name} finds no face in it, so it is kept as drawn."
    size = (drawn.image.height, drawn.image.width)
    people = [one.identity for one in scene.sittings]
    theirs = whose(found, people, scene.boxes, size=size, space=encoder.space)
    cuts = {
        person: cut_around(face, size)
        for person, face in theirs.items()
        if wish.second_pass == "always" or is_small(face, size)
    }
    others = len(found) - len(theirs)
    note = f"{others} more faces belong to nobody who was asked for and stay as drawn." if others and cuts else None
    return cuts, note


def _remind(identities: Sequence[Identity]) -> Generator[Event, None, None]:
    """Ask once for the consent of those who are drawn, where it is noted nowhere."""
    told = (consent_reminder(one.class_noun, one.method, consent_of(one.facts)) for one in identities)
    if reminder := next((words for words in told if words), None):
        yield Noticed(reminder)


def _keep(wish: PortraitWish, identities: Sequence[Identity]) -> Generator[Event, None, None]:
    """Store identities where the user says, and nowhere else."""
    if wish.keep is None:
        yield Noticed("Nothing of the face is stored but the pictures; --keep FILE stores the identity.")
        return
    for person, identity in zip(wish.people, identities, strict=True):
        path = wish.keep if len(identities) == 1 else wish.keep.with_stem(f"{wish.keep.stem}-{person.name}")
        yield Wrote("identity (personal data: it tells this face from others)", identity.save(path))


def _fitting(identity: Identity, base: Any, method: str) -> Identity:
    if identity.method != method:
        raise CapabilityError(
            f"the identity was made by method '{identity.method}', and '{method}' is asked for",
            "one method",
            f"draw with --method {identity.method}",
        )
    if identity.base != base.name:
        raise CapabilityError(
            f"the identity was made for base '{identity.base}', and the base is '{base.name}'",
            "the same base",
            f"draw with --base {identity.base}",
        )
    return identity


def _installed_face_encoder() -> str | None:
    """Give the first encoder of faces that can be loaded here; those for research alone stand last."""
    kinds = {name: find("encoders", name) for name in names("encoders")}
    able = [name for name, kind in kinds.items() if "face" in kind.offers and kind.missing() is None]
    return min(able, key=lambda name: "non-commercial" in kinds[name].licence, default=None)


def _fresh(folder: Path) -> Path:
    """Give a folder that is not there yet: calls of one second do not share one."""
    others = (folder.with_name(f"{folder.name}-{number}") for number in range(2, 10_000))
    return folder if not folder.exists() else next(other for other in others if not other.exists())


def _facts(wish: PortraitWish, recipe: Recipe, options: DrawOptions) -> dict[str, Any]:
    """Give what a picture says of itself; nothing names a photo or a person."""
    about = options.model_dump(mode="json", exclude={"batch_size"})
    method = recipe.method.options.model_dump(mode="json")
    asked = {
        key: method[key] for key in sorted(recipe.method.options.model_fields_set) if key not in ("weights", "use")
    }
    more = {"style": wish.style, "guidance_rescale": wish.guidance_rescale or None, "people": len(wish.people)}
    beside = {"loras": len(wish.loras), "controls": len(wish.controls), "few_step": wish.few_step is not None}
    return {
        **about,
        "method": {"use": recipe.method.name, **asked},
        **{k: v for k, v in {**more, **beside}.items() if v},
    }


def _manifest(base: Any, wish: PortraitWish, recipe: Recipe, pictures: Sequence[Drawn]) -> dict[str, Any]:
    about = {"base": base.name, "base_fingerprint": base.fingerprint(), "base_licence": base.licence}
    photos = sum(len(person.photos) for person in wish.people)
    return {
        "format": FORMAT,
        **about,
        "method_licence": getattr(recipe.method.plugin, "licence", None),
        "photos_or_files": photos,
        "pictures": [{"file": drawn.path.name, **drawn.seal.told(drawn.facts)} for drawn in pictures],
    }
