"""The same as `python -m taquba.cli`."""

import sys

from taquba.cli import main

if __name__ == "__main__":
    sys.exit(main())
