"""From samples to head vectors: windows, packing, prompts, batches and forward passes."""
