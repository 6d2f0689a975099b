-- What became of every face by the host, or the folder, that its photo came from
WITH
folders AS (SELECT source, address FROM sources WHERE medium = 'photos' AND host IS NULL AND address <> ''),
placed AS (
    SELECT address AS host, outcome, person, items
    FROM outcomes JOIN folders USING (source)
    WHERE kind = 'faces'
    UNION ALL
    -- a source on the web names photos on many hosts by their whole urls
    SELECT
        coalesce(
            lower(nullif(regexp_extract(photo_source_key, '^https?://([^/?#]+)', 1, 'i'), '')),
            host,
            photo_source,
            'unknown'
        ),
        coalesce(reason, 'kept'),
        person,
        1
    FROM faces LEFT JOIN sources ON sources.source = photo_source AND medium = 'photos'
    WHERE photo_source IS NULL OR photo_source NOT IN (SELECT source FROM folders)
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
