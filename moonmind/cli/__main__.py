"""Run the command as `python -m moonmind.cli`, where it is not on PATH."""

from moonmind.cli.main import main

main()
