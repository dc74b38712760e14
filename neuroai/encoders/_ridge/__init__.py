"""Pure functions under :class:`neuroai.encoders.RidgeCV`: arrays in, arrays out, no state."""
