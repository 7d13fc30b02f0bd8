"""Media beside a data set's tables: each file once, under the hash of its content, whatever refers to it."""

import io
import os
import stat
import warnings
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pairwright.schemas.files import replacing
from pairwright.schemas.media import BLOCK, HEAD, LARGEST, Form, endings, form_of, media_hash

FOLDER = "media"


class Seen(NamedTuple):
    """What tells a file that was taken from one that has changed since."""

    size: int
    mtime: int
    """In nanoseconds."""


def put_bytes(folder: Path, kind: str, content: bytes) -> str:
    """Store a file; its name. Raises ValueError where it is no file of that kind."""
    _check_size(kind, len(content))
    form = _form(kind, io.BytesIO(content))
    state = media_hash()
    state.update(content)
    name = f"{state.hexdigest()}.{form.ending}"
    if not (folder / name).exists():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(content)
    return name


def open_regular(path: Path) -> BinaryIO:
    """A file opened to be read. Raises ValueError for what is none, without waiting for what never comes."""
    try:
        opened = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except FileNotFoundError:
        raise ValueError("is not there") from None
    except IsADirectoryError:
        raise ValueError("is a folder") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        raise ValueError("is no regular file")
    return opened


def put_file(folder: Path, kind: str, path: Path) -> tuple[str, Seen]:
    """Store a copy of a file, a block at a time; its name. Raises ValueError where it is no file of that kind."""
    with open_regular(path) as file:
        found = os.fstat(file.fileno())
        _check_size(kind, found.st_size)
        form = _form(kind, file)
        file.seek(0)
        wanted = _copy(file, None)
        name = f"{wanted}.{form.ending}"
        if not (folder / name).exists():
            file.seek(0)
            with replacing(folder / name) as temporary:
                with temporary.open("wb") as into:
                    copied = _copy(file, into)
                if copied != wanted:
                    raise ValueError("changed while it was read")
    return name, Seen(found.st_size, found.st_mtime_ns)


def _copy(file: BinaryIO, into: BinaryIO | None) -> str:
    """Hash a file, and write it."""
    state = media_hash()
    while block := file.read(BLOCK):
        state.update(block)
        if into is not None:
            into.write(block)
    return state.hexdigest()


def _check_size(kind: str, size: int) -> None:
    if not size:
        raise ValueError("is empty")
    if size > LARGEST[kind]:
        raise ValueError(f"has {size:,} bytes; {_a(kind)} may have {LARGEST[kind]:,}")


def _form(kind: str, file: BinaryIO) -> Form:
    """What a file is. Raises ValueError where that is not what was said."""
    head = file.read(HEAD)
    form = form_of(head)
    if form is None or (form.kind != kind and (form.kind, kind) != ("video", "audio")):
        what = f"is {_a(form.kind)} ({form.ending})" if form else f"is no {kind}"
        raise ValueError(f"{what}; {_a(kind)} may be {endings(kind)}")
    if kind == "image":
        _check_image(file, form)
    return form


def _check_image(file: BinaryIO, form: Form) -> None:
    """That the header is an image's, of a size that can be shown. Raises ValueError."""
    from PIL import Image

    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            Image.open(file, formats=[{"jpg": "JPEG"}.get(form.ending, form.ending.upper())])
    except Image.DecompressionBombError:
        raise ValueError("has more pixels than can be shown") from None
    except Exception as error:
        raise ValueError(f"is no image: it begins like {form.ending}, but cannot be read") from error


def _a(kind: str) -> str:
    return f"a {kind}" if kind == "video" else f"an {kind}"
