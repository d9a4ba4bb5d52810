"""Start the `moonmind` command: find the verb, and turn every expected failure into words and an exit code."""

import io
import sys

import click

from moonmind.cli.exits import Exit
from moonmind.cli.output import report_failure
from moonmind.cli.verbs import VERBS
from moonmind.domain import VERSION
from moonmind.domain.errors import WorkflowError


class VerbGroup(click.Group):
    """A group whose verbs are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the verbs in the order of the help."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        verb = VERBS.get(cmd_name)
        return verb.load() if verb else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; an unknown one gets the nearest names told."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise click.NoSuchCommand(args[0], possibilities=VERBS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs by section from the table, without importing any of them."""
        for section in dict.fromkeys(verb.section for verb in VERBS.values()):
            with formatter.section(section):
                formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items() if verb.section == section])

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb; an expected failure ends with its exit code, a bug keeps its traceback."""
        try:
            return super().invoke(ctx)
        except WorkflowError as error:
            ctx.exit(report_failure(error, ctx))
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            ctx.exit(Exit.INTERRUPTED)


@click.group(
    cls=VerbGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 the run failed, 2 wrong usage, 3 not reachable or not allowed, 4 no work.",
)
@click.version_option(VERSION, "--version", message="moonmind %(version)s")
def moonmind() -> None:
    """Ask for the next Spec Kit phase; get one branch and one pull request."""


def main() -> None:
    """Run the command; characters that the terminal's encoding lacks are escaped rather than fatal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    moonmind(prog_name="moonmind")
