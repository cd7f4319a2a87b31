-- Lines that are not there yet: ?1 JSON array of {digest, spec, from, to, mask, hold, batch_norm, subset,
-- elsewhere, align, normalize, grid, budget}. Index: UNIQUE (digest).
INSERT INTO lines (digest, spec, from_tag, to_tag, mask, hold, batch_norm, subset, elsewhere, align, normalize, grid, budget)
SELECT
    v.value ->> 'digest',
    v.value ->> 'spec',
    v.value ->> 'from',
    v.value ->> 'to',
    v.value ->> 'mask',
    v.value ->> 'hold',
    v.value ->> 'batch_norm',
    v.value ->> 'subset',
    v.value ->> 'elsewhere',
    v.value ->> 'align',
    v.value ->> 'normalize',
    v.value ->> 'grid',
    v.value ->> 'budget'
FROM json_each(?1) AS v
WHERE TRUE
ON CONFLICT (digest) DO NOTHING;
