"""The one place that speaks to the library peft.

In: options of one of its tuners.
Out: a tuned model.
Part of the room around it.
"""
