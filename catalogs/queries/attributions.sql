-- Who is to be named for each portrait of the current snapshot, under which licence, and where the photo is shown
SELECT
    faces.photo_licence AS licence,
    faces.photo_author AS author,
    faces.photo_attribution AS attribution,
    faces.photo_restrictions AS restrictions,
    faces.photo_licence_url AS licence_url,
    coalesce(faces.photo_page_url, faces.photo_source_key) AS page_url,
    faces.identity,
    samples.key
FROM samples
JOIN faces ON faces.face_id = samples.key AND faces.portrait
WHERE samples.kind = 'faces'
ORDER BY ALL;
