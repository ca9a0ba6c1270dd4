"""Graphs of many samples on disk, for any SQL engine: a folder of Parquet, partitioned by sample.

>>> import tripoint as tp
>>> db = tp.GraphDatabase("graphs")           # or s3://bucket/graphs
>>> db.add(result)                            # of tp.analyze or tp.load
>>> db.sql("select sample, avg(activity) from nodes group by sample")
>>> db["cathode"]                             # the Graph again

`store` puts files into a folder or an object store, `layout` says which of them count, `parts` turns a sample
into Parquet, `views` gives DuckDB the tables, `compaction` and `verification` look after them.
"""

from tripoint.database.graphs import GraphDatabase
from tripoint.database.verification import Finding

__all__ = ["Finding", "GraphDatabase"]
