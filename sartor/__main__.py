"""`python -m sartor` is the command `sartor`; torchrun starts it so."""

from sartor.base.distributed import leave
from sartor.cli.main import main

leave(main())
