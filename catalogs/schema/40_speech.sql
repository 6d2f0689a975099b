-- Clips and what was decided about each.

CREATE TABLE utterances (
    item_id VARCHAR GENERATED ALWAYS AS (
        utterance_id || '@' || coalesce(audio_sha256, 'unreadable')[:16]
    ) VIRTUAL,
    identity VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    bucket INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 4095),
    utterance_id VARCHAR GENERATED ALWAYS AS (
        coalesce(utterance_name, identity || '/' || video || '_' || segment)
    ) VIRTUAL,
    utterance_name VARCHAR,
    video VARCHAR,
    segment VARCHAR,
    source VARCHAR,
    source_key VARCHAR,
    audio_sha256 VARCHAR,
    verdict VARCHAR NOT NULL CHECK (verdict IN ('keep', 'reject')),
    reason VARCHAR,
    reasons VARCHAR[],
    holdout BOOLEAN,
    speech_status VARCHAR NOT NULL,
    status_detail VARCHAR,
    decoder VARCHAR,
    sample_rate_hz INTEGER,
    channels INTEGER,
    duration_s REAL,
    vad VARCHAR,
    vad_ratio REAL,
    gate_ratio REAL,
    music_ratio REAL,
    silero_ratio REAL,
    speech_s REAL,
    segments INTEGER,
    snr_db REAL,
    clipped_share REAL,
    dc_offset REAL,
    loudness_dbfs REAL,
    pitch_median_hz REAL,
    pitch_range_st REAL,
    spectral_flatness REAL,
    bandwidth_hz REAL,
    loop_s REAL,
    loop_similarity REAL,
    frames_torch40 INTEGER,
    frames_torch64 INTEGER,
    frames_psf40 INTEGER,
    frames_sphinx64 INTEGER,
    vad_psf40 VARCHAR,
    vad_ratio_psf40 REAL,
    vad_sphinx64 VARCHAR,
    vad_ratio_sphinx64 REAL,
    pcm_sha256 VARCHAR
);
COMMENT ON TABLE utterances IS 'Every clip that was listened to, kept or not';
COMMENT ON COLUMN utterances.item_id IS '<utterance_id>@<start of audio_sha256>';
COMMENT ON COLUMN utterances.identity IS 'VoxCeleb id or folder name';
COMMENT ON COLUMN utterances.person IS 'Canonical person above the identity';
COMMENT ON COLUMN utterances.bucket IS 'Hash bucket of the person';
COMMENT ON COLUMN utterances.utterance_id IS 'Shard key';
COMMENT ON COLUMN utterances.utterance_name IS 'Its shard key, where that is not <identity>/<video>_<segment>';
COMMENT ON COLUMN utterances.video IS 'Video that it was cut from';
COMMENT ON COLUMN utterances.segment IS 'Segment of the video';
COMMENT ON COLUMN utterances.source IS 'Kind of source';
COMMENT ON COLUMN utterances.source_key IS 'Path under the source';
COMMENT ON COLUMN utterances.audio_sha256 IS 'sha256 of the file';
COMMENT ON COLUMN utterances.verdict IS 'keep or reject';
COMMENT ON COLUMN utterances.reason IS 'First rule that it failed; null when kept';
COMMENT ON COLUMN utterances.reasons IS 'All rules that it failed';
COMMENT ON COLUMN utterances.holdout IS 'In the training split, kept for closed-set tests; null when not in the dataset';
COMMENT ON COLUMN utterances.speech_status IS 'ok, unreadable, empty or too_long';
COMMENT ON COLUMN utterances.status_detail IS 'What was wrong';
COMMENT ON COLUMN utterances.decoder IS 'What decoded it';
COMMENT ON COLUMN utterances.sample_rate_hz IS 'Of the file';
COMMENT ON COLUMN utterances.channels IS 'Of the file';
COMMENT ON COLUMN utterances.duration_s IS 'Length of the clip';
COMMENT ON COLUMN utterances.vad IS 'Voice activity setting';
COMMENT ON COLUMN utterances.vad_ratio IS 'Share of frames that WebRTC calls speech, after smoothing';
COMMENT ON COLUMN utterances.gate_ratio IS 'Share of those that the second gate confirms';
COMMENT ON COLUMN utterances.music_ratio IS 'Share of those that the second gate calls music';
COMMENT ON COLUMN utterances.silero_ratio IS 'Share of the clip that Silero calls speech; null when not asked for';
COMMENT ON COLUMN utterances.speech_s IS 'Speech after both gates';
COMMENT ON COLUMN utterances.segments IS 'Stretches of speech';
COMMENT ON COLUMN utterances.snr_db IS 'Speech over background';
COMMENT ON COLUMN utterances.clipped_share IS 'Share of clipped samples';
COMMENT ON COLUMN utterances.dc_offset IS 'Mean of the samples, full scale 1';
COMMENT ON COLUMN utterances.loudness_dbfs IS 'Level of the speech';
COMMENT ON COLUMN utterances.pitch_median_hz IS 'Median fundamental frequency';
COMMENT ON COLUMN utterances.pitch_range_st IS '10th to 90th percentile of pitch, semitones';
COMMENT ON COLUMN utterances.spectral_flatness IS '1 for noise, 0 for a tone';
COMMENT ON COLUMN utterances.bandwidth_hz IS 'Highest frequency with content';
COMMENT ON COLUMN utterances.loop_s IS 'Period of a repetition; null when the clip does not repeat';
COMMENT ON COLUMN utterances.loop_similarity IS 'Correlation of the repetition; 1 sample by sample, less after a lossy codec';
COMMENT ON COLUMN utterances.frames_torch40 IS 'Frames of the 40-bin log-mel';
COMMENT ON COLUMN utterances.frames_torch64 IS 'Frames of the 64-bin log-mel';
COMMENT ON COLUMN utterances.frames_psf40 IS 'Frames of the log-mel of SF2F''s code; null when not asked for';
COMMENT ON COLUMN utterances.frames_sphinx64 IS 'Frames of the log-mel of voice2face''s code; null when not asked for';
COMMENT ON COLUMN utterances.vad_psf40 IS 'Voice activity setting of psf40; null when not asked for';
COMMENT ON COLUMN utterances.vad_ratio_psf40 IS 'Share of frames that it calls speech, after smoothing';
COMMENT ON COLUMN utterances.vad_sphinx64 IS 'Voice activity setting of sphinx64; null when not asked for';
COMMENT ON COLUMN utterances.vad_ratio_sphinx64 IS 'Share of frames that it calls speech, after smoothing';
COMMENT ON COLUMN utterances.pcm_sha256 IS 'sha256 of the decoded 16 kHz samples';
