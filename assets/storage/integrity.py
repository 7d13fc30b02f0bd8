"""Whether a file is still what was written: a checksum in a table's footer, in a small JSON record, or in a manifest.

The checksum of a table is a CRC-32 over the whole file, its own eight digits taken for zeros; it stands in the footer,
so it travels with the file. Files from before there were checksums are decoded instead, which shows most damage.
"""

import hashlib
import json
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from pairwright.schemas.errors import DamagedError
from pairwright.schemas.ids import fingerprint

SUM = "pairwright.sum"
BLANK = "0" * 8
"""What stands in the footer until the file is sealed."""
PAID = {"verdicts", "samples", "domains", "likelihoods", "replies"}
"""Tables whose rows cost calls or computing: a damaged file of theirs is told, and never taken away."""
_LABEL = SUM.encode() + b"\x18" + bytes([len(BLANK)])
"""How key and value lie in a footer: Thrift writes a text as its type, its length and its bytes."""
_BLOCK = 1 << 20
_checked: dict[Path, tuple[int, int, int]] = {}
"""Files that this process has written or checked, as they were then."""


def seal(path: Path) -> None:
    """Put the checksum into a Parquet file that was written with SUM: BLANK as the last of its metadata."""
    with path.open("r+b") as file:
        place, stated = _stated(file)
        if stated != BLANK.encode():
            raise ValueError(f"{path} was not written to be sealed")
        found = _checksum(file, place)
        file.seek(place)
        file.write(found)


def trust(path: Path) -> None:
    """Take a file that this process has just sealed for whole."""
    _checked[path] = _seen(path)


def verify(path: Path) -> None:
    """Raise DamagedError unless a table's file is what was written. A file is read once a process, unless it changes.

    Raises FileNotFoundError where there is none.
    """
    seen = _seen(path)
    if _checked.get(path) == seen:
        return
    try:
        with path.open("rb") as file:
            place, stated = _stated(file)
            if stated is not None and stated != _checksum(file, place):
                raise damaged(path, "its checksum does not fit")
            if stated is None:
                _decode(path)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(path, error) from error
    _checked[path] = seen


def is_damaged(path: Path) -> bool:
    """Whether a table's file is not what was written, for whoever can do without it."""
    try:
        verify(path)
    except DamagedError:
        return True
    return False


def damaged(path: Path, why: object) -> DamagedError:
    """The error for a damaged file: one line with what to do about it."""
    return DamagedError(path, f"{path} is damaged ({' '.join(str(why).split())[:200]}); {_advice(path)}")


def _advice(path: Path) -> str:
    kind = path.parts[-3] if len(path.parts) > 2 else ""
    put_back = "put a copy of it back, or move it away and build again"
    if path.parent.name == "relabel":
        return f"{put_back}: what the last night found is then not known, and one that broke off stays so"
    if kind == "relabel":
        return f"{put_back}: the ages of its verdicts then start anew"
    if kind not in PAID:
        return "it costs nothing: `pairwright build` makes it again"
    if kind == "replies":
        return f"it holds paid replies and was left as it is: {put_back}, which asks again for what it holds"
    asker = path.parent.name.rpartition("-")[2]
    replies = next(iter(sorted(path.parents[2].glob(f"replies/*-{asker}"))), None)
    again = f"reads most of it from {replies} without a call" if replies else "computes it again"
    return f"it holds paid work and was left as it is: {put_back}, which {again}"


def _seen(path: Path) -> tuple[int, int, int]:
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


def _stated(file: BinaryIO) -> tuple[int, bytes | None]:
    """Where the checksum stands in a Parquet file, and what it says; None in a file without one."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1" or size < 12 + length:
        raise ValueError("the file has no end" if size else "the file is empty")
    start = size - 8 - length
    file.seek(start)
    footer = file.read(length)
    place = footer.rfind(_LABEL)
    if place < 0:
        return 0, None
    place += len(_LABEL)
    return start + place, footer[place : place + len(BLANK)]


def _checksum(file: BinaryIO, place: int) -> bytes:
    """CRC-32 of a file whose checksum stands at `place`, as it is written there."""
    file.seek(0)
    state, left = 0, place
    while left:
        block = file.read(min(_BLOCK, left))
        if not block:
            raise ValueError("the file ends early")
        state, left = zlib.crc32(block, state), left - len(block)
    state = zlib.crc32(BLANK.encode(), state)
    file.seek(place + len(BLANK))
    while block := file.read(_BLOCK):
        state = zlib.crc32(block, state)
    return b"%08x" % state


def _decode(path: Path) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            file.read_row_group(group)


def file_hash(path: Path) -> str:
    """What a manifest calls the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, new_hash).hexdigest()


def new_hash() -> "hashlib.blake2b":
    """What `file_hash` is made with, for whoever hashes a file while writing it."""
    return hashlib.blake2b(digest_size=32)


def record_text(content: dict[str, Any], indent: int | None = None) -> str:
    """A small JSON record with its own checksum, under `sum`."""
    plain = json.loads(json.dumps(content))
    return json.dumps({**plain, "sum": fingerprint(plain)}, indent=indent, ensure_ascii=False) + "\n"


def read_record(path: Path) -> dict[str, Any] | None:
    """What a record says, without its checksum; None where there is none. Raises DamagedError.

    A record from before there were checksums is believed as it is.
    """
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    if not isinstance(found, dict):
        raise damaged(path, "it holds no JSON object")
    stated = found.pop("sum", None)
    if stated is not None and stated != fingerprint(found):
        raise damaged(path, "its checksum does not fit")
    return found


def kept_record(path: Path) -> dict[str, Any] | None:
    """As `read_record`, for what can be made again: None where the record is damaged, too."""
    try:
        return read_record(path)
    except DamagedError:
        return None
