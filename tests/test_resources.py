"""Packaged files are found in the checkout and in the wheel."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gateway import resources

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent


def test_the_checkout_has_the_images_and_the_sketch() -> None:
    assert resources.path("firmware/hex/manifest.json") == ROOT / "firmware/hex/manifest.json"
    assert resources.path("firmware/gateway").is_dir()


def test_a_missing_file_names_itself_and_the_cure() -> None:
    with pytest.raises(FileNotFoundError, match=r"firmware/none is missing from this installation.*install it again"):
        resources.path("firmware/none")


def test_the_package_comes_before_what_lies_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "PACKAGE", tmp_path / "gateway")
    (tmp_path / "gateway/firmware").mkdir(parents=True)
    (tmp_path / "firmware").mkdir()
    assert resources.path("firmware") == tmp_path / "gateway/firmware"


def test_the_bundled_sketch_is_the_one_of_the_manifest() -> None:
    manifest = json.loads((ROOT / "firmware/hex/manifest.json").read_text(encoding="utf-8"))
    name, version = resources.bundled_sketch().split()
    assert {(image["sketch"], image["version"]) for image in manifest["images"]} == {(name, version)}


def test_the_wheel_brings_them_along(tmp_path: Path) -> None:
    """Builds the wheel, unpacks it as an installation does, and asks the gateway in it, far from the checkout."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    program = (
        "from gateway import resources, cli; print(resources.path('firmware/hex/manifest.json')); "
        "print(resources.path('firmware/gateway/gateway.ino')); cli.main(['--version'], standalone_mode=False); "
        "cli.main(['sketch', 'new', 'mine', '--json'])"
    )
    environ = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    version = subprocess.run([sys.executable, "-m", "gateway", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        str(installed / "gateway/firmware/hex/manifest.json"),
        str(installed / "gateway/firmware/gateway/gateway.ino"),
        *version.stdout.splitlines(),
        *json.dumps({"folder": "mine", "file": "mine/mine.ino", "library": "mine/src/bridge"}, indent=2).splitlines(),
    ]
    assert files(installed / "gateway/firmware/hex") == files(ROOT / "firmware/hex")
    assert files(tmp_path / "mine/src") == files(ROOT / "firmware/gateway/src")


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, by path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
