"""`python -m sartor` is the command `sartor`."""

from sartor.cli.main import main

raise SystemExit(main())
