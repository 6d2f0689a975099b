-- Every published version: what it gained and lost in numbers, and the bytes that no other version uses
WITH
listed AS (
    SELECT tar, any_value(snapshot_id) AS snapshot_id, any_value(size_bytes) AS size_bytes
    FROM shards GROUP BY tar HAVING count(*) = 1
),
own AS (SELECT snapshot_id, sum(size_bytes) AS own_bytes FROM listed GROUP BY snapshot_id)
SELECT
    published_at,
    snapshot_id,
    tags,
    current,
    identities,
    identities - lag(identities) OVER by_time AS identities_change,
    portraits,
    portraits - lag(portraits) OVER by_time AS portraits_change,
    utterances,
    utterances - lag(utterances) OVER by_time AS utterances_change,
    round(coalesce(own_bytes, 0) / 1e6, 2) AS own_mb
FROM snapshots LEFT JOIN own USING (snapshot_id)
WHERE published_at IS NOT NULL
WINDOW by_time AS (ORDER BY replace(published_at, 'Z', '+00:00'), snapshot_id)
ORDER BY replace(published_at, 'Z', '+00:00'), snapshot_id;
