-- Which rule costs each identity its faces
SELECT identity, reason, count(*) AS faces, [sha256[:8] FOR sha256 IN min(photo_sha256, 3)] AS some_photos
FROM faces
WHERE verdict = 'reject'
GROUP BY identity, reason
ORDER BY identity, faces DESC, reason;
