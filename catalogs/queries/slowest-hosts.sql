-- Hosts by how long their answers take, with how much came from them, and whether they rest
WITH asked AS (
    SELECT
        host,
        count(*) AS requests,
        median(duration_s) AS median_s,
        quantile_cont(duration_s, 0.95) AS q95_s,
        sum(wait_s) AS waited_s,
        sum(wire_bytes) / 1e6 AS mb
    FROM attempts
    WHERE host IS NOT NULL AND duration_s IS NOT NULL
    GROUP BY host
)
SELECT
    asked.host,
    asked.requests,
    round(median_s, 3) AS median_s,
    round(q95_s, 3) AS q95_s,
    round(waited_s, 1) AS waited_s,
    round(mb, 3) AS mb,
    hosts.pause_s,
    hosts.connections,
    hosts.why
FROM asked
LEFT JOIN hosts ON hosts.host = asked.host
ORDER BY median_s DESC, asked.host;
