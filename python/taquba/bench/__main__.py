"""The command `python -m taquba.bench`."""

import sys

from taquba.bench._command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
