"""One file per variant, found by its name. Each holds `router` with GET /items/{item_id}."""
