"""Speech to text by PocketSphinx: English only, rough, and with nothing to download."""
