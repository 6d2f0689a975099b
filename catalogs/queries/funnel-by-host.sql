-- What became of every face by the host, or the folder, that its photo came from
WITH counted AS (
    SELECT
        photo_source AS source,
        CASE WHEN portrait THEN 'kept' ELSE coalesce(reason, 'kept') END AS outcome,
        person,
        count(*) AS items
    FROM faces GROUP BY ALL
)
SELECT
    coalesce(host, address, counted.source, 'unknown') AS host,
    outcome,
    sum(items)::BIGINT AS items,
    count(DISTINCT person) AS people,
    round(sum(items) / sum(sum(items)) OVER (PARTITION BY coalesce(host, address, counted.source, 'unknown')), 4) AS share
FROM counted LEFT JOIN sources ON sources.source = counted.source AND sources.medium = 'photos'
GROUP BY coalesce(host, address, counted.source, 'unknown'), outcome
ORDER BY 1, outcome = 'kept', items DESC, outcome;
