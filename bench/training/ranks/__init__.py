"""One trial on several ranks: processes that each take a part of every batch, with the whole model or a shard of it.

In: a store in which the ranks of a trial find each other, a model.
Out: sums over ranks, words that all of them have agreed on, a model that adds up its gradients.
May import: util.
Libraries: torch.
"""
