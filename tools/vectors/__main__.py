"""Run the command: write, drift or freeze."""

from __future__ import annotations

import sys

from tools.vectors.command import main

sys.exit(main())
