"""Files that are named by the digest of their content."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tidegate.apply.files import DigestFiles


def test_a_file_has_its_mode_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        DigestFiles(tmp_path, 0o644).write([("a", b"one")])
    finally:
        os.umask(before)
    os.umask(0)
    try:
        DigestFiles(tmp_path, 0o600, ".pem").write([("b", b"two")])
    finally:
        os.umask(before)
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {"a": 0o644, "b.pem": 0o600}
    assert (tmp_path / "b.pem").read_bytes() == b"two"


def test_what_is_there_is_written_again_by_another_process_and_left_alone_by_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.new").write_text("left over")
    (tmp_path / "a").write_text("cut o")
    files = DigestFiles(tmp_path, 0o600)
    files.write([("a", b"cut off")])
    assert (tmp_path / "a").read_bytes() == b"cut off"
    (tmp_path / "a").write_text("changed")
    files.write([("a", b"cut off")])
    assert (tmp_path / "a").read_text() == "changed"


def test_what_no_configuration_names_goes(tmp_path: Path) -> None:
    folder, conf = tmp_path / "pem", tmp_path / "conf"
    folder.mkdir()
    conf.mkdir()
    for name in ("named.pem", "forgotten.pem", "half.new"):
        (folder / name).touch()
    (conf / "previous.conf").write_text(f"proxy_ssl_certificate {folder}/named.pem;")
    files = DigestFiles(folder, 0o600, ".pem")
    files.drop_unnamed(conf)
    assert [path.name for path in folder.iterdir()] == ["named.pem"]
    files.drop_unnamed(tmp_path / "absent")
    assert list(folder.iterdir()) == []


def test_everything_stays_where_the_configurations_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "pem").mkdir()
    (tmp_path / "pem" / "kept.pem").touch()
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "nginx.conf").mkdir()  # such as root cannot read either
    DigestFiles(tmp_path / "pem", 0o600, ".pem").drop_unnamed(tmp_path / "conf")
    assert (tmp_path / "pem" / "kept.pem").exists()
