"""Engines on other companies' machines: Deepgram, Google's Gemini, HeyGen. None is ever chosen by default, and each
is asked only where the user has allowed it."""
