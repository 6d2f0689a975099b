-- Photos of each person that each source named, that came, that show a face, and that gave portraits, against the paper's 300
WITH named AS (
    SELECT identity, source, count(DISTINCT source_path) AS found
    FROM candidates
    WHERE source_path IS NOT NULL AND identity IS NOT NULL
    GROUP BY ALL
),
came AS (
    SELECT identity, source, count(DISTINCT source_path) AS fetched
    FROM attempts
    WHERE status IN ('stored', 'unchanged') AND identity IS NOT NULL AND source IS NOT NULL
    GROUP BY ALL
),
counted AS (
    SELECT
        identity,
        photo_source,
        any_value(person) AS person,
        count(*) FILTER (WHERE face_number <= 1) AS fetched,
        count(*) FILTER (WHERE portrait) AS portraits
    FROM faces
    GROUP BY ALL
),
-- apart, so that hashes are told from each other among the few faces that were kept only
passed AS (
    SELECT identity, photo_source, count(DISTINCT photo_sha256) AS kept
    FROM faces
    WHERE verdict = 'keep'
    GROUP BY ALL
),
measured AS (
    SELECT counted.identity, counted.photo_source AS source, person, fetched, coalesce(kept, 0) AS kept, portraits
    FROM counted
    LEFT JOIN passed
        ON passed.identity = counted.identity AND passed.photo_source IS NOT DISTINCT FROM counted.photo_source
),
-- Photos of folders are in no attempt, and those that came since the last build are not measured.
seen AS (
    SELECT identity, source, person, kept, portraits,
        greatest(coalesce(measured.fetched, 0), coalesce(came.fetched, 0)) AS fetched
    FROM measured
    FULL JOIN came USING (identity, source)
)
SELECT
    coalesce(named.identity, seen.identity) AS identity,
    coalesce(named.source, seen.source) AS source,
    greatest(coalesce(named.found, 0), coalesce(seen.fetched, 0)) AS found,
    coalesce(seen.fetched, 0) AS fetched,
    coalesce(seen.kept, 0) AS kept,
    coalesce(seen.portraits, 0) AS portraits,
    round(coalesce(seen.fetched, 0) / 300, 3) AS share_of_300
FROM named
FULL JOIN seen ON seen.identity = named.identity AND seen.source = named.source
ORDER BY fetched, found, identity, source;
