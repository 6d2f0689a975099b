-- Which rule costs each identity its faces
SELECT identity, reason, count(*) AS faces, list(photo_sha256[:8] ORDER BY photo_sha256)[:3] AS some_photos
FROM faces
WHERE verdict = 'reject'
GROUP BY identity, reason
ORDER BY identity, faces DESC, reason;
