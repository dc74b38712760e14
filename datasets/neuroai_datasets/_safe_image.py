"""Pictures in encoded form, decoded with a limit on their size."""

import io
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import DamagedFileError, UnsafeFileError

MAX_PIXELS = 50_000_000
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")


def decode_image(data: bytes, *, what: str = "image") -> npt.NDArray[Any]:
    """Decode a picture.

    Parameters
    ----------
    data : bytes
        PNG, JPEG, BMP, TIFF or WebP.
    what : str
        Name in messages.

    Returns
    -------
    ndarray of uint8
        (H, W) for grey pictures, else (H, W, 3); transparency is dropped.

    Raises
    ------
    DamagedFileError
        When it cannot be decoded.
    UnsafeFileError
        When it declares more than 50 million pixels.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise UnsafeFileError(
                        f"{what}: declares {width} x {height} pixels, more than {MAX_PIXELS}"
                    )
                grey = picture.mode in ("1", "L")
                return np.asarray(picture.convert("L" if grey else "RGB"))
    except UnsafeFileError:
        raise
    except Image.DecompressionBombError as error:
        raise UnsafeFileError(f"{what}: declares more than {MAX_PIXELS} pixels ({error})") from None
    except (
        Exception
    ) as error:  # Pillow raises OSError, SyntaxError, struct.error, ValueError, ... on damaged pictures
        raise DamagedFileError(f"{what}: cannot be decoded ({type(error).__name__}: {error})") from None
