"""``python -m neuroai.cli``."""

from neuroai.cli.errors import main

raise SystemExit(main())
