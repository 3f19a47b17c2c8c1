"""What runs on the board: one archive of standard-library Python, called over SSH; see :mod:`edgekit_hil.board`.

It holds the lease, the jobs and the store, because the board outlives the link, the coordinator and the host.
"""
