-- Urls that could not be had, by host and reason, as the last attempt at each ended
WITH ended AS (
    SELECT host, source_path, status, http_status, detail, attempted_at
    FROM attempts
    WHERE host IS NOT NULL OR status = 'bad_url'  -- what is no url has no host
    QUALIFY row_number() OVER (PARTITION BY source_path ORDER BY attempted_at DESC) = 1
)
SELECT
    host,
    status,
    http_status,
    count(*) AS urls,
    min(detail) AS for_example,
    strftime(max(attempted_at), '%Y-%m-%dT%H:%M:%SZ') AS last_at
FROM ended
WHERE status NOT IN ('stored', 'unchanged', 'page', 'robots', 'moved')
GROUP BY host, status, http_status
ORDER BY urls DESC, host, status, http_status;
