"""``python -m fcpts_ref``: the command line."""

import sys

from fcpts_ref.cli import main

sys.exit(main())
