-- People, portraits, utterances and portrait size per split, as in Table 1 of the paper
SELECT * FROM split_summary;
