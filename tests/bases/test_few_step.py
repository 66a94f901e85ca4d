"""A few-step LoRA in a base: it draws as the stock loader lets it, beside what is being learned, and leaves no trace."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler, StableDiffusionXLPipeline
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from ipseity.bases.parts.few_step import FILE, Quick, few_step_hash, find_few_step, in_few_steps, read_few_step
from ipseity.bases.sdxl import SDXL
from ipseity.core.errors import WeightsError
from ipseity.core.types import Subject
from ipseity.methods.lora import LoRA, LoRAOptions

TARGETS = ["to_q", "to_v", "ff.net.2", "conv1", "conv_shortcut"]
PROMPT = "a photo of sks mug"


@pytest.fixture(scope="module")
def base() -> SDXL:
    return SDXL.tiny()


@pytest.fixture(scope="module")
def checkpoint(base: SDXL, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random LoRA in it, of the kind that the stock loader reads."""
    folder = tmp_path_factory.mktemp("checkpoint")
    unet: Any = copy.deepcopy(base.parts()["unet"])
    torch.manual_seed(1)
    unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=TARGETS, init_lora_weights=False))
    StableDiffusionXLPipeline.save_lora_weights(
        folder / "few_step", unet_lora_layers={k: v.contiguous() for k, v in get_peft_model_state_dict(unet).items()}
    )
    return folder


@pytest.fixture(scope="module")
def few(checkpoint: Path) -> Path:
    found = find_few_step(checkpoint)
    assert found is not None
    return found


@pytest.fixture
def learner(base: SDXL) -> Iterator[Any]:
    """A LoRA in the midst of being learned."""
    subject = Subject("mug", (), "mug", "sks")
    made = LoRA.begin(base, subject, {}, LoRAOptions(rank=2))
    with torch.no_grad():
        for number, parameter in enumerate(made.trainable().values()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)) * 0.2)
    yield made
    made.close()


def drawn(pipeline: Any, steps: int = 2) -> np.ndarray:
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        return pipeline(
            PROMPT, num_inference_steps=steps, guidance_scale=1.0, generator=generator, output_type="np"
        ).images


def stock(base: SDXL) -> Any:
    """The stock pipeline over copies, for the stock loader to work on."""
    parts = {name: copy.deepcopy(part) for name, part in base.parts().items()}
    own = base.pipeline("text")
    return StableDiffusionXLPipeline(
        **parts, tokenizer=own.tokenizer, tokenizer_2=own.tokenizer_2, scheduler=own.scheduler, add_watermarker=False
    )


def quickened(base: SDXL, folder: Path) -> Any:
    own = base.pipeline("text")
    return in_few_steps(base.parts(), [own], read_few_step(base.parts(), own, folder))


def traces(base: SDXL) -> list[Any]:
    """Everything that a visit could change: which objects, what is trained, what is in force, what is said of it."""
    unet = base.parts()["unet"]
    return [
        [(name, id(module), module.training) for name, module in unet.named_modules()],
        [(name, id(value), value.requires_grad) for name, value in unet.named_parameters()],
        [list(one.active_adapters) for one in unet.modules() if isinstance(one, BaseTunerLayer)],
        sorted(vars(unet).get("peft_config", {})),
        vars(unet).get("_hf_peft_config_loaded"),
        [len(module._forward_hooks) for module in unet.modules()],
        id(base.pipeline("text").scheduler),
        base.pipeline("text").config["scheduler"],
    ]


def values(base: SDXL) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in base.parts()["unet"].state_dict().items()}


def assert_untouched(base: SDXL, before: list[Any], kept: dict[str, torch.Tensor]) -> None:
    assert traces(base) == before
    after = values(base)
    assert after.keys() == kept.keys()
    assert all(torch.equal(after[name], value) for name, value in kept.items())


def test_it_draws_what_the_stock_loader_draws(base: SDXL, few: Path) -> None:
    before, kept, bare = traces(base), values(base), drawn(base.pipeline("text"))
    with quickened(base, few):
        assert isinstance(base.pipeline("text").scheduler, LCMScheduler)
        quick = drawn(base.pipeline("text"))
    assert_untouched(base, before, kept)
    theirs = stock(base)
    theirs.load_lora_weights(few)
    theirs.scheduler = LCMScheduler.from_config(theirs.scheduler.config)
    np.testing.assert_array_equal(quick, drawn(theirs))
    assert np.abs(quick - bare).mean() > 0.01
    np.testing.assert_array_equal(drawn(base.pipeline("text")), bare)


@pytest.mark.filterwarnings("ignore:Already found a:UserWarning")  # the stock side holds two on purpose
def test_it_works_beside_a_lora_that_is_being_learned(base: SDXL, few: Path, learner: Any, tmp_path: Path) -> None:
    before, kept, alone = traces(base), values(base), drawn(base.pipeline("text"))
    with quickened(base, few):
        both = drawn(base.pipeline("text"))
    assert_untouched(base, before, kept)
    identity = learner.identity()
    learner.close()
    with quickened(base, few):
        without = drawn(base.pipeline("text"))
    theirs = stock(base)
    LoRA.export(identity, base, "diffusers", tmp_path)
    theirs.load_lora_weights(tmp_path, adapter_name="learned")
    theirs.load_lora_weights(few, adapter_name="few_step")
    theirs.set_adapters(["learned", "few_step"])
    theirs.scheduler = LCMScheduler.from_config(theirs.scheduler.config)
    np.testing.assert_allclose(both, drawn(theirs), rtol=0, atol=1e-4)
    assert np.abs(both - alone).mean() > 0.01 and np.abs(both - without).mean() > 0.01


def test_a_quick_pipeline_holds_the_lora_for_a_call_only(base: SDXL, few: Path) -> None:
    own = base.pipeline("text")
    before, kept = traces(base), values(base)
    with quickened(base, few):
        wanted = drawn(own)
    read = read_few_step(base.parts(), own, few)
    assert_untouched(base, before, kept)
    quick = Quick(own, lambda: in_few_steps(base.parts(), [own], read))
    np.testing.assert_array_equal(drawn(quick), wanted)
    assert quick.unet is own.unet
    assert_untouched(base, before, kept)


def test_a_failure_inside_leaves_no_trace(base: SDXL, few: Path, learner: Any) -> None:
    before, kept = traces(base), values(base)
    with pytest.raises(KeyError), quickened(base, few):
        raise KeyError("something else")
    assert_untouched(base, before, kept)


def test_a_lora_that_does_not_fit_is_refused_and_leaves_no_trace(base: SDXL, few: Path, tmp_path: Path) -> None:
    before, kept = traces(base), values(base)
    wrong = {name: torch.cat([value, value]) for name, value in load_file(few / FILE).items()}
    save_file(wrong, tmp_path / FILE)
    with pytest.raises(WeightsError, match="cannot be loaded"), quickened(base, tmp_path):
        pass
    assert_untouched(base, before, kept)


def test_a_scheduler_of_its_own_is_used_and_an_unknown_one_refused(base: SDXL, few: Path, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes((few / FILE).read_bytes())
    first = few_step_hash(tmp_path)
    DDIMScheduler.from_config(base.pipeline("text").scheduler.config).save_pretrained(tmp_path)
    assert few_step_hash(tmp_path) != first, "pictures drawn by another scheduler are other pictures"
    with quickened(base, tmp_path):
        made = base.pipeline("text").scheduler
    assert isinstance(made, DDIMScheduler)
    assert made.config["rescale_betas_zero_snr"] and made.config["prediction_type"] == "v_prediction"
    (tmp_path / "scheduler_config.json").write_text('{"_class_name": "Sundial"}')
    before, kept = traces(base), values(base)
    with pytest.raises(WeightsError, match="Sundial"), quickened(base, tmp_path):
        pass
    assert_untouched(base, before, kept)


def test_a_checkpoint_without_one_says_so(tmp_path: Path) -> None:
    assert find_few_step(tmp_path) is None
