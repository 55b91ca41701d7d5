"""loadproof: load experiments on real hosts that you can believe."""

__version__ = "0.1.0"
