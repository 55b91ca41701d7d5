"""Decisions: pure functions from inputs to values. No I/O but reading inputs and templates."""
