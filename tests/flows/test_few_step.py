"""Drawing in few steps through options: previews, sets, and refusal (needs the base's `few_step` and `pipeline_for`)."""

import copy
import functools
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import LCMScheduler, StableDiffusionXLPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from ipseity.bases.sdxl import SDXL, SDXLOptions
from ipseity.core.drawing import DrawOptions, draw_all, pipeline_for
from ipseity.core.errors import CapabilityError
from ipseity.core.types import Request, Subject
from ipseity.data.synthesis import artist, picture_key
from ipseity.methods.lora import LoRA, LoRAOptions

QUICK = DrawOptions(few_step=True, num_inference_steps=25)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> SDXL:
    """A checkpoint that ships a random few-step LoRA."""
    folder, tiny = tmp_path_factory.mktemp("checkpoint"), SDXL.tiny()
    tiny.pipeline("text").save_pretrained(folder)
    unet: Any = copy.deepcopy(tiny.parts()["unet"])
    torch.manual_seed(1)
    unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "ff.net.2"], init_lora_weights=False))
    layers = {name: value.contiguous() for name, value in get_peft_model_state_dict(unet).items()}
    StableDiffusionXLPipeline.save_lora_weights(folder / "few_step", unet_lora_layers=layers)
    return SDXL.load(SDXLOptions(weights=str(folder)))


def test_few_steps_mean_four_without_guidance_and_read_back_as_themselves() -> None:
    assert (QUICK.num_inference_steps, QUICK.guidance_scale) == (4, 1.0)
    assert DrawOptions(**QUICK.model_dump()) == QUICK
    assert DrawOptions().num_inference_steps == 25


def test_the_loop_previews_in_few_steps_and_goes_on_learning_what_it_learned(base: SDXL) -> None:
    learner = LoRA.begin(base, Subject("mug", (), "mug", "sks"), {}, LoRAOptions(rank=2))
    held = {name: (id(value), value.requires_grad) for name, value in learner.trainable().items()}
    used: list[str] = []
    forward = LCMScheduler.step

    @functools.wraps(forward)  # pipelines ask the signature whether it takes a generator
    def listen(self: LCMScheduler, *args: Any, **kwargs: Any) -> Any:
        used.append(type(self).__name__)
        return forward(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LCMScheduler, "step", listen)
        quick = learner.preview(["a photo of sks mug"], [0], QUICK)[0]
    slow = learner.preview(["a photo of sks mug"], [0], DrawOptions(num_inference_steps=4, guidance_scale=1.0))[0]
    assert len(used) == 4
    assert np.abs(np.asarray(quick, float) - np.asarray(slow, float)).mean() > 1
    assert {name: (id(value), value.requires_grad) for name, value in learner.trainable().items()} == held
    learner.close()
    again = draw_all(pipeline_for(base, QUICK), ["a photo of sks mug"], [0], QUICK)[0]
    assert np.array_equal(np.asarray(again), np.asarray(quick)), "an untrained LoRA beside it changes nothing"


def test_a_base_without_a_lora_refuses_in_words() -> None:
    with pytest.raises(CapabilityError, match="few_step/pytorch_lora_weights.safetensors"):
        pipeline_for(SDXL.tiny(), QUICK)


def test_pictures_of_few_steps_are_other_pictures_and_all_others_keep_their_place(base: SDXL) -> None:
    request, usual = Request("a mug", 0), DrawOptions()
    assert picture_key(artist(base), request, QUICK) != picture_key(artist(base), request, usual)
    assert artist(base) != artist(SDXL.tiny())
