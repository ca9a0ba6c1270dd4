"""Nothing: the name is there for array-api-compat."""

__all__: list[str] = []
