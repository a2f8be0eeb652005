"""What DuckDB sees of a tenant's blocks, by the views of docs/formats/block.sql. Arguments: that file, the folder with the blocks.

Lines, parted by tabs, each block its own: `sum SERVICE TYPE FUNCTION VALUE`, the sum of samples that end in the function, and
`profiles SERVICE TYPE COUNT TOTAL`.
"""
import os
import sys

import duckdb

views, blocks = open(sys.argv[1]).read(), os.path.abspath(sys.argv[2])
for block in sorted(os.listdir(blocks)):
    os.chdir(os.path.join(blocks, block))
    connection = duckdb.connect()
    connection.execute(views)
    queries = {
        "sum": "SELECT service_name, profile_type, function_name, sum(value)::BIGINT FROM samples_resolved GROUP BY ALL",
        "profiles": """SELECT r.service_name, r.profile_type, count(*), sum(p.total)::BIGINT FROM 'profiles.parquet' p
            JOIN 'series.parquet' r ON r.part = p.part AND r.series = p.series GROUP BY ALL""",
    }
    for kind, query in queries.items():
        for row in connection.execute(query).fetchall():
            print(kind, *row, sep="\t")
