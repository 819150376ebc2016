"""`python -m avatarctl` is the command line."""

from avatarctl.cli import main

if __name__ == "__main__":
    main()
