-- From the first thousand samples back to the file or URL that each was made from; the view provenance has all
WITH chosen AS MATERIALIZED (SELECT kind, key FROM samples ORDER BY kind, key LIMIT 1000)
SELECT * FROM provenance WHERE kind = 'faces' AND key IN (SELECT key FROM chosen WHERE kind = 'faces')
UNION ALL
SELECT * FROM provenance WHERE kind = 'speech' AND key IN (SELECT key FROM chosen WHERE kind = 'speech')
ORDER BY kind, key;
