-- Lines that are not there yet: $1 JSON array of {digest, spec, from, to, mask, hold, batch_norm, subset,
-- elsewhere, align, normalize, grid, budget}. Index: UNIQUE (digest).
INSERT INTO lines (digest, spec, from_tag, to_tag, mask, hold, batch_norm, subset, elsewhere, align, normalize, grid, budget)
SELECT
    v.digest,
    v.spec,
    v."from",
    v."to",
    v.mask,
    v.hold,
    v.batch_norm,
    v.subset,
    v.elsewhere,
    v.align,
    v.normalize,
    v.grid,
    v.budget
FROM json_to_recordset($1::json) AS v (
    digest text, spec text, "from" text, "to" text, mask text, hold text, batch_norm text, subset bigint,
    elsewhere text, align boolean, normalize text, grid bigint, budget bigint
)
WHERE NOT EXISTS (SELECT 1 FROM lines AS l WHERE l.digest = v.digest)
ON CONFLICT (digest) DO NOTHING;
