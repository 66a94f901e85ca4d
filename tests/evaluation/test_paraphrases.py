"""The scored scenes in other words, and what the difference is worth."""

import pytest
import torch
from transformers import CLIPTokenizer

from ipseity.data.grammar import says
from ipseity.data.phrases import SHIPPED, phrases_for
from ipseity.evaluation.paraphrases import compare, tell
from ipseity.evaluation.plan import PICK_SCENES, SCORE_SCENES, EvaluateOptions, plan, plan_paraphrases
from ipseity.evaluation.rewording import OTHER_WORDS, reword
from ipseity.evaluation.toybench import toys_folder


def test_every_scored_scene_has_other_words_of_its_own():
    assert tuple(OTHER_WORDS) == SCORE_SCENES
    tails = [tail for told in OTHER_WORDS.values() for tail in told]
    assert all(2 <= len(told) <= 3 for told in OTHER_WORDS.values()) and len(set(tails)) == len(tails)
    for scene, told in OTHER_WORDS.items():
        for tail in told:
            assert not [one for one in (*SCORE_SCENES, *PICK_SCENES) if says(tail, one) and one != scene]
            assert tail != scene


@pytest.mark.parametrize("bank", [name for name in SHIPPED if name != "auto"])
def test_what_scores_is_in_no_phrase_bank(bank: str):
    """As with the scenes themselves: no phrase holds a reworded scene, and none is held by one."""
    places = phrases_for("mug", living=False, bank=bank).background
    tails = [tail for told in OTHER_WORDS.values() for tail in told]
    assert not [(tail, place) for tail in tails for place in places if says(tail, place) or says(place, tail)]


def test_the_built_in_base_has_a_token_for_every_word():
    tokenizer = CLIPTokenizer.from_pretrained(toys_folder().parent / "toybox" / "tokenizer", local_files_only=True)
    prompts = [prompt for scene in SCORE_SCENES for prompt in reword("sks backpack", "backpack", scene)]
    words = {word.strip(",") for prompt in prompts for word in prompt.split()}
    split = {word: pieces for word in words if len(pieces := tokenizer.tokenize(word)) != 1}
    assert not split and len(words) > 30
    assert len(tokenizer.tokenize("tarpaulin")) > 1, "a word that it has no token for falls apart"


def test_prompts_are_whole_sentences_with_the_article_that_fits():
    assert reword("sks mug", "mug", "in the desert") == (
        "a picture of a sks mug among sand dunes", "my sks mug on desert sand", "a sks mug, out in the desert"
    )  # fmt: skip
    assert reword("sks glasses", "glasses", "in the desert")[0] == "a picture of sks glasses among sand dunes"


def test_each_picture_keeps_its_scene_and_seed():
    settings = {"images_per_scene": 2, "first_seed": 40}
    scenes = ("in the jungle", "on pink fabric")
    plain = plan("sks mug", "mug", scenes, **settings)
    asked = plan_paraphrases("sks mug", "mug", scenes, **settings)
    assert asked.originals == (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3)
    for place, row in enumerate(asked.originals):
        assert asked.plan.seeds[place] == plain.seeds[row] and asked.plan.meanings[place] == plain.meanings[row]
        assert says(asked.plan.prompts[place], "sks mug") and asked.plan.prompts[place] != plain.prompts[row]
    assert len(set(asked.plan.prompts)) == 6 and "sks" not in "".join(asked.plan.meanings)


def test_the_difference_is_that_of_pairs():
    """Scenes differ far more than wordings do; only pairs show the change."""
    asked = plan_paraphrases("sks mug", "mug", SCORE_SCENES, images_per_scene=4, first_seed=0)
    chance = torch.Generator().manual_seed(0)
    plain = torch.arange(24.0) / 10 + 5 * torch.rand(24, generator=chance)
    again = plain[list(asked.originals)]
    shift = -0.1 + 0.02 * torch.randn(len(again), generator=chance)
    scores = {"identity/a": plain, "prompt_fidelity/a": plain, "diversity/a": plain}
    lost, same = compare(scores, {"identity/a": again + shift, "prompt_fidelity/a": again}, asked)
    assert (lost.metric, lost.evaluator, lost.role) == ("identity_in_other_words", "a", "score")
    assert lost.after.count == 72 and lost.after.low is not None and lost.after.high is not None
    assert -0.12 < lost.after.low < -0.1 + 0.01 and -0.11 < lost.after.mean < -0.09 and lost.after.high < -0.08
    assert f"a {float((again + shift).mean()):.3f} instead of {float(plain.mean()):.3f}" in lost.about
    assert (same.after.mean, same.after.low, same.after.high) == (0, 0, 0)
    (sentence,) = tell((lost, same))
    assert sentence.startswith("In other words, identity by a changes by -0.0") and "72 pairs" in sentence


def test_scenes_without_other_words_are_refused_only_where_they_are_asked_for():
    assert not EvaluateOptions(score_scenes=("on Mars",)).paraphrases
    assert EvaluateOptions(paraphrases=True).paraphrases
    with pytest.raises(ValueError, match="not of 'on Mars'"):
        EvaluateOptions(score_scenes=("in the desert", "on Mars"), paraphrases=True)
