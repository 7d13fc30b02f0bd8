"""Media of a source are stored once, by content, and nothing is taken from outside of the source's folder."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from helpers import image

from pairwright.assets.intake.media import MediaIntake, Within
from pairwright.schemas import media
from pairwright.schemas.errors import StoreError
from pairwright.schemas.media import data_uri, read_media


@pytest.fixture
def source(tmp_path: Path) -> Within:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.png").write_bytes(image())
    (tmp_path / "outside.png").write_bytes(image("blue"))
    return MediaIntake(tmp_path / "media", tmp_path).within(tmp_path / "source")


def test_the_same_content_is_one_file_however_it_comes(source: Within, tmp_path: Path) -> None:
    content = image()
    text = base64.b64encode(content).decode()
    absolute = str(tmp_path / "source" / "a.png")
    given: list[Any] = ["a.png", absolute, content, f"data:image/png;base64,{text}", {"bytes": content, "path": "x"}]
    given += [{"bytes": None, "path": "a.png"}, {"base64": text}, {"url": f"data:image/png;base64,{text}"}]
    given += [{"type": "base64", "media_type": "image/png", "data": text}]
    names = {tuple(source.keep("image", one).items()) for one in given}
    [((key, name),)] = names
    assert key == "media" and [path.name for path in (tmp_path / "media").iterdir()] == [name]
    assert read_media(tmp_path / "media", name) == content
    assert data_uri(tmp_path / "media", name) == f"data:image/png;base64,{text}"


def test_addresses_stay(source: Within, tmp_path: Path) -> None:
    for given in ("https://x.org/a.png", {"url": "https://x.org/a.png"}):
        assert source.keep("image", given) == {"url": "https://x.org/a.png"}
    assert not (tmp_path / "media").exists()


def test_forms_are_told_by_content_not_by_name(source: Within, tmp_path: Path) -> None:
    for form, ending in (("JPEG", "jpg"), ("GIF", "gif"), ("WEBP", "webp")):
        assert source.keep("image", image(form=form))["media"].endswith(f".{ending}")
    assert source.keep("audio", b"RIFF\x00\x00\x00\x00WAVEfmt ")["media"].endswith(".wav")
    assert source.keep("video", b"\x00\x00\x00\x18ftypisom")["media"].endswith(".mp4")


def test_what_cannot_be_used_says_why(source: Within, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "text.png").write_text("no image")
    (folder / "torn.png").write_bytes(image()[:20])
    (folder / "vector.svg").write_text("<svg onload=alert(1)/>")
    (folder / "empty.png").touch()
    (folder / "huge.png").touch()
    os.truncate(folder / "huge.png", 100 << 20)
    os.mkfifo(folder / "pipe.png")
    cases: list[tuple[Any, str]] = [
        ("../outside.png", "outside the source's folder"),
        ("link.png", "outside the source's folder"),
        ("/etc/passwd", "outside the source's folder"),
        ("gone.png", "is not there"),
        (".", "is a folder"),
        ("pipe.png", "is no regular file"),
        ("text.png", "is no image; an image may be png, jpg"),
        ("torn.png", "begins like png, but cannot be read"),
        ("vector.svg", "is no image"),
        ("empty.png", "is empty"),
        ("huge.png", "has 104,857,600 bytes; an image may have 33,554,432"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40 << 20), "bytes; an image may have"),
        ("a\x00b", "can be no path"),
        ("file:///etc/passwd", "allowed: a path, http"),
        ("data:image/png;base64,!!", "not valid base64"),
        ("data:image/svg+xml,<svg/>", "without base64"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", r"is an audio \(wav\); an image may be"),
        (5, "expected a path"),
        ({}, "holds an object with nothing"),
    ]
    for given, reason in cases:
        with pytest.raises(ValueError, match=reason):
            source.keep("image", given)
    assert not (tmp_path / "media").exists()
    with pytest.raises(ValueError, match="has no folder of its own"):
        source.intake.within(None).keep("image", "a.png")


def test_a_file_that_is_as_it_was_is_not_read_again(
    source: Within, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = source.keep("image", "a.png")
    known = source.intake.frame()
    assert known.select("path", "name").rows() == [("source/a.png", first["media"])]
    again = MediaIntake(tmp_path / "media", tmp_path, known).within(tmp_path / "source")
    monkeypatch.setattr("pairwright.assets.intake.media.put_file", None)
    assert again.keep("image", "a.png") == first
    monkeypatch.undo()
    (tmp_path / "source" / "a.png").write_bytes(image("green", "JPEG"))
    assert again.keep("image", "a.png") != first


def test_a_stored_file_that_is_not_what_its_name_says_is_not_sent(source: Within, tmp_path: Path) -> None:
    name = source.keep("image", "a.png")["media"]
    (tmp_path / "media" / name).write_bytes(b"other")
    with pytest.raises(StoreError, match="is damaged"):
        data_uri(tmp_path / "media", name)
    for name in ("../a.png", "0" * 24 + ".svg"):
        with pytest.raises(StoreError, match="is no name of a stored file"):
            media.media_path(tmp_path, name)
