-- From the first thousand samples back to the file or URL that each was made from; the view provenance has all
SELECT * FROM provenance
WHERE key IN (SELECT key FROM samples ORDER BY kind, key LIMIT 1000)
ORDER BY kind, key;
