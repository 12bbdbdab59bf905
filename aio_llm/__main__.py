"""`python -m aio_llm`: the command line."""

from __future__ import annotations

import sys

from aio_llm.cli import main

if __name__ == "__main__":
    sys.exit(main())
