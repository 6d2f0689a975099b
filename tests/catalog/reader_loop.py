"""Ask the catalog of the root in argv how many identities it has, again and again, until stdin says to stop."""

import select
import sys

from voxdata.catalog.query import run_query
from voxdata.storage import open_storage

storage = open_storage(sys.argv[1])
run_query(storage, "SELECT 1")
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    (row,) = run_query(storage, "SELECT count(*) AS n, (SELECT count(*) FROM photos) AS p FROM identities").to_pylist()
    assert row["p"] == 3 * row["n"], row
    print(row["n"])
