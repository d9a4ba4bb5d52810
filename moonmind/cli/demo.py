"""Show a whole run on a machine that has nothing but Python, git and a shell: `moonmind demo`."""

import signal
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType

import click

from moonmind.cli.client import ServiceClient
from moonmind.cli.demo_page import DIFF_LINES, NextSteps, fact, failure_lines, landing_lines
from moonmind.cli.exits import Exit, exit_for_run
from moonmind.cli.following import ProgressView, follow_run
from moonmind.cli.json_values import documents
from moonmind.cli.live_view import LiveView
from moonmind.cli.plain_view import PlainView
from moonmind.cli.screen import console_for
from moonmind.cli.surroundings import Surroundings, surroundings
from moonmind.cli.views import RunView, run_view
from moonmind.config.client import Server, Terminal
from moonmind.config.settings import process_environment
from moonmind.demo.folder import DemoFolder
from moonmind.demo.landing import read_landing
from moonmind.demo.sample import FEATURE_KEY, REPOSITORY, make_sample
from moonmind.demo.service import embedded_service
from moonmind.domain.ports import PullRequestState
from moonmind.domain.states import ACTIVE_RUN_STATUSES, RunStatus
from moonmind.forges.local import LocalForge


@click.command
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var/demo"),
    help="Where the demonstration keeps everything (default: var/demo).",
)
@click.option("--serve", is_flag=True, help="Take no phase: only start the service, for a look around, until Ctrl-C.")
@click.pass_context
def demo(context: click.Context, *, data_dir: Path, serve: bool) -> None:
    """
    See a whole run on a sample repository.

    Makes the repository, starts the service, and takes the next phase; a script stands in for
    the agent. Each further call merges the last pull request, as its reviewer would, and takes
    the phase after it, until there is no work.
    """
    around = surroundings()
    folder = DemoFolder(data_dir.absolute())
    steps = NextSteps(folder.path, Path.cwd())
    _let_signals_end_it_in_order()
    try:
        with folder.alone(waiting=lambda: _say(["Waiting until the last demonstration has stopped."])) as lock:
            repository = _introduce(folder, steps)
            # The service gets a few of these variables only; it is a service of its own.
            with embedded_service(folder, lock=lock, environment=process_environment()) as url:
                _say([fact("", f"answers at {url}")])
                if serve:
                    _serve(url, steps, around)
                    return
                run = _watch_next_phase(folder, url, around)
                _say(["", *_ending(run, repository, around.terminal(sys.stdout)), ""])
                _say([f"Stopping the service; everything it knows stays in {steps.shown(folder.path)}."])
            _say(["", *steps.after(run)])
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted; the service stops by itself. What had begun goes on with: {steps.again}", err=True)
        context.exit(Exit.INTERRUPTED)
    context.exit(Exit.DONE if run.status == RunStatus.NO_WORK else exit_for_run(run.status))


def _let_signals_end_it_in_order() -> None:
    # A live page hides the cursor; whatever ends this process must let it come back.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is not signal.SIG_IGN:
            signal.signal(ending, _interrupt)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _introduce(folder: DemoFolder, steps: NextSteps) -> Path:
    is_first = not folder.forge_root.exists()
    repository = make_sample(folder.forge_root)
    state = "made now" if is_first else "as the last demonstration left it"
    _say(
        [
            "MoonMind demonstration: one phase of a feature becomes one branch and one pull request.",
            "",
            fact("Repository", f"{steps.shown(repository)} ({state})"),
            fact("Agent", "a script, not a language model: it writes prepared code for this repository"),
            fact("Service", f"starting; its log is {steps.shown(folder.log)}"),
        ]
    )
    return repository


def _ending(run: RunView, repository: Path, terminal: Terminal) -> Iterable[str]:
    if run.status == RunStatus.SUCCEEDED:
        landing = read_landing(repository, base=run.base_sha, head=run.commit_sha, colour=terminal.has_color)
        return landing_lines(run, landing, most_lines=DIFF_LINES if sys.stdout.isatty() else None)
    if run.status == RunStatus.NO_WORK:
        return ["No work: every task of the feature is finished."]
    return failure_lines(run)


def _watch_next_phase(folder: DemoFolder, url: str, around: Surroundings) -> RunView:
    client = ServiceClient(Server(url=url, token=folder.token, is_this_machine=True))
    run_id = _active_run(client)
    if run_id:
        _say(["", f"Run {run_id} was interrupted; it goes on now:", ""])
    else:
        _say(_merge_as_reviewer(LocalForge(folder.forge_root, public_url=url)))
        _say(["", f"Asking for the next phase of {REPOSITORY}:", ""])
        order = {"repository": REPOSITORY, "featureKey": FEATURE_KEY}
        run_id = run_view(client.start_run(order, key=around.new_key())).id
    terminal = around.terminal(sys.stdout)
    view: AbstractContextManager[ProgressView] = (
        LiveView(console_for(sys.stdout, terminal), around.now)
        if terminal.is_live
        else nullcontext(PlainView(sys.stdout, around.now))
    )
    with view as shown:
        return run_view(follow_run(client, run_id, view=shown, around=around, with_log=terminal.is_live))


def _active_run(client: ServiceClient) -> str:
    active = [("status", status) for status in sorted(ACTIVE_RUN_STATUSES)]
    page = client.list_runs([("repository", REPOSITORY), *active])
    return next((run_view(document).id for document in documents(page.get("items"))), "")


def _merge_as_reviewer(forge: LocalForge) -> Iterable[str]:
    """Merge what is open, oldest first; one that was merged before is not open any more, so repeating is safe."""
    waiting = [pull for pull in forge.list(REPOSITORY) if pull.state is PullRequestState.OPEN]
    for pull in reversed(waiting):
        merged = forge.merge(REPOSITORY, pull.number)
        yield fact("Reviewer", f"in your place, this demonstration merged pull request #{merged.number}")


def _serve(url: str, steps: NextSteps, around: Surroundings) -> None:
    _say(["", f"The service stays up at {url} until Ctrl-C.", "", *steps.while_serving()])
    try:
        while True:
            around.pause(1)
    except KeyboardInterrupt:
        _say(["", "Stopping the service."])


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)
