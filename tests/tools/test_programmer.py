"""Writing through a bootloader, each way it can fail: against scripted bootloaders of both versions.

The real ones are in tests/emulated/test_flash.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from gateway.errors import LinkError
from gateway.model import Reason
from gateway.tools.bootloader import Interrupted, NoBootloader, VerifyFailed, WrongChip
from gateway.tools.intel_hex import HexError, Image
from gateway.tools.models import ATMEGABOOT, MEGA, NANO_OLD, OPTIBOOT, STK500BOOT, UNO, Model, candidates
from gateway.tools.programmer import check_fit, find_bootloader, flat_size, verify, write
from tests.tools.scripted import ATMEGA328P, ATMEGA2560, FlashChip, ScriptedPort, Stk1Chip, Stk2Chip


@dataclass(frozen=True, slots=True)
class Kind:
    """A model, and the scripted chip that it has."""

    model: Model
    make: Callable[..., FlashChip]
    signature: bytes
    baud: int
    page_bytes: int

    def chip(self, **faults: int) -> FlashChip:
        return self.make(signature=self.signature, **faults)

    def port(self, chip: FlashChip) -> ScriptedPort:
        return ScriptedPort(chip, baud=self.baud)


KINDS = [Kind(UNO, Stk1Chip, ATMEGA328P, 115_200, 128), Kind(MEGA, Stk2Chip, ATMEGA2560, 115_200, 256)]
IMAGE = Image(((0, bytes(range(256)) * 2), (1_000, b"\x01\x02\x03")))
"""Half a kilobyte, a gap of more than a page, and the beginning of another page."""


def quiet(_bytes: int) -> None:
    """Progress that nobody looks at."""


@pytest.fixture(params=KINDS, ids=lambda kind: kind.model.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


def test_what_is_written_is_there_the_rest_blank_and_the_bootloader_is_let_go(kind: Kind) -> None:
    chip = kind.chip()
    chip.flash[700] = 0  # what was there before
    found = find_bootloader(kind.port(chip), candidates(kind.model))
    size = flat_size(IMAGE, kind.model.chip)
    assert size == 1_024
    for step in (write, verify):
        told: list[int] = []
        step(found, IMAGE, told.append)
        assert sum(told) == size
        assert len(told) == size // kind.page_bytes
    assert chip.flash[:size] == IMAGE.flat(page_bytes=kind.page_bytes)
    assert chip.flash[700] == 0xFF
    assert set(chip.flash[size:]) == {0xFF}
    assert chip.was_left


def test_version_2_numbers_its_messages_and_begins_anew_after_255() -> None:
    chip = Stk2Chip(signature=ATMEGA2560)
    found = find_bootloader(ScriptedPort(chip, baud=115_200), candidates(MEGA))
    write(found, Image(((0, bytes(256 * 200)),)), quiet)
    signed_on, *rest = chip.numbers
    assert signed_on == 1
    assert rest == [number % 0x100 for number in range(1, len(rest) + 1)]
    assert len(rest) > 0x100


def test_calls_that_a_bootloader_misses_are_repeated(kind: Kind) -> None:
    chip = kind.chip(deaf_bytes={UNO: 4, MEGA: 14}[kind.model])  # whole calls: it was not listening yet
    port = kind.port(chip)
    assert find_bootloader(port, candidates(kind.model)).model is kind.model
    assert port.resets == [kind.baud]


def test_a_bootloader_that_a_half_call_threw_out_is_called_after_another_reset() -> None:
    chip = Stk1Chip(deaf_bytes=1)
    port = ScriptedPort(chip, baud=115_200)
    assert find_bootloader(port, candidates(UNO)).kind is OPTIBOOT
    assert port.resets == [115_200, 57_600, 115_200]


@pytest.mark.parametrize(
    ("chip", "baud", "model", "bootloader"),
    [
        (Stk1Chip(), 115_200, UNO, OPTIBOOT),
        (Stk1Chip(), 57_600, NANO_OLD, ATMEGABOOT),
        (Stk2Chip(signature=ATMEGA2560), 115_200, MEGA, STK500BOOT),
    ],
)
def test_a_board_of_which_nothing_is_known_is_told_by_what_answers(
    chip: FlashChip, baud: int, model: Model, bootloader: object
) -> None:
    found = find_bootloader(ScriptedPort(chip, baud=baud), candidates(None))
    assert (found.model, found.kind) == (model, bootloader)


def test_an_uno_with_an_old_bootloader_is_found_too() -> None:
    found = find_bootloader(ScriptedPort(Stk1Chip(), baud=57_600), candidates(UNO))
    assert (found.model, found.kind) == (UNO, ATMEGABOOT)


def test_that_no_bootloader_answers_is_told_with_what_was_tried_and_what_to_do() -> None:
    port = ScriptedPort(Stk1Chip(), baud=9_600)
    with pytest.raises(NoBootloader) as caught:
        find_bootloader(port, candidates(UNO))
    text = str(caught.value)
    assert "tried Optiboot at 115200 baud, ATmegaBOOT at 57600 baud), and nothing was written" in text
    assert "--model right (uno, nano, nano-old, mega, leonardo)" in text
    assert port.resets == [115_200, 57_600] * 2


def test_another_chip_is_named_with_the_model_that_has_it(kind: Kind) -> None:
    other = {UNO: ATMEGA2560, MEGA: ATMEGA328P}[kind.model]
    chip = kind.make(signature=other)
    name = {UNO: "mega", MEGA: "uno"}[kind.model]
    with pytest.raises(WrongChip, match=f"signature {other.hex(' ')} .*say --model {name}.*Nothing was written"):
        find_bootloader(kind.port(chip), candidates(kind.model))
    assert set(chip.flash) == {0xFF}


def test_a_chip_that_nobody_knows_is_told_by_its_signature() -> None:
    with pytest.raises(WrongChip, match=r"1e 94 06 \(none that is known here\); the Arduino Uno has an ATmega328P"):
        find_bootloader(ScriptedPort(Stk1Chip(signature=b"\x1e\x94\x06"), baud=115_200), candidates(UNO))


def test_a_bootloader_that_falls_silent_is_told_with_the_address_and_what_to_do(kind: Kind) -> None:
    found = find_bootloader(kind.port(kind.chip(silent_from=512)), candidates(kind.model))
    with pytest.raises(Interrupted, match=r"did not answer .*, at address 0x0200; the board holds part.*same command"):
        write(found, IMAGE, quiet)


def test_a_bootloader_that_falls_silent_while_it_is_read_back_leaves_it_unverified(kind: Kind) -> None:
    chip = kind.chip()
    found = find_bootloader(kind.port(chip), candidates(kind.model))
    write(found, IMAGE, quiet)
    chip.silent_from = 256
    with pytest.raises(
        Interrupted, match=r"reading back address 0x0100; what was written is not verified: run the same"
    ):
        verify(found, IMAGE, quiet)


def test_a_bit_that_does_not_hold_is_found_with_its_address(kind: Kind) -> None:
    found = find_bootloader(kind.port(kind.chip(worn=0x101)), candidates(kind.model))
    write(found, IMAGE, quiet)
    with pytest.raises(VerifyFailed, match=r"at address 0x0101: 01 was written, 00 is there\. Run the same command"):
        verify(found, IMAGE, quiet)


def test_a_lost_board_is_told_with_what_to_do(kind: Kind) -> None:
    port = kind.port(kind.chip())
    found = find_bootloader(port, candidates(kind.model))
    port.lost_after = 700
    with pytest.raises(LinkError, match=r"it was lost.*the board holds part of the sketch now: run the same") as caught:
        write(found, IMAGE, quiet)
    assert caught.value.reason is Reason.PORT_MISSING


def test_ctrl_c_in_the_middle_says_what_the_board_holds(kind: Kind) -> None:
    port = kind.port(kind.chip())
    found = find_bootloader(port, candidates(kind.model))
    port.interrupt_after = 500
    with pytest.raises(Interrupted, match=r"stopped by Ctrl-C at address 0x0[0-9a-f]{3}; the board holds part"):
        write(found, IMAGE, quiet)


def test_a_bootloader_that_has_gone_before_it_is_let_go_changes_nothing() -> None:
    class Gone(Stk1Chip):
        def _answer(self, request: bytes) -> bytes:
            return b"" if request[0] == 0x51 else super()._answer(request)

    found = find_bootloader(ScriptedPort(Gone(), baud=115_200), candidates(UNO))
    write(found, IMAGE, quiet)
    verify(found, IMAGE, quiet)


@pytest.mark.parametrize(
    ("image", "model", "bootloader", "fault"),
    [
        (Image(((0x7E00, b"x"),)), UNO, OPTIBOOT, "begins at address 0x7e00, where no sketch does: is it a bootloader"),
        (
            Image(((0, bytes(32_257)),)),
            UNO,
            OPTIBOOT,
            "reaches to address 0x7e00.*Uno has 32256 bytes.*with_bootloader",
        ),
        (Image(((0, bytes(30_721)),)), UNO, ATMEGABOOT, "has 30720 bytes"),
        (Image(((0, b"x"), (0x3E000, b"x"))), MEGA, STK500BOOT, "Mega has 253952 bytes"),
    ],
)
def test_a_file_that_is_no_sketch_for_the_board_is_refused(
    image: Image, model: Model, bootloader: object, fault: str
) -> None:
    kind = next(each for each in model.bootloaders if each is bootloader)
    with pytest.raises(HexError, match=f"{fault}.*[Nn]othing was written"):
        check_fit(image, model, kind)


def test_the_largest_sketch_fits() -> None:
    check_fit(Image(((0, bytes(32_256)),)), UNO, OPTIBOOT)
    check_fit(Image(((0, bytes(253_952)),)), MEGA, STK500BOOT)
