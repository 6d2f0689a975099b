-- Which rule costs each identity its faces
SELECT
    identity,
    outcome AS reason,
    sum(items)::BIGINT AS faces,
    list_sort(flatten(list(first_hashes)))[:3] AS some_photos
FROM outcomes
WHERE kind = 'faces' AND verdict = 'reject'
GROUP BY identity, outcome
ORDER BY identity, faces DESC, reason;
