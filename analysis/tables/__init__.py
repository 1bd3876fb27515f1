"""Tables in words: columns, formats.

In: frames.
Out: CSV, Markdown, LaTeX, Parquet.
May import: load.
Libraries: pandas, pyarrow.
"""
