"""Distillation, one technique a file or folder: a network is trained to give what a teacher gives."""
