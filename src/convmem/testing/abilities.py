"""What a store has to keep that does more than the journal, as tests to inherit: one class per ability.

```python
class TestMine(ViewsConformance, ForgetsConformance):
    def make_store(self) -> Store:
        return MyStore()
```

They are run like `StoreConformance`, and a store passes that one first. What a store cannot do is no failure:
leave the class out.
"""

from __future__ import annotations

from convmem.testing._abilities.accounts import AccountsConformance
from convmem.testing._abilities.call_reads import CallReadsConformance
from convmem.testing._abilities.calls import CallsConformance
from convmem.testing._abilities.checks import ChecksConformance
from convmem.testing._abilities.epochs import EpochsConformance
from convmem.testing._abilities.forgetting import Forgetting
from convmem.testing._abilities.leftovers import Leftovers
from convmem.testing._abilities.limits import LimitsConformance
from convmem.testing._abilities.pins import PinsConformance
from convmem.testing._abilities.responses import ResponsesConformance
from convmem.testing._abilities.views import ViewsConformance

__all__ = [
    "AccountsConformance",
    "CallReadsConformance",
    "CallsConformance",
    "ChecksConformance",
    "EpochsConformance",
    "ForgetsConformance",
    "LimitsConformance",
    "PinsConformance",
    "ResponsesConformance",
    "ViewsConformance",
]


class ForgetsConformance(Forgetting, Leftovers):
    """What was forgotten is gone with everything derived from it; nothing else is.

    Where the store has views, epochs or pins, it looks into those too.
    """
