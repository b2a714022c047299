"""`python -m darkshare`."""

from darkshare.cli import main

main()
