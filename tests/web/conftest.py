"""The desk that most web tests sit at."""

import pytest

from tests.web.helpers import Desk


@pytest.fixture
def desk() -> Desk:
    """One board online, one never seen, and an application in front of them."""
    return Desk()
