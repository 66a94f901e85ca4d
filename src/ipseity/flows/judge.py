"""Scores each checkpoint as it is saved and picks the one to keep: where training and evaluation meet."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL.Image import Image

from ipseity.core.errors import MissingPackage
from ipseity.core.events import Event, Noticed, Saved, Scored
from ipseity.core.identity import Identity
from ipseity.core.image import to_images, to_pixels
from ipseity.core.registry import find
from ipseity.core.types import Gallery, Photo, References, Request
from ipseity.data.synthesis import draw_once
from ipseity.evaluation.flags import as_scores, leaking, memorized
from ipseity.evaluation.pick import Choice, pick, settled
from ipseity.evaluation.plan import LEAK_SEED, PICK_SEED, EvaluateOptions, Plan, plan
from ipseity.evaluation.suite import ceiling, means, score
from ipseity.flows.setting import Setting, load_encoders
from ipseity.recipe import Recipe


@dataclass(frozen=True)
class Bench:
    """Fixed prompts and seeds, and the photos that their pictures are held against."""

    subject: Plan
    """Prompts with the token."""
    class_only: Plan
    """The class noun without the token: what the base should draw as before."""
    references: References


def make_bench(setting: Setting, *, scenes: Sequence[str], first_seed: int, photos: Sequence[Photo]) -> Bench:
    """Lay out the prompts; where no photo was held out, the training photos serve as references."""
    subject, options = setting.subject, setting.recipe.evaluate
    held, trained_on = tuple(photos) or setting.split.train.photos, setting.split.train.photos
    references = References(
        tuple(photo.image for photo in held),
        tuple(photo.mask for photo in held),
        tuple(photo.image for photo in trained_on),
        tuple(decode_photo(setting.base, photo.image) for photo in (*trained_on, *held)),
    )
    shots = options.images_per_scene
    return Bench(
        plan(subject.phrase, subject.class_noun, scenes, images_per_scene=shots, first_seed=first_seed),
        plan(subject.class_noun, subject.class_noun, scenes, images_per_scene=1, first_seed=first_seed + LEAK_SEED),
        references,
    )


@torch.no_grad()
def decode_photo(base: Any, photo: Image) -> Image:
    """Encode and decode a photo at the base's size."""
    scale = base.resolution / min(photo.size)
    height, width = (max(8, round(side * scale / 8) * 8) for side in (photo.height, photo.width))
    return to_images(base.decode(base.encode_image(to_pixels([photo], (height, width)))))[0]


@dataclass(frozen=True)
class Before:
    """What the bare base does on a bench, taken before anything is trained."""

    class_images: tuple[Any, ...]
    """The class noun alone, drawn on the bench's seeds."""
    untrained: Mapping[str, float]
    """Picking scores of the bare base for the subject's prompts without the token."""
    real: Mapping[str, float]
    """Picking scores of real photos."""
    reach: Mapping[str, float]
    """The same of real photos as the base's autoencoder leaves them."""


def draw_bare(setting: Setting, plan: Plan, what: str) -> Generator[Event, None, list[Image]]:
    """Draw a plan's pictures with the bare base, or find them where another run left them: they hang on no subject."""
    requests = [Request(words, seed) for words, seed in zip(plan.meanings, plan.seeds, strict=True)]
    recipe = setting.recipe
    return (yield from draw_once(setting.base, requests, recipe.general.sets, recipe.draw, what=what))


def take_before(setting: Setting, bench: Bench) -> Generator[Event, None, Before]:
    """Draw and score the bare base; the base must have nothing attached."""
    options = setting.recipe.evaluate
    encoders, _ = load_encoders([options.pick], setting.engine.device)
    metrics = [name for name in options.metrics if name != "leakage"]
    bare = yield from draw_bare(setting, bench.subject, "pictures of the untrained base")
    class_images = yield from draw_bare(setting, bench.class_only, "class word, untrained")
    untrained = means(score(gallery(bench.subject, bare), bench.references, encoders, metrics))
    real, reach = (means(ceiling(bench.references, encoders, metrics, decoded=decoded)) for decoded in (False, True))
    return Before(tuple(class_images), untrained, real, reach)


def gallery(drawn: Plan, images: Sequence[Any], before: Sequence[Any] = ()) -> Gallery:
    """Bind pictures to the words they are held against."""
    return Gallery(tuple(images), drawn.meanings, drawn.seeds, tuple(before))


def need_picker(recipe: Recipe) -> None:
    """Refuse to begin where the evaluator that picks is not installed: without it a whole run would be in vain.

    Raises:
        MissingPackage: it is not here.
    """
    name = recipe.evaluate.pick
    if reason := find("encoders", name).missing():
        raise MissingPackage(
            f"evaluator '{name}' picks the checkpoint and is not here ({reason})",
            "an evaluator that can be loaded",
            "get it as said, or set evaluate.pick = 'toy_clip', which comes with the package",
        )


class Judge:
    """Scores checkpoints with the evaluator that picks; the evaluators that score are never asked here.

    Args:
        setting: recipe, base, subject.
        learner: what is being trained; it draws with the pipeline that users run.
        run: the folder, for checkpoints that were saved but not scored before an interruption.
        before: what the bare base drew and scored, and what real photos score.
    """

    def __init__(self, setting: Setting, learner: Any, run: Any, *, bench: Bench, before: "Before") -> None:
        self.setting, self.learner, self.run, self.bench = setting, learner, run, bench
        self.before, self.levels = before.class_images, before
        self.options: EvaluateOptions = setting.recipe.evaluate
        self.encoders, self.notes = load_encoders([self.options.pick], setting.engine.device)
        self.scored: list[tuple[int, Mapping[str, float]]] = [
            (record["step"], record["scores"]) for record in run.events() if record["event"] == "Scored"
        ]

    @property
    def keys(self) -> tuple[str, str]:
        """The two axes of the front: identity and prompt fidelity, under the picking evaluator."""
        return f"identity/{self.options.pick}", f"prompt_fidelity/{self.options.pick}"

    def settled(self) -> bool:
        """Whether the front has stopped moving, so that training may stop early."""
        return self.options.patience > 0 and settled(
            self.scored, identity_key=self.keys[0], fidelity_key=self.keys[1], patience=self.options.patience
        )

    def score_each_save(self, events: Iterator[Event]) -> Iterator[Event]:
        """Pass events on and add `Scored` after each `Saved`."""
        yield from (Noticed(note) for note in self.notes)
        done = {step for step, _ in self.scored}
        for checkpoint in self.run.checkpoints():
            if checkpoint.due and checkpoint.step not in done:  # saved, then interrupted before it was scored
                self.learner.restore(Identity.load(checkpoint.folder / "identity.safetensors").tensors)
                yield self._score(checkpoint.step)
        result = yield from self._follow(events)
        return result

    def _follow(self, events: Any) -> Any:
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return end.value
            yield event
            if isinstance(event, Saved):
                yield self._score(event.step)

    def _score(self, step: int) -> Scored:
        bench, draw = self.bench, self.setting.recipe.draw
        drawn = self.learner.preview(bench.subject.prompts, bench.subject.seeds, draw)
        leaked = self.learner.preview(bench.class_only.prompts, bench.class_only.seeds, draw)
        metrics = [name for name in self.options.metrics if name != "leakage"]
        rows = score(gallery(bench.subject, drawn), bench.references, self.encoders, metrics)
        drift = score(gallery(bench.class_only, leaked, self.before), bench.references, self.encoders, ["leakage"])
        flags = as_scores(memorized(rows), leaking(drift, self.levels.untrained, self.levels.reach))
        told = {**means({**rows, **drift}), **flags}
        self.scored.append((step, told))
        return Scored(step, told)

    def facts(self, choice: Choice) -> dict[str, Any]:
        """Give what an identity's header says of how it was chosen."""
        scores = dict(self.scored)[choice.step]
        untrained, real = self.levels.untrained, self.levels.real
        return {
            "scores": scores,
            "reason": choice.reason,
            "front": list(choice.front),
            "untrained": untrained,
            "real": real,
        }

    def pick(self) -> Choice:
        """Choose the checkpoint to keep."""
        return pick(self.scored, identity_key=self.keys[0], fidelity_key=self.keys[1])


def judge_plan(setting: Setting) -> Bench:
    """Lay out what picks: its scenes, seeds and held-out photos are used for nothing else."""
    options = setting.recipe.evaluate
    return make_bench(setting, scenes=options.pick_scenes, first_seed=PICK_SEED, photos=setting.split.pick)
