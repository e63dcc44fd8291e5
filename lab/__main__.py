"""``python -m lab`` is ``mtlslab``."""

from lab.cli.main import main

if __name__ == "__main__":
    main()
