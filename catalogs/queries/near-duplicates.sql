-- Clusters of exact and near-duplicate photos, those shared by several people first
SELECT
    photo_cluster,
    any_value(cluster_people) AS people,
    count(DISTINCT links.photo_sha256) AS photos,
    list(DISTINCT faces.identity ORDER BY faces.identity) AS identities,
    list(DISTINCT links.photo_sha256[:16] ORDER BY links.photo_sha256[:16]) AS photo_sha256_starts
FROM links JOIN faces USING (face_id)
GROUP BY photo_cluster
HAVING max(cluster_photos) > 1 OR max(cluster_people) > 1
ORDER BY people DESC, photos DESC, photo_cluster;
