"""What a caller may want to handle differently.

Every class takes one message and nothing else, so that it survives the pickling on its way back
from a Dask worker (dask/dask #3145). The message says what must hold, what came instead, where,
and what to do next.
"""


class FacelakeError(Exception):
    """Anything facelake refuses or cannot do; the command line prints it without a traceback."""


class VideoError(FacelakeError):
    """A video that cannot be opened, indexed or decoded."""


class SourceError(FacelakeError):
    """A place that was named as a source of videos or photos and holds none."""


class EngineError(FacelakeError):
    """An ONNX runtime, provider or session that is not to be had here."""


class PackError(FacelakeError):
    """A model pack that is missing, incomplete or not what its manifest says."""


class CatalogError(FacelakeError):
    """A catalog that cannot be read or written, or holds something else than was asked for."""


class GalleryError(FacelakeError):
    """A gallery, identity or reference photo that cannot be used."""


class CalibrationError(FacelakeError):
    """An archive whose faces do not carry the threshold that was asked for."""


class ExportError(FacelakeError):
    """A clip, picture or table that could not be made."""
