"""Images, sounds and films as files named by their content: what they are told by, how large they may be, how they are
sent."""

import base64
import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from pairwright.schemas.errors import StoreError
from pairwright.schemas.ids import ID_BYTES


class Form(NamedTuple):
    """A form of file that is taken."""

    kind: str
    ending: str
    mime: str


_IMAGES = (("png", "image/png"), ("jpg", "image/jpeg"), ("gif", "image/gif"), ("webp", "image/webp"))
_SOUNDS = (("wav", "audio/wav"), ("mp3", "audio/mpeg"), ("flac", "audio/flac"), ("ogg", "audio/ogg"))
_FILMS = (("mp4", "video/mp4"), ("webm", "video/webm"), ("avi", "video/x-msvideo"))
FORMS = {
    ending: Form(kind, ending, mime)
    for kind, forms in (("image", _IMAGES), ("audio", _SOUNDS), ("video", _FILMS))
    for ending, mime in forms
}
"""By their endings."""
LARGEST = {"image": 32 << 20, "audio": 64 << 20, "video": 512 << 20}
"""Bytes of one file: more than servers take."""
HEAD = 32
"""Bytes that tell what a file is."""
NAME = re.compile(rf"[0-9a-f]{{{2 * ID_BYTES}}}\.({'|'.join(FORMS)})")
"""What stored files are called."""
BLOCK = 1 << 20


def form_of(head: bytes) -> Form | None:
    """The form that a file's first bytes tell; None for one that is not taken."""
    ending = None
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        ending = "png"
    elif head.startswith(b"\xff\xd8\xff"):
        ending = "jpg"
    elif head.startswith((b"GIF87a", b"GIF89a")):
        ending = "gif"
    elif head.startswith(b"RIFF"):
        ending = {b"WEBP": "webp", b"WAVE": "wav", b"AVI ": "avi"}.get(head[8:12])
    elif head.startswith(b"ID3") or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
        ending = "mp3"
    elif head.startswith(b"fLaC"):
        ending = "flac"
    elif head.startswith(b"OggS"):
        ending = "ogg"
    elif head[4:8] == b"ftyp":
        ending = "mp4"
    elif head.startswith(b"\x1a\x45\xdf\xa3"):
        ending = "webm"
    return FORMS[ending] if ending else None


def endings(kind: str) -> str:
    """The forms of a kind, for messages."""
    return ", ".join(one.ending for one in FORMS.values() if one.kind == kind)


def media_hash() -> "hashlib.blake2b":
    """The hash that names a file."""
    return hashlib.blake2b(digest_size=ID_BYTES)


def media_path(folder: Path, name: str) -> Path:
    """Where a stored file lies. Raises StoreError for what is no name of one."""
    if not NAME.fullmatch(name):
        raise StoreError(f"{name!r} is no name of a stored file; build again")
    return folder / name


def read_media(folder: Path, name: str) -> bytes:
    """A stored file's bytes. Raises StoreError where it is gone, or is not what its name says."""
    path = media_path(folder, name)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}); remove intake.json and build again") from error
    state = media_hash()
    state.update(content)
    if not name.startswith(state.hexdigest() + "."):
        raise StoreError(f"{path} is damaged; remove it and intake.json, then build again")
    return content


def mime_of(name: str) -> str:
    """The type of a stored file, for servers and pages."""
    return FORMS[name.rpartition(".")[2]].mime


def data_uri(folder: Path, name: str) -> str:
    """A stored file as a text that carries it."""
    return f"data:{mime_of(name)};base64,{base64.b64encode(read_media(folder, name)).decode()}"
