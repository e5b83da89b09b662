"""``python -m fcpts_ref`` and ``fcpts-ref``: the command line."""

import sys


def main() -> int:
    """Run one command and return its exit code, also when Ctrl-C comes while modules load."""
    try:
        from fcpts_ref.cli import main as run
    except KeyboardInterrupt:
        print("fcpts-ref: stopped", file=sys.stderr)
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
