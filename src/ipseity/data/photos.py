"""Reads one photo that nobody vouches for: bounded, upright, in sRGB, with nothing left but pixels."""

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, ImageCms, ImageOps
from PIL import Image as Pillow
from PIL.Image import Image

from ipseity.core.errors import SubjectError
from ipseity.core.types import Photo

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
"""What is read, told by a file's content and not by its name."""
NAMED_AS_PHOTOS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif", ".jxl"}
)
"""Files with these names are meant as photos: one that cannot be read is refused, not passed over."""
MAX_BYTES = 256 * 2**20
"""Largest file that is opened."""
MAX_PIXELS = 89_478_485
"""Largest picture that is decoded: Pillow's own bound against decompression bombs."""
MAX_SIDE = 2048
"""Pictures are shrunk to this on reading, so that a folder of phone photos fits into memory; twice SDXL's side."""
_BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, struct.error, zlib.error, ArithmeticError,
    MemoryError, AttributeError, NotImplementedError, AssertionError, Pillow.DecompressionBombError,
)  # fmt: skip
"""What Pillow's decoders raise on broken files."""


@dataclass(frozen=True)
class Reading:
    """A photo as read, with what was done to it."""

    photo: Photo
    size: tuple[int, int]
    """(height, width) of the file, upright."""
    remarks: tuple[str, ...] = ()
    """What was found and done, one clause each: "carries the place where it was taken (not kept)"."""


def list_photos(folder: Path) -> list[Path]:
    """List the files of a folder that are meant as photos, by name; nothing is opened but what has no known ending.

    Raises:
        SubjectError: the folder is not there, or cannot be listed.
    """
    try:
        if not folder.is_dir():
            kind = "a file" if folder.exists() else "not there"
            raise SubjectError(f"{folder} is {kind}", "a folder of photos", "name the folder that holds them")
        entries = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise SubjectError(
            f"{folder} cannot be listed ({error.strerror or error})",
            "a readable folder",
            "mend its permissions or name another",
        ) from error
    return [path for path in entries if not path.name.startswith(".") and _is_meant(path)]


def read_photo(path: Path, folder: Path | None = None) -> Reading:
    """Read one photo.

    Args:
        path: the file; nothing is believed of its name.
        folder: the folder it must lie in, links followed; its parent when not given.

    Returns:
        The photo: RGB, upright, sRGB, at most `MAX_SIDE` on its longer side, metadata gone; alpha became its mask.

    Raises:
        SubjectError: it is no picture, broken, too large, or a link out of the folder.
    """
    data = _bytes_of(path, folder or path.parent)
    with _guarded(path), Pillow.open(io.BytesIO(data), formats=FORMATS) as file:
        if file.width * file.height > MAX_PIXELS:
            raise Pillow.DecompressionBombError(f"{file.width} x {file.height} pixels")
        remarks = [*_remarks(file)]
        file.load()
        upright, turned = _upright(file)
        image, mask, changes = _to_srgb(upright)
    size = (image.height, image.width)
    remarks = [*remarks, *turned, *changes]
    photo = Photo(
        path, _bare(_shrunk(image)), hashlib.sha256(data).hexdigest(), None if mask is None else _bare(_shrunk(mask))
    )
    return Reading(photo, size, tuple(remarks))


def read_mask(path: Path, photo: Photo) -> Photo:
    """Give the photo with the mask that a picture file holds: white where the subject is.

    Raises:
        SubjectError: the file is no picture, or of another shape than the photo.
    """
    mask = read_photo(path).photo.image.convert("L")
    wide, high = photo.image.size
    if abs(mask.width * high - mask.height * wide) > max(wide, high) * 2:
        raise SubjectError(
            f"the mask {path} is {mask.width} x {mask.height} pixels, its photo {wide} x {high}",
            "a mask of the photo's shape",
            "make it again from the photo, or take it away",
        )
    return replace(photo, mask=mask.resize(photo.image.size, Pillow.Resampling.BILINEAR))


def _is_meant(path: Path) -> bool:
    if path.suffix.lower() in NAMED_AS_PHOTOS:
        return not path.is_dir()
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Pillow.open(path, formats=FORMATS).close()
    except _BROKEN:
        return False
    return True


def _bytes_of(path: Path, folder: Path) -> bytes:
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(folder.resolve()):
            raise SubjectError(
                f"{path} is a link to {real}, outside of the folder",
                "files that lie in the folder itself",
                "copy the photo there, or remove the link",
            )
        if not real.is_file():
            raise SubjectError(f"{path} is not a regular file", "a picture file", "take it out of the folder")
        if real.stat().st_size > MAX_BYTES:
            raise SubjectError(
                f"{path} has {real.stat().st_size / 2**20:.0f} MiB",
                f"at most {MAX_BYTES // 2**20} MiB",
                "save it smaller, for example as a JPEG",
            )
        return real.read_bytes()
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, on older Pythons
        reason = getattr(error, "strerror", None) or error
        raise SubjectError(
            f"{path} cannot be read ({reason})",
            "a readable picture file",
            "mend its permissions, or take it out of the folder",
        ) from error


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into a sentence; Pillow's warning of a bomb counts as one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Pillow.DecompressionBombWarning)
            yield
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
        raise SubjectError(
            f"{path} would unpack to far too many pixels",
            f"at most {MAX_PIXELS / 1e6:.0f} million",
            "save it smaller, or take it out of the folder",
        ) from error
    except Pillow.UnidentifiedImageError as error:
        raise SubjectError(
            f"{path} is not a picture that can be read, whatever its name says",
            f"one of {', '.join(FORMATS)}",
            "save it as JPEG or PNG, or take it out of the folder",
        ) from error
    except _BROKEN as error:
        raise SubjectError(
            f"{path} is broken ({str(error) or type(error).__name__})",
            "a whole picture file",
            "copy it again from where it came, or take it out of the folder",
        ) from error


def _remarks(file: Image) -> Iterator[str]:
    frames = getattr(file, "n_frames", 1)
    if frames > 1:
        what = "holds several pictures" if file.format in ("MPO", "TIFF") else "is animated"
        yield f"{what} ({frames}); the first is used"
    try:
        if file.getexif().get_ifd(ExifTags.IFD.GPSInfo):
            yield "carries the place where it was taken (GPS); that is not kept"
    except _BROKEN:
        yield "carries broken EXIF data, which is ignored"


def _upright(file: Image) -> tuple[Image, list[str]]:
    try:
        turned = file.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
        upright = ImageOps.exif_transpose(file) if turned else file
    except _BROKEN:
        return file, []  # the remark about broken EXIF data was made already
    return upright, ["was stored sideways and is turned upright"] if turned else []


def _to_srgb(image: Image) -> tuple[Image, Image | None, list[str]]:
    """Give RGB in sRGB, the mask that alpha holds (or None), and what was done, one clause each."""
    changes, mode, profile = [], image.mode, image.info.get("icc_profile")
    if mode == "F":
        raise ValueError("its pixels are floating point numbers; save it with 8 bits a channel")
    if mode.startswith("I"):
        changes.append("has 16 bits a channel and is used with 8")
        wide = np.asarray(image).astype(np.int64)
        scale = 257 if mode.startswith("I;16") or wide.max(initial=0) > 255 else 1
        image = Pillow.fromarray((wide // scale).clip(0, 255).astype(np.uint8), "L")
    mask = _mask_of(image)
    if mask is not None:
        changes.append("has transparent parts: they count as background and are laid on white")
        image = _on_white(image)
    elif image.mode in ("RGBA", "LA", "PA", "P", "1", "La", "RGBa"):
        image = image.convert("RGBA").convert("RGB")
    if mode in ("CMYK", "YCCK", "P", "PA", "1", "LAB", "HSV"):
        changes.append(f"is in color mode {mode} and is converted to RGB")
    converted = _by_profile(image, profile) if profile else image
    if converted is None:
        changes.append("has a color profile that cannot be used; its colors may be slightly off")
    return (converted or image).convert("RGB"), mask, changes


def _mask_of(image: Image) -> Image | None:
    if not image.has_transparency_data:
        return None
    alpha = image.convert("RGBA").getchannel("A")
    low, high = alpha.getextrema()
    return None if low == high else alpha  # all solid or all clear says nothing about the subject


def _on_white(image: Image) -> Image:
    clear = image.convert("RGBA")
    white = Pillow.new("RGBA", clear.size, "white")
    white.alpha_composite(clear)
    return white.convert("RGB")


def _by_profile(image: Image, profile: bytes) -> Image | None:
    if image.mode not in ("RGB", "CMYK", "L"):
        image = image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, *_BROKEN):
        return None


def _shrunk(image: Image) -> Image:
    scale = MAX_SIDE / max(image.size)
    if scale >= 1:
        return image
    return image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Pillow.Resampling.LANCZOS
    )


def _bare(image: Image) -> Image:
    """Copy pixels only: whatever Pillow carries along (EXIF, comments, profiles) stays behind."""
    return Pillow.frombytes(image.mode, image.size, image.tobytes())
