"""A portrait of a real photo, looked at by the encoder of the package index; the base and the adapter are random."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from ipseity.core.drawing import DrawOptions
from ipseity.core.identity import Identity, Sitting
from ipseity.flows.second_pass import cut_around, draw_again, is_small
from ipseity.methods.instantid import InstantID
from ipseity.surfaces.cli import app
from ipseity.vision.face_dlib import PLUGIN as FaceDlib
from tests.golden.instantid.toy import HIDDEN, make_toy

data = pytest.importorskip("skimage.data", reason="scikit-image, which has the photo, is not installed")
pytestmark = pytest.mark.skipif(FaceDlib.missing() is not None, reason=f"face_dlib: {FaceDlib.missing()}")


def test_a_photo_becomes_a_portrait_and_a_small_face_is_drawn_again(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    toy = make_toy(tmp_path / "adapter")
    toy.adapter["image_proj"]["proj_in.weight"] = torch.randn(HIDDEN, 128) / 11
    torch.save(toy.adapter, tmp_path / "adapter" / "ip-adapter.bin")
    encoder: Any = FaceDlib.load(FaceDlib.Options())
    photo: Any = Image.fromarray(data.astronaut())
    photo.save(tmp_path / "photo.png")
    words = [
        "portrait", tmp_path / "photo.png", "a portrait of an astronaut", "--method", "instantid", "--weights", tiny_folder,
        "--adapter", tmp_path / "adapter", "--face-encoder", "face_dlib", "--set", f"method.face_space='{encoder.space}'",
        "-n", 1, "--steps", 1, "--second-pass", "off", "--keep", tmp_path / "kept.safetensors", "--out", tmp_path / "out",
    ]  # fmt: skip
    result = CliRunner(env={"COLUMNS": "300", "IPSEITY_PROVENANCE": "unsigned"}).invoke(
        app, [str(word) for word in words]
    )
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out").rglob("*.png"))) == 1 and "personal data" in result.output
    identity = Identity.load(tmp_path / "kept.safetensors")
    picture = Image.new("RGB", (400, 320), (70, 90, 110))
    picture.paste(photo.resize((256, 256), Image.Resampling.LANCZOS), (100, 40))
    (face, *_) = encoder.faces(picture)
    alike = torch.cosine_similarity(face.embedding, identity.tensors["embedding"], dim=0)
    assert is_small(face, (320, 400)) and alike > 0.9, "the very person, half as large"
    told = {"prompt": "a person", "seed": 0, "options": DrawOptions(num_inference_steps=2), "resolution": 64}
    with InstantID.attach(toy.base, [Sitting(identity)]):
        done = draw_again(toy.base.pipeline("inpaint"), picture, cut_around(face, (320, 400)), **told)
    changed = np.abs(np.asarray(done, int) - np.asarray(picture, int)).sum(2) > 0
    left, top, right, bottom = (round(side) for side in face.box)
    assert changed[top:bottom, left:right].mean() > 0.9 and not changed[:, : left - 40].any()
