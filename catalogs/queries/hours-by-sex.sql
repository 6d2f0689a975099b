-- Hours of kept speech, people and portraits by sex and nationality
SELECT
    coalesce(sex, 'unknown') AS sex,
    coalesce(nationality, 'unknown') AS nationality,
    count(DISTINCT person) AS people,
    sum(portraits)::BIGINT AS portraits,
    sum(kept_clips)::BIGINT AS utterances,
    round(sum(speech_s) / 3600, 3) AS hours
FROM identity_summary
WHERE split IS NOT NULL
GROUP BY ALL
ORDER BY hours DESC, sex, nationality;
