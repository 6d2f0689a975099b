"""Build the first N invented people under a root and publish them, as one of several builders at once. argv is the
root, N, and when. Starts when stdin says so; prints the snapshot's id, or what it was told instead."""

import sys

from small_root import SmallRoot

from voxdata.format.errors import VoxdataError
from voxdata.store.locks import building
from voxdata.store.storage import open_storage

storage = open_storage(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    with building(storage):
        print(SmallRoot(storage, people=int(sys.argv[2])).publish(at=sys.argv[3]).id)
except VoxdataError as error:
    print("told", error)
