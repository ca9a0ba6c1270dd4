"""python -m tripoint.cli: the same as the command tripoint."""

import sys

from tripoint.cli import main

sys.exit(main())
