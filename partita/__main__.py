"""The entry of the command line; imports stand inside, so that Ctrl-C is heard while they load."""

import sys


def main() -> None:
    """Run `partita`."""
    try:
        if sys.argv[1:2] == ["solve"]:
            from partita.solve import main as run  # needs no model and no Soc, so it need not load what reads them
        else:
            from partita.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("partita: stopped\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
