"""Long memory for chat models, from outside: one line around the client.

```python
import convmem
from openai import OpenAI

memory = convmem.Memory("chat.db")
client = memory.wrap(OpenAI(), user="alice", session="kyoto")
```
"""

from convmem.abilities import Pin
from convmem.asynchronous import AsyncMemory
from convmem.compress.protocol import Compressor, CompressRequest
from convmem.direct.check import repair
from convmem.errors import (
    ClosedError,
    ConvmemError,
    InputError,
    JournalError,
    MissingExtraError,
    ScopeError,
    StoreCorruptError,
    StoreError,
    StoreFormatError,
    StoreLockedError,
    StoreNewerError,
    StoreReadOnlyError,
    StoreUnavailableError,
    WrapError,
)
from convmem.hooks import Event, Hook
from convmem.memory import Memory
from convmem.policy import PRESETS, Plan, Policy, PolicyRequest, WindowPolicy
from convmem.protocols import Store
from convmem.types import (
    Cost,
    ForgetReport,
    Health,
    Hit,
    Ledger,
    Message,
    Mode,
    Prepared,
    Recalled,
    Receipt,
    Repaired,
    Session,
    State,
    Stats,
    Tokens,
    Turn,
)

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "AsyncMemory",
    "ClosedError",
    "CompressRequest",
    "Compressor",
    "ConvmemError",
    "Cost",
    "Event",
    "ForgetReport",
    "Health",
    "Hit",
    "Hook",
    "InputError",
    "JournalError",
    "Ledger",
    "Memory",
    "Message",
    "MissingExtraError",
    "Mode",
    "Pin",
    "Plan",
    "Policy",
    "PolicyRequest",
    "Prepared",
    "Recalled",
    "Receipt",
    "Repaired",
    "ScopeError",
    "Session",
    "State",
    "Stats",
    "Store",
    "StoreCorruptError",
    "StoreError",
    "StoreFormatError",
    "StoreLockedError",
    "StoreNewerError",
    "StoreReadOnlyError",
    "StoreUnavailableError",
    "Tokens",
    "Turn",
    "WindowPolicy",
    "WrapError",
    "__version__",
    "repair",
]
