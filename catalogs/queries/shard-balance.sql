-- Samples and bytes of each shard of the current snapshot
SELECT shards.tar, shards.split, shards.kind, shards.samples, round(shards.size_bytes / 1e6, 2) AS size_mb
FROM shards JOIN snapshots USING (snapshot_id)
WHERE snapshots.current
ORDER BY shards.kind, shards.split, shards.first_bucket;
