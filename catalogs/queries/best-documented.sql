-- The hundred people with the most portraits, and of equals those with the most speech
WITH
pictured AS (
    SELECT person, count(*) AS portraits, round(max(quality), 3) AS best_quality
    FROM faces WHERE portrait GROUP BY person
),
heard AS (
    SELECT person, count(*) AS utterances, sum(speech_s) AS speech_s
    FROM utterances WHERE verdict = 'keep' GROUP BY person
),
best AS (
    FROM pictured JOIN heard USING (person)
    ORDER BY portraits DESC, speech_s DESC, person
    LIMIT 100
),
filmed AS (
    SELECT person, count(DISTINCT video) AS videos
    FROM utterances SEMI JOIN best USING (person)
    WHERE verdict = 'keep' GROUP BY person
),
named AS (
    SELECT person, arg_min(name, (identity <> person, identity)) AS name, any_value(split) AS split
    FROM identities GROUP BY person
)
SELECT person, name, split, portraits, best_quality, utterances, videos, round(speech_s / 60, 3) AS speech_min
FROM best JOIN filmed USING (person) LEFT JOIN named USING (person)
ORDER BY portraits DESC, speech_s DESC, person;
