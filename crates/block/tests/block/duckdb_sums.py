"""Prints service, profile type, function and the sum of the samples that end in it, of the block in the current folder.

Argument: the file with the views. Sums by plain SQL, once from the samples and once through the view flame_graph, which must agree.
"""
import sys

import duckdb

connection = duckdb.connect()
connection.execute(open(sys.argv[1]).read())
rows = connection.execute("""
    SELECT service_name, profile_type, function_name, sum(value)::BIGINT
    FROM samples_resolved GROUP BY ALL
""").fetchall()
for row in sorted(rows, key=lambda row: [text.encode() for text in row[:3]]):
    print(*row, sep="\t")

total, = connection.execute("SELECT sum(value)::BIGINT FROM samples_resolved").fetchone()
root, = connection.execute("SELECT sum(total)::BIGINT FROM flame_graph WHERE fnstack = 0").fetchone()
profiles, = connection.execute("SELECT sum(total)::BIGINT FROM 'profiles.parquet'").fetchone()
assert total == root == profiles, (total, root, profiles)
broken, = connection.execute("""
    SELECT count(*) FROM flame_graph child JOIN flame_graph parent
    ON parent.part = child.part AND parent.profile_type = child.profile_type AND parent.fnstack = child.parent
    WHERE child.fnstack > 0 AND child.samples > parent.samples
""").fetchone()
assert broken == 0, broken
