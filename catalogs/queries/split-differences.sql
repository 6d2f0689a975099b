-- Identities in another split than the one SF2F released, metadata row mod 10 (8 test, 9 val): under splits.rule=paper, who goes by the row of the other list
WITH released AS (
    SELECT
        *,
        CASE metadata_row % 10 WHEN 8 THEN 'test' WHEN 9 THEN 'val' ELSE 'train' END AS released_split
    FROM identities
    WHERE split IS NOT NULL AND metadata_row IS NOT NULL
)
SELECT
    released.person,
    released.identity,
    released.name,
    released.metadata_row,
    released.split,
    released_split,
    canonical.name AS person_name,
    canonical.metadata_row AS person_metadata_row
FROM released LEFT JOIN identities AS canonical ON canonical.identity = released.person
WHERE released.split <> released_split
ORDER BY released.person, released.identity;
