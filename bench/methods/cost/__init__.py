"""What a method costs on a model: parameters and FLOPs, in closed form where there is one, else by building it.

In: a method and an architecture.
Out: counts and FLOPs.
Part of the room around it.
"""
