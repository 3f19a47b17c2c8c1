"""Q/DQ graphs: observing, placing, repairing and writing them; what the techniques of quantize/ are made of."""
