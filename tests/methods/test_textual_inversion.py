from dataclasses import replace

import pytest
import torch

from ipseity.bases.sd15 import SD15
from ipseity.bases.sdxl import SDXL
from ipseity.core.errors import RecipeError
from ipseity.core.identity import Attachment
from ipseity.core.rng import Rng
from ipseity.core.types import Subject
from ipseity.methods.parts.tokens import meaning
from ipseity.methods.textual_inversion import TextualInversion, TextualInversionOptions
from tests.contracts.test_methods import batch_for, predict
from tests.methods.test_export import moved

SUBJECT = Subject("mug-1", (), "mug", "sks")


@pytest.fixture(scope="module")
def base():
    return SDXL.tiny()


def ids(base, prompt):
    pipeline = base.pipeline("text")
    tokenizer = base.tokenizers()["text_encoder"]
    return tokenizer(pipeline.maybe_convert_prompt(prompt, tokenizer), add_special_tokens=False).input_ids


@pytest.mark.parametrize("token", ["sks", "<sks>", "<my-mug>"])
def test_each_vector_is_heard_wherever_the_token_stands(base, token):
    identity = replace(moved(TextualInversion, base, TextualInversionOptions(num_vectors=3), by=1.0), token=token)
    plain, known = ids(base, "a mug"), len(base.tokenizers()["text_encoder"])
    with TextualInversion.attach(base, [Attachment(identity)]):
        assert ids(base, f"a {token} mug") == [plain[0], known, known + 1, known + 2, *plain[1:]]
        assert ids(base, f"a {token.upper()}")[1] == known
        embedded = base.parts()["text_encoder"].get_input_embeddings()(torch.tensor([[known, known + 1, known + 2]]))[0]
        assert torch.equal(embedded, identity.tensors["clip_l"])
        heard = predict(base, f"a {token} mug")
        with torch.no_grad():
            for vectors in (identity.tensors["clip_l"], identity.tensors["clip_g"]):
                assert not torch.equal(vectors[0], vectors[2])
    swapped = replace(identity, tensors={name: value[[0, 2, 1]] for name, value in identity.tensors.items()})
    with TextualInversion.attach(base, [Attachment(swapped)]):
        assert (predict(base, f"a {token} mug") - heard).abs().max() > 1e-5


def test_the_token_does_not_cut_other_words(base):
    word = ids(base, "asks")
    with TextualInversion.attach(base, [Attachment(moved(TextualInversion, base, TextualInversionOptions()))]):
        assert ids(base, "asks") == word


def test_starts_with_the_meaning_of_the_class_noun_or_of_a_phrase(base):
    for initializer, phrase in ((None, "mug"), ("red car", "red car")):
        learner = TextualInversion.begin(base, SUBJECT, {}, TextualInversionOptions(initializer=initializer))
        tensors = learner.identity().tensors
        learner.close()
        for slot, encoder in (("clip_l", "text_encoder"), ("clip_g", "text_encoder_2")):
            assert torch.equal(tensors[slot], meaning(base, encoder, phrase).repeat(2, 1))
    table = base.parts()["text_encoder"].get_input_embeddings().weight
    rows = [base.tokenizers()["text_encoder"](word, add_special_tokens=False).input_ids for word in ("red", "car")]
    torch.testing.assert_close(meaning(base, "text_encoder", "red car"), table[[row[0] for row in rows]].mean(0))


def test_two_tokens_stand_side_by_side_and_two_of_one_name_are_refused(base):
    first = replace(moved(TextualInversion, base, TextualInversionOptions(num_vectors=2), by=1.0), token="<one>")
    second = replace(moved(TextualInversion, base, TextualInversionOptions(num_vectors=1), by=2.0), token="<two>")
    with TextualInversion.attach(base, [Attachment(first)]):
        alone = predict(base, "a photo of <one>")
    with TextualInversion.attach(base, [Attachment(second), Attachment(first)]):
        torch.testing.assert_close(predict(base, "a photo of <one>"), alone, rtol=0, atol=1e-6)
        assert (predict(base, "a photo of <two>") - alone).abs().max() > 1e-4
        assert not any(value.requires_grad for value in base.parts()["text_encoder"].parameters())
    with pytest.raises(RecipeError, match="'<one>' is a token"), TextualInversion.attach(base, [Attachment(first)] * 2):
        pass
    assert len(ids(base, "<one>")) > 1


def test_vectors_stay_within_their_limit(base):
    options = TextualInversionOptions(norm_limit=1.0)
    learner = TextualInversion.begin(base, SUBJECT, {}, options)
    try:
        with torch.no_grad():
            learner.trainable()["clip_l"].mul_(50)
        once = learner.identity().tensors["clip_l"]
        mean = base.parts()["text_encoder"].get_input_embeddings().table.weight.norm(dim=1).mean()
        torch.testing.assert_close(once.norm(dim=1), mean.expand(2), rtol=1e-4, atol=0)
        learner(batch_for(base, cached=False), Rng(0))
        assert torch.equal(learner.identity().tensors["clip_l"], once)
    finally:
        learner.close()


@pytest.mark.parametrize("token", ["<Mug>", "mug mug"])
def test_tokens_that_prompts_could_not_hold_are_refused(base, token):
    with pytest.raises(RecipeError, match="without capital letters"):
        TextualInversion.begin(base, replace(SUBJECT, token=token), {}, TextualInversionOptions())
    assert type(base.parts()["text_encoder"].get_input_embeddings()).__name__ == "Embedding"


def test_a_base_with_one_encoder_learns_one_set_of_vectors():
    assert set(moved(TextualInversion, SD15.tiny(), TextualInversionOptions()).tensors) == {"clip_l"}
