-- Views over all live blocks of a tenant, for DuckDB 2.0 and later. `flamelake sql` runs them, and `flamelake sql --print` prints them with what must
-- stand before them:
--   SET VARIABLE flamelake_blocks = ['/data/tenants/anonymous/blocks/01…', …];
-- Which blocks are live says the catalog (catalog.md): others in the folder are replaced, or not committed. Tables are those of block.md. Their numbers
-- hold within a partition of a block, so everything is joined by (block, part) and one more column. Times are UTC.

CREATE OR REPLACE MACRO flamelake_files(name) AS
    [block || '/' || name || '.parquet' FOR block IN getvariable('flamelake_blocks')];

-- Now, in UTC as `time` is: now() would be taken for the time of this machine's zone.
CREATE OR REPLACE MACRO utc_now() AS make_timestamp(epoch_us(now()));

-- A span id as it is written in traces: the stored number has its first byte last.
CREATE OR REPLACE MACRO flamelake_span(number) AS
    lower(substr(lpad(hex(number), 16, '0'), 15, 2) || substr(lpad(hex(number), 16, '0'), 13, 2)
       || substr(lpad(hex(number), 16, '0'), 11, 2) || substr(lpad(hex(number), 16, '0'), 9, 2)
       || substr(lpad(hex(number), 16, '0'), 7, 2) || substr(lpad(hex(number), 16, '0'), 5, 2)
       || substr(lpad(hex(number), 16, '0'), 3, 2) || substr(lpad(hex(number), 16, '0'), 1, 2));

-- Label sets, and what each holds.
CREATE OR REPLACE VIEW series AS
SELECT parse_path(block_file)[-2] AS block, part, series, service_name, profile_type, labels,
       make_timestamp(min_time_ns // 1000) AS min_time, make_timestamp(max_time_ns // 1000) AS max_time,
       profiles, samples, total, scale
FROM read_parquet(flamelake_files('series'), filename = 'block_file', union_by_name = true);

-- Profiles: one sample type at one time. A total needs no other table.
CREATE OR REPLACE VIEW profiles AS
SELECT r.block, r.part, r.series, p.profile, r.service_name, r.profile_type, r.labels,
       make_timestamp(p.time_ns // 1000) AS time, p.time_ns, CAST(hex(p.profile_id) AS UUID) AS profile_id, p.duration_ns,
       p.period, p.total, p.samples
FROM read_parquet(flamelake_files('profiles'), filename = 'block_file', union_by_name = true) p
JOIN series r ON r.block = parse_path(p.block_file)[-2] AND r.part = p.part AND r.series = p.series;

-- Samples with their real value: what a stack cost in a profile.
CREATE OR REPLACE VIEW samples AS
SELECT r.block, r.part, r.series, s.profile, s.stack, s.value * r.scale AS value,
       flamelake_span(s.span_id) AS span_id, lower(hex(s.trace_id)) AS trace_id
FROM read_parquet(flamelake_files('samples'), filename = 'block_file', union_by_name = true) s
JOIN series r ON r.block = parse_path(s.block_file)[-2] AND r.part = s.part AND r.series = s.series;

-- Call stacks of locations as a tree in preorder: the subtree of a node is stack … stack_end (exclusive).
CREATE OR REPLACE VIEW stacks AS
SELECT parse_path(block_file)[-2] AS block, part, stack, stack - up AS parent, stack + size AS stack_end, location, fnstack
FROM read_parquet(flamelake_files('stacks'), filename = 'block_file', union_by_name = true);

-- Lines of locations: several where functions were inlined, 0 is the innermost.
CREATE OR REPLACE VIEW frames AS
SELECT parse_path(block_file)[-2] AS block, * EXCLUDE (block_file)
FROM read_parquet(flamelake_files('frames'), filename = 'block_file', union_by_name = true);

CREATE OR REPLACE VIEW functions AS
SELECT parse_path(block_file)[-2] AS block, part, function, name, coalesce(system_name, name) AS system_name, filename, start_line
FROM read_parquet(flamelake_files('functions'), filename = 'block_file', union_by_name = true);

-- The tree of functions in preorder; `total` is its root.
CREATE OR REPLACE VIEW function_tree AS
SELECT n.block, n.part, n.fnstack, n.fnstack - n.up AS parent, n.fnstack + n.size AS fnstack_end,
       CASE WHEN n.fnstack = 0 THEN 'total' ELSE f.name END AS name
FROM (SELECT parse_path(block_file)[-2] AS block, * EXCLUDE (block_file)
      FROM read_parquet(flamelake_files('fnstacks'), filename = 'block_file', union_by_name = true)) n
LEFT JOIN functions f ON f.block = n.block AND f.part = n.part AND f.function = n.function AND n.fnstack > 0;

-- Every sample with its profile and the function that it ends in: empty where no frame of the stack has a name.
CREATE OR REPLACE VIEW samples_by_function AS
SELECT s.block, s.part, p.service_name, p.profile_type, p.labels, p.time, p.profile_id, s.stack, k.fnstack,
       CASE WHEN k.fnstack = 0 THEN '' ELSE n.name END AS function, s.value, s.span_id, s.trace_id
FROM samples s
JOIN profiles p ON p.block = s.block AND p.part = s.part AND p.profile = s.profile
JOIN stacks k ON k.block = s.block AND k.part = s.part AND k.stack = s.stack
JOIN function_tree n ON n.block = k.block AND n.part = k.part AND n.fnstack = k.fnstack;

-- The flame graph of a profile type, by block and partition: what each node holds itself, and with what it called. Arguments after the first
-- may be left out; of_label and label_value go together.
CREATE OR REPLACE MACRO flame_graph(wanted_type, of_service := NULL, of_label := NULL, label_value := NULL, since := NULL, until := NULL) AS TABLE
WITH ends AS (
    SELECT s.block, s.part, k.fnstack, sum(s.value) AS value
    FROM samples s
    JOIN profiles p ON p.block = s.block AND p.part = s.part AND p.profile = s.profile
    JOIN stacks k ON k.block = s.block AND k.part = s.part AND k.stack = s.stack
    WHERE p.profile_type = wanted_type AND (of_service IS NULL OR p.service_name = of_service)
      AND (of_label IS NULL OR p.labels[of_label] = label_value)
      AND (since IS NULL OR p.time >= since) AND (until IS NULL OR p.time <= until)
      AND s.value > 0 AND k.fnstack > 0
    GROUP BY ALL
),
-- In preorder the sum of a subtree is the difference of two running sums.
nodes AS (
    SELECT t.*, coalesce(e.value, 0) AS own,
           sum(coalesce(e.value, 0)) OVER (PARTITION BY t.block, t.part ORDER BY t.fnstack) AS running
    FROM function_tree t
    LEFT JOIN ends e ON e.block = t.block AND e.part = t.part AND e.fnstack = t.fnstack
)
SELECT n.block, n.part, n.fnstack, n.parent, n.fnstack_end, n.name, n.own AS self, last.running - n.running + n.own AS total
FROM nodes n
JOIN nodes last ON last.block = n.block AND last.part = n.part AND last.fnstack = n.fnstack_end - 1
WHERE last.running - n.running + n.own > 0;

-- What each function cost itself, and with what it called: recursion counts once. Shares are of everything that was selected.
CREATE OR REPLACE MACRO top_functions(wanted_type, of_service := NULL, of_label := NULL, label_value := NULL, since := NULL, until := NULL) AS TABLE
WITH nodes AS (
    -- An earlier node of the same name whose subtree is still open is a caller.
    SELECT name, self, total,
           coalesce(max(fnstack_end) OVER (PARTITION BY block, part, name ORDER BY fnstack
                                           ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) <= fnstack AS outermost
    FROM flame_graph(wanted_type, of_service, of_label, label_value, since, until)
    WHERE fnstack > 0
),
everything AS (SELECT sum(self) AS total FROM nodes)
SELECT name AS function, CAST(sum(self) AS BIGINT) AS self,
       CAST(coalesce(sum(total) FILTER (WHERE outermost), 0) AS BIGINT) AS total,
       sum(self) * 100.0 / (SELECT total FROM everything) AS self_percent,
       coalesce(sum(total) FILTER (WHERE outermost), 0) * 100.0 / (SELECT total FROM everything) AS total_percent
FROM nodes
GROUP BY name
ORDER BY self DESC, total DESC, function;

-- How the own share of each function changed between two values of a label: diff_functions('process_cpu:…', 'version', '1', '2').
CREATE OR REPLACE MACRO diff_functions(wanted_type, by_label, before, after, in_service := NULL, from_time := NULL, to_time := NULL) AS TABLE
SELECT coalesce(b.function, a.function) AS function, coalesce(b.self, 0) AS self_before, coalesce(a.self, 0) AS self_after,
       coalesce(b.self_percent, 0) AS self_percent_before, coalesce(a.self_percent, 0) AS self_percent_after,
       coalesce(a.self_percent, 0) - coalesce(b.self_percent, 0) AS self_change,
       coalesce(b.total_percent, 0) AS total_percent_before, coalesce(a.total_percent, 0) AS total_percent_after
FROM top_functions(wanted_type, in_service, by_label, before, from_time, to_time) b
FULL JOIN top_functions(wanted_type, in_service, by_label, after, from_time, to_time) a ON a.function = b.function
ORDER BY abs(coalesce(a.self_percent, 0) - coalesce(b.self_percent, 0)) DESC, function;
