"""`python -m vswitch` is `vswitch`."""

from vswitch.cli import main

if __name__ == "__main__":
    main()
