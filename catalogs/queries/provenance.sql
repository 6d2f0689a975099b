-- From every sample back to the file or URL that it was made from
SELECT * FROM provenance ORDER BY kind, key;
