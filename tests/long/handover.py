"""Run in a fresh clone on this machine, by disk.py: makes what a machine without package sources needs of it.

    python -m tests.long.handover IMAGES FACTS

Prints the name of the lab's image (built under IMAGES when it is not there) and of each archive of a tree.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from lab import image
from lab.config import LabConfig
from loadproof.control.probe import platform_of
from loadproof.control.trees import archive
from loadproof.plan.recipes import program_tree


def main(images: Path, facts: str) -> None:
    """Everything by this clone's own recipes, so that the clone inside finds it under the names it expects."""
    clone = Path.cwd()
    config = replace(LabConfig.of(clone, {}), images=images)
    name = image.build(config, image.suite_of(config), lambda text: print(text, file=sys.stderr))
    platform = platform_of(json.loads(facts))
    trees = [archive(program_tree(kind, platform, clone), clone).name for kind in ("app", "load")]
    print(json.dumps({"image": name, "trees": trees}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
