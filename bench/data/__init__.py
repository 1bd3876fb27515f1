"""From a task to rows and tokens: read, checked whole, split, tokenised once per node.

In: a task and the user's files.
Out: rows with labels, splits, tokens, batches.
May import: util, metrics, tasks, data.embedded.
Libraries: datasets, torch.
"""
