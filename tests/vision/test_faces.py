"""Encoders of faces: what they find, in which order, and what they say where there is nothing to find."""

import os

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from ipseity.core.errors import CapabilityError, MissingPackage, SubjectError, WeightsError
from ipseity.core.faces import Face, FaceEncoder, choose_face, find_face_encoder, mean_embedding
from ipseity.core.image import to_pixels
from ipseity.vision import face_dlib, face_insightface, face_opencv
from ipseity.vision.face_dlib import FaceDlib
from ipseity.vision.face_insightface import FaceInsightFace
from ipseity.vision.face_opencv import FaceOpenCV
from ipseity.vision.parts.facing import Facing
from tests.vision.face_packs import write_pack

FIVE = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]])


class Spots(Facing):
    """Finds what is red, and only from a level on; an embedding is the box."""

    name, licence, width, space = "spots", "none", 4, "spots:0"

    def __init__(self, first_level=0):
        self.first_level, self.asked = first_level, []

    def _detect(self, image, level):
        self.asked.append(level)
        red = np.asarray(image)[..., 0] > 128
        if level < self.first_level or not red.any():
            return []
        found = []
        for x in np.flatnonzero(np.diff(np.r_[0, red.any(0).astype(int)]) == 1):
            stop = x + int(np.argmin(np.r_[red.any(0)[x:], False]))
            rows = np.flatnonzero(red[:, x:stop].any(1))
            box = [float(x), float(rows[0]), float(stop), float(rows[-1] + 1)]
            if box[3] - box[1] < 1.2 * (box[2] - box[0]):
                continue  # these "faces" stand upright
            points = FIVE * [box[2] - box[0], box[3] - box[1]] + box[:2]
            found.append((box, points.tolist(), 0.9))
        return found

    def _recognize(self, image, box, points):
        return torch.tensor(box, dtype=torch.float32)


def picture(*boxes, size=(300, 200)):
    image = Image.new("RGB", size)
    for box in boxes:
        ImageDraw.Draw(image).rectangle(box, fill=(255, 0, 0))
    return image


def test_one_face_is_chosen_without_a_word():
    face, notes = choose_face(Spots(), picture((20, 20, 109, 149)), "ada.jpg")
    assert face.box == (20, 20, 110, 150) and not notes
    assert face.points.shape == (5, 2) and face.points[0, 0] < face.points[1, 0], "the picture's left eye comes first"


def test_looser_detection_is_tried_before_a_face_is_missed():
    loose = Spots(first_level=2)
    assert choose_face(loose, picture((20, 20, 109, 149)), "ada.jpg")[0].box == (20, 20, 110, 150)
    assert loose.asked[:3] == [0, 1, 2]


def test_no_face_names_the_photo_and_what_to_do():
    with pytest.raises(SubjectError, match=r"ada\.jpg: encoder 'spots' finds no face.*crop the photo") as told:
        choose_face(Spots(), picture(), "ada.jpg")
    assert told.value.found and told.value.needed and told.value.todo


@pytest.mark.parametrize(("box", "size", "way"), [((20, 20, 149, 109), (300, 200), "a quarter to the left")])
def test_a_photo_on_its_side_is_told_how_to_be_turned(box, size, way):
    with pytest.raises(SubjectError, match=f"turn the photo {way}"):
        choose_face(Spots(), picture(box, size=size), "ada.jpg")


def test_a_tiny_face_is_refused_and_a_small_one_is_told():
    with pytest.raises(SubjectError, match=r"ada\.jpg: the largest face is 10 pixels wide"):
        choose_face(Spots(), picture((20, 20, 29, 39)), "ada.jpg")
    _, notes = choose_face(Spots(), picture((20, 20, 59, 79)), "ada.jpg")
    assert notes == ("ada.jpg: the face is only 40 pixels wide; likeness may suffer.",)


def test_several_faces_are_told_and_two_of_a_size_are_refused():
    far = (200, 20, 224, 59)
    face, notes = choose_face(Spots(), picture((20, 20, 109, 149), far), "ada.jpg")
    assert face.box[0] == 20 and notes == ("ada.jpg shows 2 faces; the largest is taken.",)
    with pytest.raises(SubjectError, match=r"ada\.jpg shows 2 faces.*crop the photo to the person"):
        choose_face(Spots(), picture((20, 20, 109, 149), (150, 20, 239, 149)), "ada.jpg")


def test_a_profile_is_told():
    face = Face((0.0, 0.0, 100.0, 100.0), torch.tensor(FIVE * 100).float(), torch.ones(4), 1.0)
    assert not face.turned
    aside = face.points.clone()
    aside[2, 0] = 80
    assert Face(face.box, aside, face.embedding, 1.0).turned


def test_means_of_embeddings():
    rows = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    faces = [Face((0, 0, 1, 1), torch.zeros(5, 2), row, 1.0) for row in rows]
    torch.testing.assert_close(mean_embedding(faces), torch.tensor([1.5, 0.5]))
    torch.testing.assert_close(mean_embedding(faces, unit=True), torch.tensor([2.0, 2.0]) / 2**0.5)


def test_a_picture_without_a_face_still_has_a_vector():
    both = Spots().embed(torch.cat([to_pixels([picture((20, 20, 109, 149))]), -torch.ones(1, 3, 200, 300)]))
    torch.testing.assert_close(both.norm(dim=1), torch.ones(2))
    assert isinstance(Spots(), FaceEncoder)


def test_an_encoder_of_faces_is_asked_for():
    spots = Spots()
    assert find_face_encoder({"toy": object(), "spots": spots}) is spots
    with pytest.raises(CapabilityError, match=r"loaded: none.*'face'"):
        find_face_encoder({})


# Encoders whose packages may be absent


def test_missing_packages_are_named_with_the_command(monkeypatch):
    for module in (face_dlib, face_opencv, face_insightface):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    for kind in (FaceDlib, FaceOpenCV, FaceInsightFace):
        assert "pip install" in (kind.missing() or "")
        assert kind.licence
        with pytest.raises(MissingPackage, match="pip install"):
            kind.load(kind.Options())
    assert "--no-deps" in (FaceDlib.missing() or ""), "its pins would replace torch"


@pytest.fixture(scope="module")
def astronaut():
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    return Image.fromarray(data.astronaut())


@pytest.fixture(scope="module")
def dlib_encoder():
    if told := FaceDlib.missing():
        pytest.skip(told)
    return FaceDlib.load(FaceDlib.Options())


def test_a_real_face_is_found_and_known_again(dlib_encoder, astronaut):
    face, notes = choose_face(dlib_encoder, astronaut, "astronaut")
    expected = [[205, 102], [247, 104], [225, 129], [202, 139], [245, 142]]
    assert (face.points - torch.tensor(expected)).abs().max() < 3, "eyes, nose, mouth, the picture's left first"
    assert not notes and face.embedding.shape == (128,) and face.score > 0.99
    small = choose_face(dlib_encoder, astronaut.resize((256, 256)), "small")[0]
    assert (small.embedding - face.embedding).norm() < 0.4, "dlib calls two photos the same person below 0.6"
    assert dlib_encoder.space.startswith("dlib:")


def test_a_real_photo_on_its_side(dlib_encoder, astronaut):
    photo = astronaut.crop((150, 40, 300, 190))
    with pytest.raises(SubjectError, match="turn the photo a quarter to the right"):
        choose_face(dlib_encoder, photo.rotate(90, expand=True), "astronaut")


def test_insightface_reads_a_pack(tmp_path):
    pytest.importorskip("insightface", reason="insightface is not installed")
    write_pack(tmp_path / "models" / "toy" / "toy")
    options = FaceInsightFace.Options(pack="toy", root=str(tmp_path))
    encoder = FaceInsightFace.load(options)
    image = Image.new("RGB", (640, 640))
    ImageDraw.Draw(image).rectangle((320, 320, 351, 351), fill=(255, 255, 255))
    (face,) = encoder.faces(image)
    assert face.box == (280, 280, 360, 360), "the box stands about the corner of the cell"
    assert face.points.round().tolist() == [[300, 300], [340, 300], [320, 320], [304, 340], [336, 340]]
    assert face.embedding.shape == (512,) and encoder.width == 512
    assert face.embedding.norm() != 1, "raw, as InstantID takes it"
    assert encoder.space.startswith("insightface:")
    write_pack(tmp_path / "models" / "other", seed=1)
    other = FaceInsightFace.load(FaceInsightFace.Options(pack="other", root=str(tmp_path)))
    assert other.space != encoder.space, "packs are told apart by their recognizer's weights"
    with pytest.raises(WeightsError, match=r"the pack nobody is not on this machine.*non-commercial"):
        FaceInsightFace.load(FaceInsightFace.Options(pack="nobody", root=str(tmp_path)))


def test_opencv_needs_its_two_files(tmp_path):
    pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    with pytest.raises(WeightsError, match=r"`detector` names no file.*model zoo"):
        FaceOpenCV.load(FaceOpenCV.Options())
    (tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match="OpenCV cannot read"):
        FaceOpenCV.load(FaceOpenCV.Options(detector=str(tmp_path / "a.onnx"), recognizer=str(tmp_path / "a.onnx")))


class NoRecognizer:
    """Stands where SFace would: the crop's mean color."""

    def alignCrop(self, array, row):  # noqa: N802 - OpenCV's name
        return array[int(row[0, 1]) : int(row[0, 1] + row[0, 3]), int(row[0, 0]) : int(row[0, 0] + row[0, 2])]

    def feature(self, crop):
        return crop.reshape(-1, 3).mean(0)[None]


@pytest.mark.skipif("IPSEITY_YUNET" not in os.environ, reason="IPSEITY_YUNET names no .onnx file")
def test_yunet_finds_a_real_face(astronaut):
    cv2 = pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    detector = cv2.FaceDetectorYN.create(os.environ["IPSEITY_YUNET"], "", (320, 320))
    encoder = FaceOpenCV(detector, NoRecognizer(), space="opencv:test")
    face, _ = choose_face(encoder, astronaut, "astronaut")
    expected = [[205, 102], [247, 104], [225, 129], [202, 139], [245, 142]]
    assert (face.points - torch.tensor(expected)).abs().max() < 6
    sface = os.environ.get("IPSEITY_SFACE")
    if sface:
        whole = FaceOpenCV.load(FaceOpenCV.Options(detector=os.environ["IPSEITY_YUNET"], recognizer=sface))
        assert whole.faces(astronaut)[0].embedding.shape == (128,)
