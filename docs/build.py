"""Build the site of the documentation into build/docs: ``make docs``."""

import sys

from sitegen.build import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
