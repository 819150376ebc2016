"""Speech in an enrolled voice by XTTS-v2 (coqui-tts): a worker with an environment of its own."""
