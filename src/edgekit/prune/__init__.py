"""Pruning, one technique a file or folder: a network loses what its engine has to compute for too little gain."""
