"""The files of an export, as commands write, read and verify them."""
