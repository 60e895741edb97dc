"""``python -m tvcli`` is ``tv``."""

import sys

from tvcli.cli import main

sys.exit(main())
