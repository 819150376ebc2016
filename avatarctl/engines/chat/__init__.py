"""Answers written by language models that a server runs: Ollama, or any that speaks OpenAI's protocol."""
