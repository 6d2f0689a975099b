-- What became of every clip: kept, or the first rule that rejected it
SELECT outcome, items, people, share FROM funnel WHERE kind = 'speech';
