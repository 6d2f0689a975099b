-- Clips with the same sound, those that are filed under several people first
SELECT
    count(DISTINCT person) AS people,
    count(*) AS clips,
    count(*) FILTER (WHERE verdict = 'keep') AS kept,
    list(utterance_id ORDER BY utterance_id) AS utterances
FROM utterances
WHERE pcm_sha256 IN (
    SELECT pcm_sha256 FROM utterances
    WHERE list_has_any(reasons, ['shared_clip', 'duplicate'])
)
GROUP BY pcm_sha256
ORDER BY people DESC, clips DESC, utterances;
