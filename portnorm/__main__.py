"""`python -m portnorm`."""

from portnorm.cli import main

raise SystemExit(main())
