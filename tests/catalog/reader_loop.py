"""Ask the catalog of the root in argv how many identities it has, in as many threads as argv says, until stdin says to
stop; print what each question was answered."""

import select
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from voxdata.catalog.query import run_query
from voxdata.store.storage import open_storage

QUESTION = "SELECT count(*) AS n, (SELECT count(*) FROM photos) AS p FROM identities"
PAUSE_S = 0.5  # leaves some of the machine to who publishes
storage = open_storage(sys.argv[1])
readers = int(sys.argv[2])
stop = Event()


def read() -> list[int]:
    """The answers of one reader."""
    answers = []
    while not stop.wait(PAUSE_S):
        (row,) = run_query(storage, QUESTION).to_pylist()
        assert row["p"] == 3 * row["n"], row
        answers.append(row["n"])
    return answers


run_query(storage, "SELECT 1")
with ThreadPoolExecutor(readers) as pool:
    loops = [pool.submit(read) for _ in range(readers)]
    print("ready", flush=True)
    select.select([sys.stdin], [], [])
    stop.set()
for loop in loops:
    print(*loop.result())
