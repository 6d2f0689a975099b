"""The command line `voxdata`. Every message that a user can cause is one line; nothing they do ends in a traceback."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version

from flows.asking import add_questions
from flows.exchange_options import add_commands as add_exchange_commands
from flows.governance_options import add_commands as add_governance_commands
from flows.model_options import add_commands as add_model_commands
from voxdata.format.errors import VoxdataError

Handler = Callable[[argparse.Namespace], int]

PREFECT_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
}
INTERRUPTED = 130
QUERY_INTERRUPTED = "Query interrupted"  # what DuckDB makes of a signal in the middle of a query


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("voxdata").setLevel(logging.WARNING if options.quiet else logging.INFO)
    for name, value in PREFECT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        status: int = options.handler(options)
    except VoxdataError as error:
        print(f"voxdata {options.command}: {error}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, RuntimeError) as error:
        if isinstance(error, RuntimeError) and str(error) != QUERY_INTERRUPTED:
            raise
        print(
            f"voxdata {options.command}: interrupted; what was committed stays, the same command resumes there",
            file=sys.stderr,
        )
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(
        prog="voxdata",
        description="Build face-voice datasets and train speech-to-face models on them.",
        epilog="First steps: voxdata simulate corpus && voxdata build demo --root data "
        "--set sources.photos.path=corpus/photos --set sources.speech.path=corpus/wav "
        "--set sources.metadata.path=corpus/vox1_meta.csv",
    )
    top.add_argument("--version", action="version", version=f"voxdata {version('voxdata')}")
    top.add_argument("--quiet", action="store_true", help="say only what went wrong")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _data_commands(commands)
    _catalog_commands(commands)
    _version_commands(commands)
    add_governance_commands(commands, _lazy)
    add_exchange_commands(commands, _lazy)
    add_model_commands(commands, _lazy)
    _weights_command(commands)
    return top


def _data_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    build = commands.add_parser("build", help="build or update a dataset", description="Build or update a dataset.")
    build.add_argument("recipe", metavar="RECIPE", help="a shipped recipe (see: voxdata recipes) or a .yaml file")
    _root(build)
    _settings(build)
    _prefect(build)
    build.set_defaults(handler=_lazy("build"))

    redecide = commands.add_parser(
        "redecide",
        help="apply changed limits and new reviews to a finished build",
        description="Apply the rules again to what a finished build measured, with changed limits and new reviews; "
        "pixels are touched only for faces that pass now. Prints the funnel before and after.",
    )
    _root(redecide)
    _settings(redecide, "change a limit, for example faces.pose.max_angle_deg=8; repeatable")
    redecide.add_argument("--dry-run", action="store_true", help="only print what would change; publish nothing")
    _prefect(redecide)
    redecide.set_defaults(handler=_lazy("redecide"))

    recipes = commands.add_parser("recipes", help="list recipes, or print one with all its settings")
    recipes.add_argument("recipe", nargs="?", metavar="RECIPE", help="print this one, resolved, as YAML")
    _settings(recipes)
    recipes.set_defaults(handler=_lazy("recipes"))

    simulate = commands.add_parser("simulate", help="write a corpus of painted people with a known voice-face link")
    simulate.add_argument(
        "words",
        nargs="+",
        metavar="[serve] FOLDER",
        help="where to write photos/, wav/, vox1_meta.csv, truth.parquet; serve: publish its photos as a web site",
    )
    simulate.add_argument("--people", type=int, default=40, help="identities (default 40)")
    simulate.add_argument("--photos", type=int, default=10, help="photos per identity (default 10)")
    simulate.add_argument("--clips", type=int, default=6, help="speech clips per identity (default 6)")
    simulate.add_argument("--link", type=float, default=1.0, help="how strongly voice and face are tied, 0 to 1")
    simulate.add_argument("--seed", type=int, default=0)
    simulate.add_argument("--port", type=int, default=0, help="of the site; default: any free one")
    simulate.set_defaults(handler=_lazy("simulate"))


def _catalog_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    sql = commands.add_parser("sql", help="ask the catalog", description="Run SQL over the catalog, read-only.")
    sql.add_argument("statement", nargs="?", metavar="SQL", help='for example "select * from funnel"')
    sql.add_argument("--query", metavar="NAME", help="a named query instead; --query list shows them")
    sql.add_argument("--format", choices=["table", "csv", "json", "parquet"], default="table")
    sql.add_argument("--out", metavar="FILE", help="write there instead of to the terminal (parquet needs it)")
    sql.add_argument("--root", metavar="DIR", help="the dataset's folder or URL (s3://…)")
    sql.add_argument("--snapshot", metavar="ID", help="ask this version, an id or a tag; default: the current one")
    sql.add_argument("--before", metavar="ID", help="another version beside it: its tables are before.faces, before.…")
    sql.set_defaults(handler=_lazy("sql"))

    for name, about in (
        ("stats", "print the paper's Table 1 for the current snapshot"),
        ("snapshots", "list the published versions of the dataset"),
        ("verify", "check shards, sidecars, snapshots and catalog against each other"),
        ("repair", "pack broken shards again from their fragments, byte for byte, and rebuild the catalog"),
    ):
        command = commands.add_parser(name, help=about, description=about)
        _root(command)
        if name == "verify":
            command.add_argument(
                "--forgotten", action="store_true", help="read every file and prove that no forgotten person is in it"
            )
        command.set_defaults(handler=_lazy(name))

    report = commands.add_parser("report", help="one HTML page about the dataset and its models; opens offline")
    _root(report)
    report.add_argument("--out", default="report.html", metavar="FILE", help="page to write (default report.html)")
    report.set_defaults(handler=_lazy("report"))

    review = commands.add_parser(
        "review",
        help="a local web page on which people keep and reject portraits",
        description="Serve a page on which people keep and reject portraits, on this machine only unless told "
        "otherwise. What they decide is kept in the journal at once and acts in the next publish.",
    )
    _root(review)
    review.add_argument("--reviewer", metavar="NAME", help="name that decisions carry; the page asks for one otherwise")
    review.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1: this machine)")
    review.add_argument("--port", type=int, default=8765, help="default 8765; 0 takes any free one")
    review.set_defaults(handler=_lazy("review"))

    catalog = commands.add_parser("catalog", help="maintain the catalog")
    catalog.add_argument(
        "action", choices=["rebuild"], help="rebuild: write catalog.duckdb anew from the Parquet files"
    )
    _root(catalog)
    catalog.set_defaults(handler=_lazy("catalog"))


def _version_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    diff = commands.add_parser("diff", help="what changed from one version to another, and why")
    diff.add_argument("before", metavar="BEFORE", help="id or tag of a snapshot")
    diff.add_argument("after", nargs="?", metavar="AFTER", help="default: the current one")
    _root(diff)
    diff.add_argument("--changes", action="store_true", help="every single item that came, went or was re-decided")
    _output(diff, "with --changes")
    diff.set_defaults(handler=_lazy("diff"))

    tag = commands.add_parser("tag", help="give a snapshot a name, which protects it from gc; without NAME, list them")
    tag.add_argument("name", nargs="?", metavar="NAME", help="for example paper-1")
    tag.add_argument("snapshot", nargs="?", metavar="SNAPSHOT", help="default: the current one")
    _root(tag)
    tag.add_argument("--delete", action="store_true", help="take the name away")
    tag.add_argument("--force", action="store_true", help="take the name from the snapshot that has it")
    tag.set_defaults(handler=_lazy("tag"))

    shards = commands.add_parser(
        "shards",
        help="print the tars of a version, one per line, as webdataset and shells take them",
        description="Print the tars of a version, and of no other, one per line: absolute paths, or URLs where the "
        "root is on object storage. Nothing else goes to standard output. People who opted out since are counted on "
        "standard error: a published version keeps them, `voxdata redecide` publishes one without them.",
    )
    _root(shards)
    shards.add_argument("--split", help="train, val or test; default: all")
    shards.add_argument("--kind", help="faces or speech; default: both")
    shards.add_argument("--snapshot", metavar="ID", help="an id or a tag; default: the current one")
    shards.add_argument(
        "--relative", action="store_true", help="paths below the root, for rsync --files-from and tar -C"
    )
    shards.add_argument(
        "--json", action="store_true", help="a list with split, kind, samples, bytes, sha256, opted_out"
    )
    shards.set_defaults(handler=_lazy("shards"))

    gc = commands.add_parser(
        "gc",
        help="delete snapshots, shards and tables that nothing refers to",
        description="Delete what only snapshots used that are not current, have no tag, and are named by no training "
        "run, evaluation or export. Originals and the journal always stay. Says first what would go, and asks. Refuses "
        "to run beside a build.",
    )
    _root(gc)
    add_questions(gc)
    gc.add_argument("--older-than", type=float, default=7.0, metavar="DAYS", help="younger files stay (default 7)")
    gc.set_defaults(handler=_lazy("gc"))

    provenance = commands.add_parser(
        "provenance", help="from a training run, or a face that it generated, back to every source file and URL"
    )
    provenance.add_argument("run", metavar="RUN", help="the run's folder, or a picture in it")
    provenance.add_argument("--root", metavar="DIR", help="default: the root that the run was trained on")
    _output(provenance, "every training sample")
    provenance.set_defaults(handler=_lazy("provenance"))


def _output(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("--format", choices=["table", "csv", "json", "parquet"], default="table", help=what)
    command.add_argument("--out", metavar="FILE", help="write there instead of to the terminal (parquet needs it)")


def _weights_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    weights = commands.add_parser("weights", help="pretrained files: list, download, import, verify")
    actions = weights.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="what there is, what may be done with it, and what lies on this machine")
    pull = actions.add_parser("pull", help="download files into the cache; a broken download is resumed")
    pull.add_argument("names", nargs="+", metavar="NAME", help="see: voxdata weights list")
    imported = actions.add_parser("import", help="copy files into the cache; each is recognised by its digest")
    imported.add_argument("files", nargs="+", metavar="FILE", help="a file, or a zip that holds some")
    actions.add_parser("verify", help="read every cached file anew and compare it with the registry")
    path = actions.add_parser("path", help="print where a file lies, checked")
    path.add_argument("name", metavar="NAME")
    weights.set_defaults(handler=_lazy("weights"))


def _root(command: argparse.ArgumentParser) -> None:
    command.add_argument("--root", required=True, metavar="DIR", help="the dataset's folder or URL (s3://…)")


def _settings(command: argparse.ArgumentParser, about: str = "change a setting; repeatable") -> None:
    command.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help=about)


def _prefect(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--prefect",
        action="store_true",
        help="run as a Prefect flow, on a temporary server where PREFECT_API_URL names none; with PREFECT_API_URL set, "
        "it always does",
    )


def _lazy(name: str) -> Handler:
    rooms = {"weights": "flows.weights", "review": "flows.review", "serve": "flows.serve", "repair": "flows.repair"}
    rooms |= dict.fromkeys(("train", "evaluate", "imagine"), "flows.training")
    rooms |= dict.fromkeys(("models", "rollback"), "flows.registry")
    rooms |= dict.fromkeys(("diff", "tag", "shards", "gc", "provenance"), "flows.versions")
    rooms |= dict.fromkeys(("import_data", "export_data"), "flows.exchange")
    rooms |= dict.fromkeys(("forget", "optout", "aliases", "originals"), "flows.governance")
    room = rooms.get(name, "flows.commands")

    def handler(options: argparse.Namespace) -> int:
        run: Handler = getattr(import_module(room), name)
        return run(options)

    return handler


if __name__ == "__main__":
    sys.exit(main())
