"""Regularizations with a loss of their own: what they hold, that they cost no picture, and that runs with them resume."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ipseity.bases.sdxl import SDXL
from ipseity.core import registry
from ipseity.core.errors import CapabilityError, RecipeError
from ipseity.core.events import Forecast, Noticed, Stepped
from ipseity.core.identity import Identity
from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Example, Photo, Subject
from ipseity.data.batches import DataOptions, make_batches
from ipseity.data.cache import silently
from ipseity.data.grammar import CLOSE_UP, says, with_crop
from ipseity.data.regularization.l2 import L2, L2Options
from ipseity.data.regularization.none import NoRegularization
from ipseity.data.regularization.output_preservation import LOST_SNR, OutputPreservation, OutputPreservationOptions
from ipseity.data.tokenless import TokenlessBatches, add_tokenless
from ipseity.flows.personalize import find_run
from ipseity.flows.setting import set_out, wordings_of
from ipseity.flows.synthesize import synthesize_flow
from ipseity.flows.train import train_flow
from ipseity.recipe import change, make_recipe, read_recipe
from ipseity.training.forecast import activation_bytes
from ipseity.training.penalized import Frozen, Penalized, penalized
from tests.fixtures.bad_images import photo
from tests.training.toy import HeldLearner, ToyLearner

PENALTIES = {"output_preservation": OutputPreservation, "l2": L2}
SUBJECT = Subject("mug", tuple(Photo(Path(f"{n}.png"), photo(n), str(n)) for n in range(3)), "mug", "sks")


def captioned(subject: Subject = SUBJECT) -> tuple[Example, ...]:
    captions = registry.find("captions", "structured")
    return captions.examples(subject, captions.Options())


def captions_of(**options: Any) -> tuple[tuple[str, str], ...]:
    return OutputPreservation.captions(SUBJECT, captioned(), OutputPreservationOptions(**options))


def batches_for(base: Any, *, cache_text: bool = True, count: int = 8, **options: Any) -> Any:
    told = DataOptions(**{"crops": 2, "resolution": 64, **options})
    usual = make_batches(base, captioned(), (), told, cache_text=cache_text)
    return silently(add_tokenless(base, usual, captions_of(captions=count), cache_text=cache_text))


def begun(method: str, **options: Any) -> tuple[Any, Any]:
    base, kind = SDXL.tiny(), registry.find("methods", method)
    return base, kind.begin(base, SUBJECT, {}, kind.Options(**options))


@torch.no_grad()
def shift(learner: Any, by: float = 0.05) -> None:
    """Move everything that is trained, as training would."""
    for name, value in learner.trainable().items():
        value.add_(Rng(5, (name,)).normal(value.shape), alpha=by)


# ---------------------------------------------------------------- what is held


def test_nothing_is_lost_at_the_start_and_what_is_lost_later_is_pulled_back() -> None:
    base, learner = begun("lora", rank=4)
    held = Penalized(learner, OutputPreservation, OutputPreservationOptions())
    batch = next(batches_for(base, train_batch_size=2, caption_dropout=0.0).at(0))
    first = held(batch, Rng(0))
    assert {name: tuple(values.shape) for name, values in first.items()} == {"subject": (2,), "regularization": (2,)}
    assert torch.equal(first["regularization"], torch.zeros(2)), "low-rank layers begin as no change at all"
    assert torch.equal(first["subject"], learner.loss(batch, Rng(0))["subject"]), "the learner's own loss is untouched"
    before = {name: value.detach().clone() for name, value in learner.trainable().items()}
    shift(learner)
    lost = held(batch, Rng(0))["regularization"]
    assert (lost > 0).all()
    lost.sum().backward()
    ups = {name: value for name, value in learner.trainable().items() if ".lora_B." in name}
    away = sum(((value.detach() - before[name]) * value.grad).sum() for name, value in ups.items())
    assert away > 0, "going further costs more, so a step down the gradient goes back"
    with torch.no_grad():
        for value in ups.values():
            value.sub_(value.grad, alpha=1e-3)
    assert held(batch, Rng(0))["regularization"].sum() < lost.sum()


def test_a_word_of_its_own_changes_nothing_that_is_said_without_it() -> None:
    base, learner = begun("textual_inversion")
    shift(learner)
    held = Penalized(learner, OutputPreservation, OutputPreservationOptions())
    batch = next(batches_for(base, cache_text=False).at(0))
    losses = held(batch, Rng(0))
    assert torch.equal(losses["regularization"], torch.zeros(1))
    torch.stack([values.mean() for values in losses.values()]).sum().backward()
    learner.close()


# ---------------------------------------------------------------- what is asked


def test_captions_are_those_that_the_structured_set_would_be_drawn_from() -> None:
    structured = registry.find("regularizations", "structured")
    asked = structured.plan(SUBJECT, captioned(), structured.Options(images=30, bank="toybox", seed=4), Rng(9))
    captions = captions_of(captions=30, bank="toybox", seed=4)
    assert [wide for wide, _ in captions] == [request.prompt for request in asked]
    assert [close for _, close in captions] == list(with_crop([request.prompt for request in asked]))
    assert all(wide == close for wide, close in captions_of(captions=30, crop_words=False))
    assert not any(says(text, "sks") for both in captions for text in both)


def test_rows_come_beside_the_usual_ones_and_are_a_function_of_progress() -> None:
    base = SDXL.tiny()
    told = DataOptions(crops=3, resolution=64, train_batch_size=2, regularization_per_subject=2, caption_dropout=0.2)
    usual = make_batches(base, captioned(), (), told)
    captions = captions_of(captions=6)
    chosen = silently(add_tokenless(base, usual, captions))
    assert isinstance(chosen, TokenlessBatches) and chosen.images_per_step == 2 + 4
    seen: list[str] = []
    for step in range(12):
        one, same = next(chosen.at(step)), next(silently(add_tokenless(base, usual, captions)).at(step))
        plain, rows = next(usual.at(step)), one.tokenless
        assert plain.tokenless is None and torch.equal(plain.latents, one.latents) and plain.captions == one.captions
        assert rows.captions == same.tokenless.captions and torch.equal(rows.latents, same.tokenless.latents)
        assert rows.latents.shape[0] == len(rows.captions) == 4 and not rows.is_subject.any()
        assert rows.cond.size_hints is rows.size_hints and rows.cond.text.shape[0] == 4
        for latents, caption in zip(rows.latents, rows.captions, strict=True):
            place = next(n for n, one in enumerate(usual.subject.latents.latents) if torch.equal(one, latents))
            assert not caption or says(caption, CLOSE_UP) == usual.subject.latents.tight[place]
        seen += rows.captions
    assert 0.05 < seen.count("") / len(seen) < 0.4, "captions are dropped as often as others"
    assert "6 of 6 captions without the token" in chosen.tell(12)
    apart = [next(chosen.at(0, rank=rank, world=2)).tokenless.captions for rank in (0, 1)]
    assert apart[0] != apart[1], "each process has rows of its own"


def test_nothing_beside_the_subject_means_nothing_to_hold() -> None:
    base, learner = begun("lora", rank=2)
    alone = batches_for(base, regularization_per_subject=0)
    batch = next(alone.at(0))
    assert not isinstance(alone, TokenlessBatches) and batch.tokenless is None
    held = Penalized(learner, OutputPreservation, OutputPreservationOptions())
    assert set(held(batch, Rng(0))) == {"subject"}


class Watching(HeldLearner):
    """Writes down what it is asked to predict."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[torch.Tensor, torch.Tensor]] = []

    def predict(self, latents: torch.Tensor, t: torch.Tensor, batch: Batch) -> torch.Tensor:
        self.asked.append((latents, t))
        return super().predict(latents, t, batch)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_samples_can_be_pure_noise_at_the_highest_levels(share: float) -> None:
    learner = Watching()
    rows = 400
    clean = torch.full((rows, 4, 4, 4), 3.0)
    batch = Batch(clean, ("",) * rows, torch.ones(rows) > 0)
    asked = replace(batch, tokenless=replace(batch, is_subject=torch.zeros(rows) > 0))
    options = OutputPreservationOptions(noise_share=share)
    OutputPreservation.loss(learner, Frozen(learner), batch=asked, rng=Rng(0), options=options)
    (latents, t), (again, same) = learner.asked
    assert torch.equal(latents, again) and torch.equal(t, same), "both predict from the same"
    noise = Rng(0).fork("noise").normal(clean.shape)
    is_noise = (latents == noise).flatten(1).all(1)
    assert is_noise.float().mean() == pytest.approx(share, abs=0.08)
    assert (learner.path.snr(t[is_noise]) < LOST_SNR).all()
    assert torch.equal(latents[~is_noise], learner.path.corrupt(clean, noise, t)[~is_noise])
    if share < 1:
        assert t[~is_noise].min() < 0.1 and t[~is_noise].max() > 0.9


# ---------------------------------------------------------------- whole runs


def recipe_for(use: str, photos: Path, weights: Path, out: Path) -> Any:
    return make_recipe(
        {
            "runs": str(out / "runs"),
            "sets": str(out / "sets"),
            "subject": {"photos": str(photos), "class_noun": "mug"},
            "base": {"use": "sdxl", "weights": str(weights)},
            "method": {"use": "lora", "rank": 2},
            "regularization": {"use": use},
            "data": {"crops": 2},
            "fit": {"max_train_steps": 3, "save_every": 2, "learning_rate": 1e-3},
            "draw": {"num_inference_steps": 1, "guidance_scale": 1.0},
            "evaluate": {
                "pick_scenes": ["on the beach"], "score": [], "images_per_scene": 1,
                "metrics": ["identity", "prompt_fidelity"],
            },
        }
    )  # fmt: skip


def whole(flow: Iterator[Any], stop_at: int | None = None) -> list[Any]:
    events = []
    for event in flow:
        events.append(event)
        if isinstance(event, Stepped) and event.step == stop_at:
            flow.close()
    return events


@pytest.mark.parametrize("use", PENALTIES)
def test_a_run_makes_no_pictures_and_resumes_bit_for_bit(
    use: str, subject_folder: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    told, ends = [], []
    for name, stops in (("one", (None,)), ("two", (1, None))):
        recipe = recipe_for(use, subject_folder, tiny_folder, tmp_path / name)
        for stop_at in stops:
            setting, run = set_out(recipe), find_run(recipe)
            told.append([*whole(synthesize_flow(setting)), *whole(train_flow(setting, run), stop_at)])
        ends.append(Identity.load(run.checkpoints()[-1].identity).tensors)
        assert not list((tmp_path / name).glob("sets/*/manifest.json")), (
            "no set was made; only the untrained base was looked at"
        )
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    steps = [[event.losses for event in events if isinstance(event, Stepped)] for events in told]
    assert steps[0] == [*steps[1], *steps[2]] and len(steps[0]) == 3
    assert steps[0][0]["regularization"] == 0 < steps[0][2]["regularization"]
    words = [event.message for event in told[0] if isinstance(event, Noticed)]
    assert f"Regularization '{use}' needs no pictures." in words
    assert any("captions without the token" in word for word in words) == (use == "output_preservation")
    assert any(isinstance(event, Forecast) for event in told[0])


def test_the_forecast_counts_what_the_second_prediction_keeps() -> None:
    base, learner = begun("lora", rank=2)
    batch = next(batches_for(base, train_batch_size=4).at(0))
    alone = activation_bytes(learner, batch)
    held = activation_bytes(Penalized(learner, OutputPreservation, OutputPreservationOptions()), batch)
    assert 1.2 * alone < held < 2 * alone, "the second prediction keeps its own; what both share is counted once"


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "setting",
    [
        "regularization.use=l2 regularization.strength=0",
        "regularization.use=l2 regularization.images=10",
        "regularization.use=output_preservation regularization.noise_share=1.5",
        "regularization.use=output_preservation regularization.captions=0",
        "regularization.use=output_preservations",
    ],
)
def test_bad_options_are_refused_in_three_parts(setting: str) -> None:
    with pytest.raises(RecipeError, match="regularization") as refused:
        make_recipe(change({"subject": {"photos": "photos", "class_noun": "mug"}}, setting.split()))
    assert refused.value.found and refused.value.needed and refused.value.todo


def test_a_bank_that_is_not_there_is_refused_before_anything_is_loaded(subject_folder: Path) -> None:
    changes = ["regularization.bank=nowhere.json", f"subject.photos={subject_folder}", "subject.class_noun=mug"]
    recipe = read_recipe(Path("output-preservation"), changes)
    with pytest.raises(RecipeError, match="nowhere") as refused:
        wordings_of(recipe.regularization, SUBJECT, captioned())
    assert refused.value.needed and refused.value.todo


def test_a_learner_that_cannot_step_aside_is_refused_and_one_without_need_is_left_alone() -> None:
    plain = ToyLearner()
    assert penalized(plain, NoRegularization, NoRegularization.Options()) is plain
    with pytest.raises(CapabilityError, match="step aside") as refused:
        penalized(plain, L2, L2Options())
    assert "lora" in refused.value.needed and refused.value.todo
    assert isinstance(penalized(HeldLearner(), L2, L2Options()), Penalized)
