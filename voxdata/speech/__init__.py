"""From speech files to log-mels: find, decode, voice activity, front ends, decide."""
