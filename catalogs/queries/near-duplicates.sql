-- Clusters of exact and near-duplicate photos, those shared by several people first
WITH members AS (
    SELECT photo_cluster, cluster_people, cluster_photos, identity, photo_sha256 FROM faces WHERE cluster_photos > 1
    UNION ALL
    SELECT photo_cluster, cluster_people, cluster_photos, identity, photo_sha256 FROM faces
    WHERE cluster_people > 1 AND cluster_photos <= 1
)
SELECT
    photo_cluster,
    any_value(cluster_people) AS people,
    any_value(cluster_photos) AS photos,
    list_sort(list_distinct(list(identity))) AS identities,
    list_sort(list_distinct(list(photo_sha256[:16]))) AS photo_sha256_starts
FROM members
GROUP BY photo_cluster
ORDER BY people DESC, photos DESC, photo_cluster;
