"""The custom policy keeps what every policy has to keep."""

from __future__ import annotations

import pytest

from convmem.testing.policy import PolicyConformance
from custom_policy import RoundsPolicy


class TestRoundsPolicy(PolicyConformance):
    @pytest.fixture
    def policy(self):
        return RoundsPolicy()
