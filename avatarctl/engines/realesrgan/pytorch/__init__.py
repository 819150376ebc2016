"""Published weights of upscalers under torch. It runs in a worker, whose environment has torch and spandrel."""
