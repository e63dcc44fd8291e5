"""Starts the program: the command ``mtlslab``, and ``python -m mtlslab``."""

import signal


def main() -> None:
    """Run the program; ends the process with one of the documented exit codes."""
    # Ctrl-C while Python still reads the modules: nothing is begun, so the process just ends, without a traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored (nohup, `&`)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mtlslab.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
