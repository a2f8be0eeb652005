-- Views over the files of one block, for DuckDB in the block's folder. Described in block.md. With this file beside them:
-- python3 -c "import duckdb; duckdb.execute(open('block.sql').read()); duckdb.sql('select profile_type, name, self, total from flame_graph').show()"

-- Every sample with its real value, its profile, its series and the function it ends in.
CREATE VIEW samples_resolved AS
SELECT s.part, r.service_name, r.profile_type, r.labels,
       p.time_ns, p.profile_id, p.duration_ns, p.period,
       s.series, s.profile, s.stack, k.fnstack,
       CASE WHEN k.fnstack = 0 THEN '' ELSE f.name END AS function_name,
       s.value * r.scale AS value, s.span_id, s.trace_id
FROM 'samples.parquet' s
JOIN 'series.parquet' r ON r.part = s.part AND r.series = s.series
JOIN 'profiles.parquet' p ON p.part = s.part AND p.profile = s.profile
JOIN 'stacks.parquet' k ON k.part = s.part AND k.stack = s.stack
JOIN 'fnstacks.parquet' n ON n.part = k.part AND n.fnstack = k.fnstack
LEFT JOIN 'functions.parquet' f ON f.part = n.part AND f.function = n.function;

-- The function tree: parent, name, and the end of the subtree (exclusive).
CREATE VIEW function_tree AS
SELECT n.part, n.fnstack, n.fnstack - n.up AS parent, n.fnstack + n.size AS fnstack_end,
       CASE WHEN n.fnstack = 0 THEN 'total' ELSE f.name END AS name
FROM 'fnstacks.parquet' n
LEFT JOIN 'functions.parquet' f ON f.part = n.part AND f.function = n.function;

-- The flame graph of each partition and profile type: what each node holds itself, and with its callees.
CREATE VIEW flame_graph AS
WITH ends AS (
    SELECT part, profile_type, fnstack, sum(value) AS value, count(*) AS samples
    FROM samples_resolved GROUP BY part, profile_type, fnstack
)
SELECT t.part, e.profile_type, t.fnstack, t.parent, t.name,
       coalesce(sum(e.value) FILTER (WHERE e.fnstack = t.fnstack), 0) AS self,
       sum(e.value) AS total, sum(e.samples) AS samples
FROM function_tree t
JOIN ends e ON e.part = t.part AND e.fnstack >= t.fnstack AND e.fnstack < t.fnstack_end
GROUP BY ALL;
