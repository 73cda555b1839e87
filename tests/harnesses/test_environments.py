"""Environments of load programs, with a package of a few bytes in place of one of 640 MB."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses import environments
from pytest_llmdbench.harnesses.environments import MARKER, Environment

THIS_PYTHON = f"=={sys.version_info.major}.{sys.version_info.minor}.*"


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and packages from a folder instead of an index."""
    monkeypatch.setenv("LLMDBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock file for one small package, ``loadprogram``, that has a program ``load``."""
    wheel = tmp_path / "wheels" / "loadprogram-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    info = "loadprogram-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("loadprogram.py", "def main():\n    print('load')\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: loadprogram\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\nload = loadprogram:main\n")
        archive.writestr(f"{info}/RECORD", "")
    file = tmp_path / "load-1.0.txt"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    file.write_text(f"loadprogram==1.0 --hash=sha256:{digest}\n", encoding="utf-8")
    return file


def environment(lock: Path, version: str = "1.0") -> Environment:
    return Environment("load", version, lock, python=THIS_PYTHON, size="1 kB")


def test_it_is_made_on_first_use_and_says_so(lock: Path) -> None:
    lines: list[str] = []
    made = environment(lock)
    assert not made.ready()
    made.prepare(lines.append)
    assert made.ready()
    assert lines[0].startswith("load 1.0: installing its own environment, once (about 1 kB)")
    assert lines[-1].startswith("load 1.0: installed in ")
    ran = subprocess.run([made.program("load")], capture_output=True, text=True, check=True)
    assert ran.stdout == "load\n"


def test_it_is_made_once(lock: Path) -> None:
    environment(lock).prepare(lambda _: None)
    lines: list[str] = []
    environment(lock).prepare(lines.append)
    assert lines == []


def test_two_runs_that_need_it_at_once_make_it_once(lock: Path) -> None:
    waiting = threading.Event()
    lines: list[str] = []

    def say_first(line: str) -> None:
        lines.append(line)
        assert waiting.wait(30)

    def say_second(line: str) -> None:
        lines.append(line)
        waiting.set()

    first = threading.Thread(target=environment(lock).prepare, args=(say_first,))
    first.start()
    while not lines:
        pass
    environment(lock).prepare(say_second)
    first.join()
    assert sum("installing its own environment" in line for line in lines) == 1
    assert sum("somebody else is installing it; waiting" in line for line in lines) >= 1
    assert environment(lock).ready()


def test_a_half_made_one_is_made_anew(lock: Path) -> None:
    made = environment(lock)
    made.prepare(lambda _: None)
    (made.folder / MARKER).unlink()
    rubbish = made.folder / "rubbish"
    rubbish.touch()
    made.prepare(lambda _: None)
    assert made.ready()
    assert not rubbish.exists()


def test_one_whose_python_is_gone_is_made_anew(lock: Path) -> None:
    made = environment(lock)
    made.prepare(lambda _: None)
    made.program("python").unlink()
    made.program("python").symlink_to("/nowhere/python")
    assert not made.ready()
    made.prepare(lambda _: None)
    assert made.ready()


def test_an_interrupted_one_leaves_nothing_broken(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "EVERY_S", 0.001)

    def interrupt(line: str) -> None:
        if "..." in line:
            raise KeyboardInterrupt

    made = environment(lock)
    with pytest.raises(KeyboardInterrupt):
        made.prepare(interrupt)
    assert not made.folder.exists()
    made.prepare(lambda _: None)
    assert made.ready()


def test_a_package_other_than_the_locked_one_is_not_installed(lock: Path) -> None:
    lock.write_text(f"loadprogram==1.0 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    made = environment(lock)
    with pytest.raises(HarnessError, match=r"could not be installed from its lock file load-1\.0\.txt") as caught:
        made.prepare(lambda _: None)
    assert "hash" in str(caught.value).lower()
    assert not made.folder.exists()


def test_a_missing_python_says_how_to_get_one(lock: Path) -> None:
    made = Environment("load", "1.0", lock, python="==3.99.*")
    with pytest.raises(HarnessError, match=r"load 1\.0 needs Python ==3\.99\.\*") as caught:
        made.prepare(lambda _: None)
    assert "uv python install 3.12" in str(caught.value)


def test_versions_and_locks_live_side_by_side(lock: Path) -> None:
    folders = {environment(lock, version).folder for version in ("1.0", "1.1")}
    lock.write_text(lock.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    folders.add(environment(lock).folder)
    assert len(folders) == 3


def test_the_shipped_lock_names_no_index_and_hashes_everything() -> None:
    for file in (Path(environments.__file__).parent / "locks").glob("*.txt"):
        text = file.read_text(encoding="utf-8")
        assert "://" not in text
        packages = [block for block in text.replace("\\\n", " ").splitlines() if "==" in block and block[0] != "#"]
        assert len(packages) > 50
        assert all("--hash=sha256:" in package for package in packages)
