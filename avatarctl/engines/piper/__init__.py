"""Voices of Piper (VITS, ONNX) through onnxruntime, with espeak-ng's phonemes: no torch, and no code of Piper's own."""
