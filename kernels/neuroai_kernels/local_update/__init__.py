"""Hebbian updates without an autograd graph."""

from neuroai_kernels.local_update.reference import local_update as local_update
