"""Where photos and speech come from."""
