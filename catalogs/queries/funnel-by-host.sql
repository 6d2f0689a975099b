-- What became of every face by the host, or the folder, that its photo came from
SELECT
    host,
    outcome,
    items,
    people,
    round(items / sum(items) OVER (PARTITION BY host), 4) AS share
FROM photo_hosts
ORDER BY host, outcome = 'kept', items DESC, outcome;
