"""The start of the command line: the script `skyfan`, and python -m skyfan where scripts are not on PATH."""

import sys


def main() -> None:
    """Runs the command line. Ctrl-C ends it with 130 even while its modules are imported."""
    try:
        from .cli import main as command_line
    except KeyboardInterrupt:
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    main()
