"""The command: write, drift, freeze."""

from __future__ import annotations

import sys

from tools.vectors.command import main

sys.exit(main())
