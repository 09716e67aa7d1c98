"""A new sketch folder: what is in it, which names it takes, and that it never writes over anything."""

from pathlib import Path

import pytest

from gateway.tools.sketch import NameRefused, SketchError, new_sketch

LIBRARY = Path(__file__).parents[2] / "firmware/gateway/src/bridge"


def test_it_has_a_table_under_its_own_name_and_the_library(tmp_path: Path) -> None:
    sketch = new_sketch("greenhouse", directory=tmp_path / "sketches")
    assert sketch.folder == tmp_path / "sketches/greenhouse"
    assert sorted(path.name for path in sketch.folder.iterdir()) == ["greenhouse.ino", "src"]
    assert 'BRIDGE_SKETCH("greenhouse", "1.0.0");' in sketch.file.read_text()
    assert "template" not in sketch.file.read_text()
    shipped = {path.name: path.read_bytes() for path in LIBRARY.iterdir()}
    assert {path.name: path.read_bytes() for path in sketch.library.iterdir()} == shipped


@pytest.mark.parametrize("name", ["a", "Greenhouse2", "green_house-2", "a234567890123456"])
def test_these_are_names(name: str, tmp_path: Path) -> None:
    assert new_sketch(name, directory=tmp_path).file.is_file()


@pytest.mark.parametrize(
    "name",
    ["", "2green", "_green", "a2345678901234567", "green house", "../green", "a/b", 'gr"en', "grün", "a.b", "a\n"],
)
def test_these_are_not(name: str, tmp_path: Path) -> None:
    with pytest.raises(NameRefused, match=r"is no name for a sketch: a letter, then up to 15 .* such as greenhouse"):
        new_sketch(name, directory=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    mine = tmp_path / "greenhouse"
    mine.mkdir()
    (mine / "greenhouse.ino").write_text("mine")
    with pytest.raises(SketchError, match=r"greenhouse is there already and is left as it is; take another name"):
        new_sketch("greenhouse", directory=tmp_path)
    assert [path.name for path in mine.iterdir()] == ["greenhouse.ino"]
    assert (mine / "greenhouse.ino").read_text() == "mine"


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SketchError, match=r"can't make .*file/greenhouse: Not a directory; --dir names another place"):
        new_sketch("greenhouse", directory=tmp_path / "file")


def test_what_fails_half_way_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, *_arguments: object, **_keywords: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SketchError, match=r"can't write .*greenhouse: No space left on device"):
        new_sketch("greenhouse", directory=tmp_path)
    assert list(tmp_path.iterdir()) == []
