"""The entry `voxdata`. Every message that a user can cause is one line; nothing they do ends in a traceback."""

from __future__ import annotations

import errno
import io
import logging
import os
import resource
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Annotated, Literal, TypeAlias

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter, UnusedCliTokensError
from cyclopts.completion import ShellDetectionError

import flows.cli.building as building
import flows.cli.catalog as catalog
import flows.cli.crawling as crawling
import flows.cli.exchange as exchange
import flows.cli.governance as governance
import flows.cli.models as models
import flows.cli.pages as pages
import flows.cli.relay as relay
import flows.cli.showing as showing
import flows.cli.simulate as simulate
import flows.cli.training as training
import flows.cli.versions as versions
import flows.cli.weights as weights
from flows.cli.interrupts import INTERRUPTED, came, end, heed, say
from flows.cli.options import ROOT_VARIABLE, find_root, no_root, shown_default
from voxdata.format import events
from voxdata.format.errors import BackendError, StorageError, VoxdataError
from voxdata.store.proxies import spare_loopback

PREFECT_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
}
MISUSED = 2
Failed: TypeAlias = Callable[[Exception, str], bool]
QUERY_INTERRUPTED = "Query interrupted"  # what DuckDB makes of a signal in the middle of a query

app = App(
    name="voxdata",
    help="Build face-voice datasets and train speech-to-face models on them.",
    help_epilogue=(
        "First steps: voxdata simulate corpus && voxdata build demo --root data "
        "--set sources.photos.path=corpus/photos --set sources.speech.path=corpus/wav "
        f"--set sources.metadata.path=corpus/vox1_meta.csv; then export {ROOT_VARIABLE}=data && voxdata stats"
    ),
    version=f"voxdata {version('voxdata')}",
    default_parameter=Parameter(negative=(), show_default=shown_default),
    config=find_root,
)
for group in (
    *(building, crawling, simulate, catalog, showing, versions, governance),
    *(exchange, training, models, pages, weights),
):
    for name, each in group.app.resolved_commands().items():
        if not name.startswith("-"):
            app.command(each, name=name)


def _untold(error: Exception, said: str) -> bool:
    return False


def command_line(failed: Failed = _untold) -> int:
    """Run the command that the process was started with, which Ctrl-C ends in seconds, and return its exit status.

    An error that ends it is handed to `failed` with what is said of it, and said here unless that returns true.
    """
    _speak_utf8()
    heed(lambda: _interrupted(sys.argv[1:]))
    status: int | None = None
    while True:
        try:
            status = main(failed=failed) if status is None else status
            if status == INTERRUPTED or (status and came()):  # of what was told to end, no other fault is one
                end()
            return status
        except KeyboardInterrupt:  # a second one, while the first unwound, or while that was said
            status = INTERRUPTED


def _speak_utf8() -> None:
    """Read words, names and files as UTF-8 whatever the locale says, and escape what the terminal cannot show.

    Python decides at its start how it reads words and names, so under an ASCII locale it is started once more.
    """
    if sys.getfilesystemencoding().lower() != "utf-8" and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main(arguments: Sequence[str] | None = None, *, failed: Failed = _untold) -> int:
    """Run one command and return its exit status; `failed` as in `command_line`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    spare_loopback()
    try:
        return _answered(words, failed)
    finally:
        if not came():  # else nothing is said any more but one line, by `end`
            relay.stop()


def _answered(words: Sequence[str], failed: Failed) -> int:
    try:
        handler, bound, _ = app.meta.parse_args(words, exit_on_error=False, print_error=False)
        return int(handler(*bound.args, **bound.kwargs) or 0)
    except CycloptsError as error:
        return _refuse(_called(words), error, _misused(words, error), MISUSED, failed)
    except VoxdataError as error:
        return _refuse(_called(words)[:1], error, str(error), error.exit_code, failed)
    except (KeyboardInterrupt, RuntimeError) as error:
        if isinstance(error, RuntimeError) and str(error) != QUERY_INTERRUPTED:
            raise
        say(_interrupted(words))
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError) as error:
        short = _shortage(error)
        if short is None:
            raise
        return _refuse(_called(words)[:1], BackendError(short), short, BackendError.exit_code, failed)


@app.meta.default
def _run(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    quiet: Annotated[bool, Parameter("--quiet", help="say only what went wrong")] = False,
    progress: Annotated[
        Literal["auto", "json"],
        Parameter("--progress", help="what standard error is: auto, as fits a terminal or a log; or JSON lines"),
    ] = "auto",
) -> int:
    if progress == "json":
        relay.start()
        logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[events.EventHandler()])
    else:
        os.environ.pop(events.VARIABLE, None)  # of a command that has started this one
        logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("voxdata").setLevel(logging.WARNING if quiet else logging.INFO)
    for name, value in PREFECT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    _, (*_, last), rest = app.parse_commands(words)
    if not rest and last.default_command is None:
        raise CycloptsError(msg=f"which command? there are {', '.join(_names(last))}")
    handler, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    return int(handler(*bound.args, **bound.kwargs) or 0)


@app.command(name="--install-completion", help_epilogue="Example: voxdata --install-completion --shell bash")
def _install_completion(*, shell: Literal["bash", "zsh", "fish", "powershell"] | None = None) -> int:
    """Let the shell complete commands and options; default: the shell that this runs in."""
    try:
        print(f"{app.install_completion(shell=shell)} completes the words of voxdata in new shells")
    except ShellDetectionError:
        raise StorageError("which shell this is cannot be seen; add --shell bash, zsh, fish or powershell") from None
    except OSError as error:
        raise StorageError(f"the completion cannot be written: {error}") from None
    return 0


def _called(words: Sequence[str]) -> tuple[str, ...]:
    """The command that is called, without the options that any command takes."""
    try:
        _, bound, _, _ = app.meta.parse_known_args(words)
    except CycloptsError:  # one of those is wrong
        return ()
    return app.parse_commands(bound.arguments.get("words", ()))[0]


def _names(group: App) -> list[str]:
    return [name for name in group.resolved_commands() if not name.startswith("-")]


def mistaken(words: Sequence[str]) -> str:
    """What is said of words that are not understood, for docs/errors.md; nothing is run."""
    try:
        _, bound, _ = app.meta.parse_args(words, exit_on_error=False, print_error=False)
        app.parse_args(bound.arguments.get("words", ()), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _misused(words, error)
    raise ValueError(f"voxdata {' '.join(words)}: these words are understood")


def _misused(words: Sequence[str], error: CycloptsError) -> str:
    called = _called(words)
    meant = _of_the_shell(words, called) if isinstance(error, UnusedCliTokensError) else ""
    return f"{_mistake(error).rstrip('.')}{meant}; see: {' '.join(('voxdata', *called))} --help"


def _of_the_shell(words: Sequence[str], called: Sequence[str]) -> str:
    """What a shell makes of words that are meant otherwise: comments as they stand on our pages, SQL without quotes."""
    if "#" in words:
        return ", and this shell takes # for a word: in zsh, setopt interactive_comments makes it begin a comment"
    return ": put the SQL between quotes" if called == ("sql",) else ""


def _mistake(error: CycloptsError) -> str:
    """What is wrong with the words of a command line, in one line."""
    said = " ".join(str(error).partition(" Available commands:")[0].split())
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        about, _, meant = said.partition(" parameter ")[2].partition(" Did you mean ")  # the first part is the command
        if error.tokens_so_far:
            return about
        if error.keyword:
            return f"{error.keyword} needs a value"
        missing = no_root(error.argument) if error.argument.name == "--root" else f"{error.argument.name} is missing"
        return f"{error.argument.name} is missing. Did you mean {meant}" if meant else missing
    if isinstance(error, UnusedCliTokensError):
        return f"nothing is known of {' '.join(map(repr, error.unused_tokens or ()))} here"
    return said[:1].lower() + said[1:]


def _interrupted(words: Sequence[str]) -> str:
    try:
        called = _called(words)[:1]
    except CycloptsError:
        called = ()
    return f"{' '.join(('voxdata', *called))}: interrupted; what was committed stays, the same command resumes there"


def _shortage(error: OSError | MemoryError) -> str | None:
    """What to do where the system has no more of something that any line may ask for; None for another error."""
    again = "then run the same command again: what was committed stays"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return f"no more files can be opened ({error}); the limit is {limit}, raise it with: ulimit -n 4096; {again}"
    if isinstance(error, MemoryError) or error.errno == errno.ENOMEM:
        what = str(error) or "the system gives no more"
        return (
            f"there is not enough memory ({what}); free some, or use fewer workers where the command has them; {again}"
        )
    return None


def _refuse(called: Sequence[str], error: Exception, said: str, status: int, failed: Failed) -> int:
    if not failed(error, said):
        told = f"{' '.join(('voxdata', *called))}: {said}"
        if events.wanted():
            events.emit("error", text=told, status=status)
        else:
            print(told, file=sys.stderr)
    return status
