-- What became of faces and clips in one version and in another: items per outcome, the largest change first
SELECT
    kind,
    outcome,
    coalesce(was.items, 0) AS items_before,
    coalesce(is_.items, 0) AS items_now,
    items_now - items_before AS change,
    coalesce(was.share, 0) AS share_before,
    coalesce(is_.share, 0) AS share_now
FROM before.funnel AS was FULL JOIN funnel AS is_ USING (kind, outcome)
ORDER BY abs(change) DESC, kind, outcome;
