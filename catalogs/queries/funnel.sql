-- What became of every face: kept, or the first rule that rejected it
SELECT outcome, items, people, share FROM funnel WHERE kind = 'faces';
