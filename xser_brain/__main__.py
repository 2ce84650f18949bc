"""``python -m xser_brain`` is ``xser``."""

import sys

from xser_brain.cli import main

if __name__ == "__main__":
    sys.exit(main())
