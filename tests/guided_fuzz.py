"""Let coverage guide the fuzz tests: bytes that reach new lines of our parsers are kept and changed (libFuzzer).

    python -m tests.guided_fuzz [WORDS …] [--seconds N] [--corpus FOLDER]

Takes every Hypothesis test of `tests/*/test_*_fuzz.py` whose name has one of the words, each in a process of its own,
because libFuzzer ends its process. What was reached is kept in the folder, and a later run goes on from there. A find
is shown with the example that Hypothesis reads from its bytes; it stays as an `@example` of the test.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, given, settings

HERE = Path(__file__).parent
OURS = ["voxdata", "models"]


def targets(words: Sequence[str] = ()) -> list[str]:
    """`module::test` of every fuzz test whose name has one of the words; all without words."""
    found = []
    for path in sorted(HERE.glob("*/test_*_fuzz.py")):
        module = f"tests.{path.parent.name}.{path.stem}"
        for name, test in vars(importlib.import_module(module)).items():
            if name.startswith("test_") and hasattr(test, "hypothesis"):
                found.append(f"{module}::{name}")
    return [target for target in found if not words or any(word in target for word in words)]


def one_input(target: str, folder: Path) -> Callable[[bytes], Any]:
    """The test as a function of bytes, which Hypothesis reads its examples from. `folder` stands for pytest's."""
    module, name = target.split("::")
    test = getattr(importlib.import_module(module), name)
    body, drawn = test.hypothesis.inner_test, test.hypothesis._given_kwargs

    def mktemp(_: str) -> Path:
        return Path(tempfile.mkdtemp(dir=folder))

    fixtures = {"tmp_path_factory": SimpleNamespace(mktemp=mktemp)}
    wanted = [each for each in inspect.signature(body).parameters if each not in drawn]

    def fuzzed(**examples: Any) -> None:
        body(**examples, **{each: fixtures[each] for each in wanted})

    fuzzed.__name__ = name
    patient = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    read: Callable[[bytes], Any] = patient(given(**drawn)(fuzzed)).hypothesis.fuzz_one_input
    return read


def guide(target: str, seconds: int, corpus: Path) -> None:
    """Give this process to libFuzzer. Never returns."""
    import atheris

    with atheris.instrument_imports(include=OURS):
        importlib.import_module(target.split("::")[0])
    read = one_input(target, Path(tempfile.gettempdir()))
    options = [f"-max_total_time={seconds}", "-rss_limit_mb=4096", "-timeout=120", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], str(corpus), *options, f"-artifact_prefix={corpus}/"], read)
    atheris.Fuzz()


def _line(output: str, words: str) -> str:
    return next((line.split(":")[-1].strip() for line in output.splitlines() if words in line), "0")


def main() -> int:
    """Fuzz one test after the other; 1 where one found something, 2 where none has such a name."""
    parser = argparse.ArgumentParser(description="Fuzz tests that are guided by coverage.")
    parser.add_argument("words", nargs="*", help="tests whose names have one of these")
    parser.add_argument("--seconds", type=int, default=60, help="of each test")
    parser.add_argument("--corpus", type=Path, help="keep what was reached here, and go on from it")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        guide(options.words[0], options.seconds, options.corpus)
    chosen = targets(options.words)
    if not chosen:
        print(f"no fuzz test has {' or '.join(options.words)} in its name")
        return 2
    finds = 0
    with tempfile.TemporaryDirectory(prefix="corpus-") as temporary:
        for number, target in enumerate(chosen, start=1):
            corpus = (options.corpus or Path(temporary)) / target.replace("::", ".")
            corpus.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "tests.guided_fuzz", "--one", target]
            command += ["--seconds", str(options.seconds), "--corpus", str(corpus.resolve())]
            # libFuzzer ends its process without clearing up
            with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
                cleared = {**os.environ, "TMPDIR": folder}
                done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=cleared)
            runs, kept = _line(done.stderr, "stat::number_of_executed_units"), len(list(corpus.iterdir()))
            verdict = "" if done.returncode == 0 else f", FOUND (status {done.returncode})"
            print(f"{number} of {len(chosen)}: {target}: {runs} runs, {kept} kept{verdict}", flush=True)
            if done.returncode != 0:
                finds += 1
                print(f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}", flush=True)
    return int(finds > 0)


if __name__ == "__main__":
    sys.exit(main())
