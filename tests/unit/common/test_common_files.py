"""Whole files or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.files import FileError, atomic_folder, atomic_path, atomic_write, sha256_file

pytestmark = pytest.mark.unit


def test_write_replaces_the_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "sub" / "a.txt"
    atomic_write(target, "one")
    atomic_write(target, b"two")
    assert target.read_text() == "two"
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    atomic_write(target, "old")
    with pytest.raises(FileError, match="No space left"), atomic_path(target) as part:
        part.write_text("half")
        raise OSError(28, "No space left on device")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_folder_replaces_the_old_one_only_on_success(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with atomic_folder(target) as part:
        (part / "v").write_text("1")
    with pytest.raises(FileError, match="No space left"), atomic_folder(target) as part:
        (part / "v").write_text("2")
        raise OSError(28, "No space left on device")
    assert (target / "v").read_text() == "1"
    with atomic_folder(target) as part:
        (part / "w").write_text("3")
    assert [p.name for p in target.iterdir()] == ["w"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a").startswith("ba7816bf8f01cfea")
