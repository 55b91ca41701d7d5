"""Tables of one trial to its figures. Each module states what it counts; tests/analysis/recompute.py counts it again
from the raw files, with nothing of ours."""
