"""Speech to text by Whisper, run by faster-whisper and CTranslate2, without torch."""
