"""Large populations of spiking neurons: networks declared in plain Python, run by compiled loops."""
