-- What became of every face by the host, or the folder, that its photo came from
WITH placed AS (
    SELECT coalesce(host, address, outcomes.source) AS host, outcome, person, items
    FROM outcomes LEFT JOIN sources ON sources.source = outcomes.source AND sources.medium = 'photos'
    WHERE outcomes.kind = 'faces'
)
SELECT
    host,
    outcome,
    sum(items)::BIGINT AS items,
    count(DISTINCT person) AS people,
    round(sum(items) / sum(sum(items)) OVER (PARTITION BY host), 4) AS share
FROM placed
GROUP BY host, outcome
ORDER BY host, outcome = 'kept', items DESC, outcome;
