"""Photos: reading them upright, and finding the face that fills one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facelake.errors import GalleryError
from facelake.faces.engine import FaceEngine
from facelake.faces.session import import_cv2
from facelake.schema import Face

PHOTO_EXTENSIONS = frozenset(".avif .bmp .jp2 .jpe .jpeg .jpg .png .ppm .tif .tiff .webp".split())


def read_photo(path: str | Path) -> npt.NDArray[np.uint8]:
    """A photo as upright RGB, shape ``(height, width, 3)``; EXIF orientation applied.

    Raises
    ------
    GalleryError
        The file cannot be read as a picture.
    """
    cv2 = import_cv2()
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot read every path
    except OSError as error:
        raise GalleryError(f"{path}: the photo cannot be read ({error.strerror})") from error
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error as error:
        raise GalleryError(f"{path}: the photo cannot be decoded ({error.err})") from error
    if image is None:
        raise GalleryError(f"{path}: must be a picture (JPEG, PNG, WebP, TIFF …), but is none")
    photo: npt.NDArray[np.uint8] = np.ascontiguousarray(image[:, :, ::-1])
    return photo


def find_in_photo(engine: FaceEngine, photo: npt.NDArray[np.uint8]) -> list[Face]:
    """The faces of a photo, also where one face fills it.

    SCRFD with batch norm misses faces that fill more than about 40 % of its input
    (deepinsight/insightface #1518); a border around the photo makes them smaller.
    """
    faces = engine.find(photo)
    if faces:
        return faces
    height, width = photo.shape[:2]
    border = max(height, width) // 2
    framed = np.full((height + 2 * border, width + 2 * border, 3), 127, np.uint8)
    framed[border : border + height, border : border + width] = photo
    shift = np.float32(border)
    return [
        replace(face, bbox_xyxy=face.bbox_xyxy - shift, landmarks=face.landmarks - shift)
        for face in engine.find(framed)
    ]
