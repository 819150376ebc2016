"""Tests of engines that have environments of their own, on small random weights; `make test-studio` runs them."""
