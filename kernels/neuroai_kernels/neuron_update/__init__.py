"""One step of every neuron: drive, synapses, integration, threshold, refractoriness, list of spikes."""
