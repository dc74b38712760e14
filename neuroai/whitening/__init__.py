"""Adaptive whitening: frames, gains, circuits, and the classical methods beside them."""

from neuroai.whitening import baselines as baselines
from neuroai.whitening import circuit as circuit
from neuroai.whitening import convergence as convergence
from neuroai.whitening import frames as frames
from neuroai.whitening.gain_whitener import GainWhitener as GainWhitener
from neuroai.whitening.gains import newton_gains as newton_gains
from neuroai.whitening.gains import nonnegative_gains as nonnegative_gains
from neuroai.whitening.gains import optimal_gains as optimal_gains
