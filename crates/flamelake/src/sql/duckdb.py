# Of `flamelake sql`. Arguments: the file with the views; the form of the answer and a statement, or nothing for a shell.
import csv
import json
import sys

import duckdb

connection = duckdb.connect()
with open(sys.argv[1]) as views:
    connection.execute(views.read())


def sql(statement):
    return connection.sql(statement)


def answer(form, statement):
    if form == "table":
        found = connection.sql(statement)
        if found is not None:
            found.show(max_rows=1000, max_width=10000)
        return
    cursor = connection.execute(statement)
    names = [column[0] for column in cursor.description or []]
    if form == "csv":
        rows = csv.writer(sys.stdout, lineterminator="\r\n")
        rows.writerow(names)
        rows.writerows(cursor.fetchall())
    else:
        rows = [dict(zip(names, row)) for row in cursor.fetchall()]
        print(json.dumps(rows, default=str, indent=2, ensure_ascii=False))


if len(sys.argv) > 3:
    try:
        answer(sys.argv[2], sys.argv[3])
    except duckdb.Error as error:
        sys.exit(f"{type(error).__name__}: {error}")
else:
    print('sql("select * from series") runs a statement; connection is the connection.')
