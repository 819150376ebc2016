"""Silero's Russian voices: a package of torch that carries its own code, opened only with the digest that is known."""
