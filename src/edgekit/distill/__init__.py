"""Training towards a teacher: a method a module, all of one way (``_work``).

The network of the steps before, or a ``student`` of the user's own, is trained to do what a teacher does on the frames
of data.training, which need no labels; the loss of the task on labelled frames may stand beside it.  The teacher is the
user's network as it was before every step, or the model of another spec.
"""
