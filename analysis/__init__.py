"""Raw files to figures. Arrow's allocator would give memory back to the kernel a second after it was freed, while the next
table needs as much: each page of it would be cleared again. It reads this when pyarrow is loaded, which is after this."""

import os

os.environ.setdefault("MIMALLOC_PURGE_DELAY", "-1")
