"""Intel HEX files, good and bad: only what is whole and unambiguous becomes an image."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tools.intel_hex import HexError, Image, parse
from tests.emulated.images import SHIPPED_IMAGES

END = ":00000001FF"


def record(address: int, kind: int, data: bytes) -> str:
    row = bytes([len(data)]) + address.to_bytes(2, "big") + bytes([kind]) + data
    return f":{(row + bytes([-sum(row) % 0x100])).hex().upper()}"


def file(*records: str) -> str:
    return "\n".join([*records, END]) + "\n"


def test_data_is_where_its_record_says() -> None:
    image = parse(file(record(0x10, 0, b"\x01\x02"), record(0, 0, b"\xaa")))
    assert image == Image(((0, b"\xaa"), (0x10, b"\x01\x02")))
    assert (image.start, image.end, image.size) == (0, 0x12, 3)


def test_a_gap_is_blank_flash_and_the_last_page_is_filled() -> None:
    image = parse(file(record(0, 0, b"\x00"), record(6, 0, b"\x06")))
    assert image.flat(page_bytes=4) == b"\x00\xff\xff\xff" + b"\xff\xff\x06\xff"


@pytest.mark.parametrize(("kind", "base"), [(2, 0x10000), (4, 0x1000_0000)])
def test_addresses_beyond_64_k_are_told_by_a_record_of_their_own(kind: int, base: int) -> None:
    image = parse(file(record(0, 0, b"\x01"), record(0, kind, b"\x10\x00"), record(0, 0, b"\x02")))
    assert image.pieces == ((0, b"\x01"), (base, b"\x02"))


def test_start_addresses_other_line_ends_and_small_letters_change_nothing() -> None:
    text = file(record(0, 0, b"\xab\xcd"), record(0, 3, bytes(4)), record(0, 5, bytes(4)))
    assert parse(text.lower().replace("\n", "\r\n\r\n")) == Image(((0, b"\xab\xcd"),))


@pytest.mark.parametrize("path", sorted(SHIPPED_IMAGES.glob("*.hex")), ids=lambda path: path.stem)
def test_the_shipped_images_are_read_whole(path: Path) -> None:
    image = parse(path.read_text(encoding="ascii"))
    assert image.start == 0
    assert image.size == image.end


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "the file is empty; in the Arduino IDE, Sketch, Export compiled binary"),
        (" \n\n", "the file is empty"),
        ("\x7fELF\x01", "line 1 does not begin with a colon.*no Intel HEX file; in the Arduino IDE"),
        (record(0, 0, b"\x01"), "the file is cut off: its last record, :00000001FF, is missing"),
        (END, "holds no byte of a program"),
        (file(record(0, 0, b"\x01"), ":zz"), "line 2: ':zz' is no row of bytes"),
        (file(":01000000"), "line 1 has 4 bytes and says otherwise"),
        (file(record(0, 0, b"\x01\x02")[:-2]), "line 1 has 6 bytes and says otherwise"),
        (file(record(0, 0, b"\x01")[:-2] + "00"), "line 1: its checksum is wrong"),
        (file(record(0, 9, b"")), "line 1: there is no record type 9; is this a file for another chip"),
        (file(record(0, 4, b"\x01")), "line 1: a record of type 4 has 2 bytes of data, not 1"),
        (file(record(0, 0, b"\x01"), record(0, 0, b"\x02")), "line 2 gives address 0x0000 another value.*two files"),
        (file(record(0, 0, b"\x01")) + record(1, 0, b"\x02"), "line 3 comes after the record that ends the file"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, fault: str) -> None:
    with pytest.raises(HexError, match=f"(?s){fault}"):
        parse(text)


@given(st.dictionaries(st.integers(0, 0xFFFF), st.binary(min_size=1, max_size=1), min_size=1))
def test_what_was_written_is_read(memory: dict[int, bytes]) -> None:
    image = parse(file(*(record(address, 0, byte) for address, byte in memory.items())))
    assert {
        address + index: piece[index : index + 1] for address, piece in image.pieces for index in range(len(piece))
    } == memory
    assert all(one[0] + len(one[1]) < other[0] for one, other in zip(image.pieces, image.pieces[1:], strict=False))


@given(st.data())
def test_no_changed_digit_goes_unseen(data: st.DataObject) -> None:
    text = record(0x1234, 0, b"\x01\x02\x03")
    at = data.draw(st.integers(1, len(text) - 1))
    digit = data.draw(st.sampled_from("0123456789ABCDEF"))
    if digit != text[at]:
        with pytest.raises(HexError):
            parse(file(text[:at] + digit + text[at + 1 :]))


@given(st.text())
def test_any_text_is_an_image_or_a_fault(text: str) -> None:
    with contextlib.suppress(HexError):
        parse(text)
