"""The modules of tvcli by name, with their files."""

from pathlib import Path

import tvcli

PACKAGE = Path(tvcli.__file__).parent
MODULES = {
    path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", "."): path
    for path in PACKAGE.rglob("*.py")
}
