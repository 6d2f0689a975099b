-- What trainings draw from. `voxdata/catalog/asked.py` gives it to connections, too.

CREATE VIEW pairs AS
WITH last_words AS (
    -- As the journal orders them (voxdata/store/journal.py); of words of one number the opt-out counts.
    SELECT
        person,
        arg_max(coalesce(decision, 'opted_out'), row(
            coalesce(try_cast(regexp_extract(fact, '^([0-9]+)-', 1) AS BIGINT), 0),
            CASE WHEN regexp_matches(fact, '^[0-9]+-') THEN coalesce(decision, 'opted_out') = 'opted_out' ELSE false END,
            replace(stated_at, 'Z', '+00:00'),
            coalesce(decision, 'opted_out') = 'opted_out',
            fact
        )) AS decision
    FROM optouts GROUP BY person
),
withheld AS (SELECT person FROM last_words WHERE decision = 'opted_out')
SELECT
    pictured.split,
    pictured.person,
    identities.name,
    pictured.key AS portrait,
    heard.key AS utterance,
    utterances.holdout,
    pictured.tar AS portrait_tar,
    heard.tar AS utterance_tar
FROM samples AS pictured
JOIN samples AS heard
    ON heard.kind = 'speech' AND heard.person = pictured.person AND heard.split = pictured.split
JOIN utterances ON utterances.utterance_id = heard.key AND utterances.verdict = 'keep'
LEFT JOIN identities ON identities.identity = pictured.person
WHERE pictured.kind = 'faces'
    AND pictured.person NOT IN (FROM withheld)
    AND pictured.identity NOT IN (FROM withheld)
    AND heard.identity NOT IN (FROM withheld);
COMMENT ON VIEW pairs IS 'Each portrait with each utterance of the same person and split, as trainings draw them, without people who opted out before the catalog was built; trainings leave out what has holdout';
