"""``python -m mtlslab`` is ``mtlslab``."""

from mtlslab.cli.main import main

if __name__ == "__main__":
    main()
