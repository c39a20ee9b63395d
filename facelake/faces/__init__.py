"""The faces room: frames → boxes, landmarks, aligned chips, embeddings, quality.

`find_pack` names the model files, `FaceEngine` holds their sessions and looks at frames.
"""

from facelake.faces.engine import FaceEngine, Found
from facelake.faces.pack import Pack, find_pack, list_packs
from facelake.faces.photo import find_in_photo, read_photo
from facelake.faces.session import available_providers

__all__ = [
    "FaceEngine",
    "Found",
    "Pack",
    "available_providers",
    "find_in_photo",
    "find_pack",
    "list_packs",
    "read_photo",
]
