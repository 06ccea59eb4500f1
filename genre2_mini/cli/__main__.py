"""``python -m genre2_mini.cli`` is the command ``genre2-mini``."""

from genre2_mini.cli import main

main()
