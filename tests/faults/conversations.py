"""Which conversations of tests/vectors show a fault case, for both ends that hold them: the firmware's code on the
desktop and the virtual board."""

from collections.abc import Mapping

import pytest

SHOWS: Mapping[str, pytest.MarkDecorator] = {
    "at_most_once": pytest.mark.fault(7),
    "result_survives_a_reset": pytest.mark.fault(12),
    "power_loses_the_record": pytest.mark.fault(13, 15),
    "interrupted": pytest.mark.fault(14),
    "link_failsafe": pytest.mark.fault(22),
    "hold": pytest.mark.fault(22),
    "time_wraps": pytest.mark.fault(23),
}
"""By the conversation's name."""
