"""What every store has to keep, as tests to inherit.

```python
class TestMine(StoreConformance):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.path = tmp_path

    def make_store(self) -> Store:
        return MyStore(self.path / uuid4().hex)
```

pytest is not needed to run it: every method whose name begins with `test_` is one test, needs nothing, and
raises `AssertionError` with what it saw.
"""

from __future__ import annotations

from convmem.testing._store.changes import Changes
from convmem.testing._store.payloads import Payloads
from convmem.testing._store.reading import Reading
from convmem.testing._store.threads import Threads
from convmem.testing._store.writing import Writing

__all__ = ["StoreConformance"]


class StoreConformance(Writing, Changes, Reading, Payloads, Threads):
    """Inherit it as a test class and override `make_store`.

    Override `reopen` too when the store outlives its object, and `read_call` when what it keeps of a call can
    be read. `examples`, `writes` and `readers` say how much the slower tests do.
    """
