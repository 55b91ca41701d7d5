"""The run folder: paths, atomic writes, the journal, and the formats of every raw file."""
