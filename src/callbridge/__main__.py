"""`python -m callbridge`."""

import sys

from callbridge.cli import main

if __name__ == "__main__":
    sys.exit(main())
