"""Scoring a run in other words, on SDXL's architecture at toy widths."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipseity.core.events import Noticed
from ipseity.core.files import read_json
from ipseity.evaluation.plan import SCORE_SEED
from ipseity.flows import evaluate
from ipseity.flows.personalize import whole_flow
from ipseity.recipe import make_recipe


def finish(flow: Iterator[Any]) -> tuple[list[Any], Path]:
    events = []
    while True:
        try:
            events.append(next(flow))
        except StopIteration as end:
            return events, end.value


def test_a_run_is_scored_in_other_words(
    subject_folder: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report compares the same seeds side by side, and drawing was asked for just that."""
    recipe = make_recipe({
        "runs": str(tmp_path / "runs"), "sets": str(tmp_path / "sets"),
        "subject": {"photos": str(subject_folder), "class_noun": "mug"},
        "base": {"use": "sdxl", "weights": str(tiny_folder)},
        "method": {"use": "lora", "rank": 2}, "regularization": {"use": "none"},
        "fit": {"max_train_steps": 1, "save_every": 1}, "draw": {"num_inference_steps": 2},
        "evaluate": {
            "pick_scenes": ["on the beach"], "score_scenes": ["in the jungle"], "score": ["toy_vit"],
            "images_per_scene": 2, "paraphrases": True, "metrics": ["identity", "prompt_fidelity"],
        },
    })  # fmt: skip
    drawn: list[tuple[str, int]] = []
    stock = evaluate.draw

    def listening(pipeline: Any, prompts: Any, seeds: Any, options: Any) -> Any:
        drawn.extend(zip(prompts, seeds, strict=True))
        return stock(pipeline, prompts, seeds, options)

    monkeypatch.setattr(evaluate, "draw", listening)
    events, report = finish(whole_flow(recipe, []))
    rows = {row["metric"]: row for row in read_json(report.parent / "scores.json")["rows"]}
    change = rows["identity_in_other_words"]
    assert change["evaluator"] == "toy_vit" and change["after"]["count"] == 6 and abs(change["after"]["mean"]) < 2
    assert f"instead of {rows['identity']['after']['mean']:.3f}" in change["about"]
    others = [(prompt, seed) for prompt, seed in drawn if "rainforest" in prompt]
    assert others == [("a picture of a sks mug in a green rainforest", SCORE_SEED + row) for row in (0, 1)]
    assert "Identity in other words: change" in report.read_text(encoding="utf-8")
    assert any("In other words" in event.message for event in events if isinstance(event, Noticed))
