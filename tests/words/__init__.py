"""The words of `inv` as a person types them, on the real lab."""
