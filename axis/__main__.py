"""`python -m axis` is the `axis` command."""

from axis.cli import main

main()
